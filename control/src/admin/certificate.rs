//! Certificates. A private key comes in and never goes out again.

use entity::certificate::{Entity, Model};
use node::pair::{self, PairError};
use serde_json::{Value, json};
use wire::{Violations, validate_tags};

use super::fields::Fields;
use super::resource::{Identity, Resource};
use crate::snapshot;

/// The collection of certificates.
#[derive(Debug)]
pub(super) struct Certificates;

impl Resource for Certificates {
    type Table = Entity;

    fn identity(row: &Model) -> Identity {
        Identity { id: row.id, created_at: row.created_at, updated_at: row.updated_at }
    }

    fn read(fields: &mut Fields, identity: Identity) -> Model {
        let tags = fields.set("tags");
        validate_tags(tags.as_deref().unwrap_or_default(), fields.violations());
        Model {
            id: identity.id,
            cert: fields.required_string("cert").unwrap_or_default(),
            key: fields.required_string("key").unwrap_or_default(),
            cert_alt: fields.string("cert_alt"),
            key_alt: fields.string("key_alt"),
            tags: tags.map(|tags| json!(tags)),
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }

    fn check(row: &Model) -> Result<(), Violations> {
        let certificate = snapshot::certificate(row);
        certificate.validate()?;
        let mut violations = Violations::default();
        check_pair(&mut violations, ["cert", "key"], &row.cert, &row.key);
        if let (Some(cert), Some(key)) = (&row.cert_alt, &row.key_alt) {
            check_pair(&mut violations, ["cert_alt", "key_alt"], cert, key);
        }
        violations.into_result()
    }

    fn view(row: &Model) -> Value {
        json!({
            "id": row.id,
            "cert": row.cert,
            "key": null,
            "cert_alt": row.cert_alt,
            "key_alt": null,
            "tags": row.tags,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        })
    }

    fn stored(row: &Model) -> Value {
        let mut fields = Self::view(row);
        fields["key"] = json!(row.key);
        fields["key_alt"] = json!(row.key_alt);
        fields
    }
}

fn check_pair(violations: &mut Violations, [cert_field, key_field]: [&str; 2], cert: &str, key: &str) {
    match pair::parse(cert, key) {
        Ok(_) => {}
        Err(error @ PairError::Certificate(_)) => violations.field(cert_field, error.to_string()),
        Err(error @ PairError::Key(_)) => violations.field(key_field, error.to_string()),
        Err(error @ PairError::Mismatch) => violations.entity(error.to_string()),
    }
}
