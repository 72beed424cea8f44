//! Certificates, and the server names that are written with them.

use std::collections::HashMap;

use entity::certificate::{Column, Entity, Model};
use entity::sni;
use sea_orm::{ColumnTrait, EntityTrait, JsonValue, QueryFilter, QueryOrder};
use uuid::Uuid;
use wire::Kind;

use super::rows::{self, Rows, Table};
use super::write::{Write, Written};
use super::{StoreError, is_foreign_key, unique_or, within};
use crate::published;

impl Table for Entity {
    const KIND: Kind = model::kind::CERTIFICATE;
    const COLLECTION: &'static str = "certificates";
    const ID: Column = Column::Id;
    const NAME: Option<Column> = None;

    fn id(row: &Model) -> Uuid {
        row.id
    }

    fn tags(row: &Model) -> Option<&JsonValue> {
        row.tags.as_ref()
    }

    fn bytes(row: &Model) -> Vec<u8> {
        published::certificate_bytes(row)
    }

    fn not_put(row: &Model, error: StoreError) -> StoreError {
        unique_or(error, row.id, None)
    }

    /// Deletes its server names with the certificate.
    async fn release(write: &mut Write<'_>, id: Uuid) -> Result<(), StoreError> {
        let names = sni::Entity::find().filter(sni::Column::CertificateId.eq(id));
        for name in within(names.all(write.rows())).await? {
            rows::delete::<sni::Entity>(write, name.id).await?;
        }
        Ok(())
    }

    fn not_deleted(error: StoreError) -> StoreError {
        match is_foreign_key(&error) {
            true => StoreError::Referenced { entity: Self::COLLECTION, by: "snis" },
            false => error,
        }
    }
}

impl Rows<'_, Entity> {
    /// Inserts a certificate with these server names.
    ///
    /// # Errors
    /// The same as for [`Rows::insert`], for the certificate and for its names.
    pub async fn insert_named(
        &self,
        row: Model,
        names: Option<Vec<String>>,
    ) -> Result<Written<Model>, StoreError> {
        let mut write = self.store().write().await?;
        rows::put::<Entity>(&mut write, std::slice::from_ref(&row), false).await?;
        name(&mut write, &row, names.unwrap_or_default()).await?;
        Ok(Written { revision: write.commit().await?, row })
    }

    /// Inserts a certificate, or replaces `before`, as it was read. If names are given, they become its
    /// server names.
    ///
    /// # Errors
    /// The same as for [`Rows::replace`], for the certificate and for its names.
    pub async fn put_named(
        &self,
        before: Option<&Model>,
        row: Model,
        names: Option<Vec<String>>,
    ) -> Result<Written<Model>, StoreError> {
        let mut write = self.store().write().await?;
        if let Some(before) = before {
            rows::unchanged::<Entity>(&write, before).await?;
        }
        let same = before.filter(|before| rows::says_the_same::<Entity>(before, &row)).cloned();
        if same.is_none() {
            rows::put::<Entity>(&mut write, std::slice::from_ref(&row), true).await?;
        }
        let row = same.unwrap_or(row);
        if let Some(names) = names {
            name(&mut write, &row, names).await?;
        }
        Ok(Written { revision: write.commit().await?, row })
    }

    /// Returns the server names of certificates, in their order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn names(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<String>>, StoreError> {
        let mut names: HashMap<Uuid, Vec<String>> = HashMap::new();
        let rows = sni::Entity::find().filter(sni::Column::CertificateId.is_in(ids.iter().copied()));
        let rows = rows.order_by_asc(sni::Column::Name).all(self.store().database());
        for row in within(rows).await? {
            names.entry(row.certificate_id).or_default().push(row.name);
        }
        Ok(names)
    }
}

/// Makes `names` the server names of a certificate. Existing ones stay as they are.
async fn name(write: &mut Write<'_>, certificate: &Model, names: Vec<String>) -> Result<(), StoreError> {
    let had = sni::Entity::find().filter(sni::Column::CertificateId.eq(certificate.id));
    let had = within(had.all(write.rows())).await?;
    for gone in had.iter().filter(|row| !names.contains(&row.name)) {
        rows::delete::<sni::Entity>(write, gone.id).await?;
    }
    for name in names.into_iter().filter(|name| had.iter().all(|row| row.name != *name)) {
        let made = sni::Model {
            id: Uuid::new_v4(),
            name,
            certificate_id: certificate.id,
            tags: None,
            created_at: certificate.updated_at,
            updated_at: certificate.updated_at,
        };
        rows::put::<sni::Entity>(write, &[made], false).await?;
    }
    Ok(())
}
