//! References of services that are no foreign keys of the database. Their table is older than that of
//! certificates, SQLite adds no foreign key to an existing table, and a list can have none.
//!
//! They work like foreign keys. A write that adds a reference locks the row against deletion, and a deletion
//! then looks for references. Of two writes at the same time, the second waits for the first and sees its
//! result.

use sea_orm::sea_query::{Alias, Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;
use wire::Kind;

use super::write::Write;
use super::{StoreError, within};
use entity::{ca_certificate, certificate, service};

/// A reference from a row to a row of another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The field that names it.
    pub field: &'static str,
    /// The kind of the other row.
    pub kind: Kind,
    /// The id of the other row.
    pub id: Uuid,
}

/// Returns the references of a service.
pub(super) fn of_service(row: &service::Model) -> Vec<Reference> {
    let client = row.client_certificate.map(|id| ("client_certificate", model::kind::CERTIFICATE, id));
    let listed = row.ca_certificates.as_ref().and_then(|list| list.as_array()).into_iter().flatten();
    let listed = listed.filter_map(|id| id.as_str()?.parse().ok());
    let listed = listed.map(|id| ("ca_certificates", model::kind::CA_CERTIFICATE, id));
    client.into_iter().chain(listed).map(|(field, kind, id)| Reference { field, kind, id }).collect()
}

/// Checks that the referenced rows exist, and locks them until the end of the write.
pub(super) async fn exist(
    write: &Write<'_>,
    references: impl Iterator<Item = Reference>,
) -> Result<(), StoreError> {
    for Reference { field, kind, id } in references {
        if !exists(write, kind, id).await? {
            let entity = model::described(kind).map(|described| described.collection()).unwrap_or_default();
            return Err(StoreError::ForeignKey { field, entity, id });
        }
    }
    Ok(())
}

/// Checks that no row references a deleted row.
pub(super) async fn none_to(write: &Write<'_>, kind: Kind, id: Uuid) -> Result<(), StoreError> {
    let services = match kind {
        model::kind::CERTIFICATE => service::Entity::find().filter(service::Column::ClientCertificate.eq(id)),
        model::kind::CA_CERTIFICATE => {
            let list = Expr::col(service::Column::CaCertificates).cast_as(Alias::new("text"));
            service::Entity::find().filter(list.like(format!("%{id}%")))
        }
        _ => return Ok(()),
    };
    match within(services.one(write.rows())).await? {
        None => Ok(()),
        Some(_) => {
            let entity = model::described(kind).map(|described| described.collection()).unwrap_or_default();
            Err(StoreError::Referenced { entity, by: "services" })
        }
    }
}

async fn exists(write: &Write<'_>, kind: Kind, id: Uuid) -> Result<bool, StoreError> {
    let rows = write.rows();
    match kind {
        model::kind::CERTIFICATE => {
            let found = certificate::Entity::find_by_id(id).lock_shared().one(rows);
            within(found).await.map(|row| row.is_some())
        }
        model::kind::CA_CERTIFICATE => {
            let found = ca_certificate::Entity::find_by_id(id).lock_shared().one(rows);
            within(found).await.map(|row| row.is_some())
        }
        _ => Ok(true),
    }
}
