//! Services.

use entity::service::{Column, Entity, Model};
use sea_orm::JsonValue;
use uuid::Uuid;
use wire::Kind;

use super::references::{self, Reference};
use super::rows::Table;
use super::{StoreError, is_foreign_key, unique_or};
use crate::published;

impl Table for Entity {
    const KIND: Kind = model::kind::SERVICE;
    const COLLECTION: &'static str = "services";
    const ID: Column = Column::Id;
    const NAME: Option<Column> = Some(Column::Name);

    fn id(row: &Model) -> Uuid {
        row.id
    }

    fn tags(row: &Model) -> Option<&JsonValue> {
        row.tags.as_ref()
    }

    fn bytes(row: &Model) -> Vec<u8> {
        published::service_bytes(row)
    }

    fn references(row: &Model) -> Vec<Reference> {
        references::of_service(row)
    }

    fn not_put(row: &Model, error: StoreError) -> StoreError {
        unique_or(error, row.id, row.name.as_deref().map(|name| ("name", name)))
    }

    fn not_deleted(error: StoreError) -> StoreError {
        match is_foreign_key(&error) {
            true => StoreError::Referenced { entity: Self::COLLECTION, by: "routes" },
            false => error,
        }
    }
}
