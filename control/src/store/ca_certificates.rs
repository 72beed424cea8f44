//! CA certificates.

use entity::ca_certificate::{Column, Entity, Model};
use sea_orm::JsonValue;
use uuid::Uuid;
use wire::Kind;

use super::rows::Table;
use super::{StoreError, unique_or};
use crate::published;

impl Table for Entity {
    const KIND: Kind = model::kind::CA_CERTIFICATE;
    const COLLECTION: &'static str = "ca_certificates";
    const ID: Column = Column::Id;
    const NAME: Option<Column> = None;

    fn id(row: &Model) -> Uuid {
        row.id
    }

    fn tags(row: &Model) -> Option<&JsonValue> {
        row.tags.as_ref()
    }

    fn bytes(row: &Model) -> Vec<u8> {
        published::ca_certificate_bytes(row)
    }

    fn not_put(row: &Model, error: StoreError) -> StoreError {
        unique_or(error, row.id, Some(("cert_digest", &row.cert_digest)))
    }
}
