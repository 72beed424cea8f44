//! Server names.

use entity::sni::{Column, Entity, Model};
use sea_orm::JsonValue;
use uuid::Uuid;
use wire::Kind;

use super::rows::{Child, Table};
use super::{StoreError, is_foreign_key, unique_or};
use crate::published;

impl Table for Entity {
    const KIND: Kind = model::kind::SNI;
    const COLLECTION: &'static str = "snis";
    const ID: Column = Column::Id;
    const NAME: Option<Column> = Some(Column::Name);

    fn id(row: &Model) -> Uuid {
        row.id
    }

    fn tags(row: &Model) -> Option<&JsonValue> {
        row.tags.as_ref()
    }

    fn bytes(row: &Model) -> Vec<u8> {
        published::sni_bytes(row)
    }

    fn not_put(row: &Model, error: StoreError) -> StoreError {
        if is_foreign_key(&error) {
            let id = row.certificate_id;
            return StoreError::ForeignKey { field: "certificate", entity: "certificates", id };
        }
        unique_or(error, row.id, Some(("name", &row.name)))
    }
}

impl Child for Entity {
    const PARENT: Column = Column::CertificateId;
}
