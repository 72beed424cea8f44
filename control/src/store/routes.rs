//! Routes.

use entity::route::{Column, Entity, Model};
use sea_orm::JsonValue;
use uuid::Uuid;
use wire::Kind;

use super::rows::{Child, Table};
use super::{StoreError, is_foreign_key, unique_or};
use crate::published;

impl Table for Entity {
    const KIND: Kind = model::kind::ROUTE;
    const COLLECTION: &'static str = "routes";
    const ID: Column = Column::Id;
    const NAME: Option<Column> = Some(Column::Name);

    fn id(row: &Model) -> Uuid {
        row.id
    }

    fn tags(row: &Model) -> Option<&JsonValue> {
        row.tags.as_ref()
    }

    fn bytes(row: &Model) -> Vec<u8> {
        published::route_bytes(row)
    }

    fn not_put(row: &Model, error: StoreError) -> StoreError {
        match row.service_id {
            Some(id) if is_foreign_key(&error) => {
                StoreError::ForeignKey { field: "service", entity: "services", id }
            }
            _ => unique_or(error, row.id, row.name.as_deref().map(|name| ("name", name))),
        }
    }
}

impl Child for Entity {
    const PARENT: Column = Column::ServiceId;
}
