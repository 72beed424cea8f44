//! A certificate with its private key, shown in TLS handshakes.

use model_derive::Record;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::Kind;

use super::{Sni, kind};
use crate::bounds;
use crate::check::pem;
use crate::entity::Entity;
use crate::field::Field;
use crate::private_key::PrivateKey;
use crate::record::Check;
use crate::rules::Rules;
use crate::violations::Violations;

/// A certificate. Its canonical bytes follow the rules of a [`crate::Service`]. `Debug` does not show its
/// private keys. The rules check only that a PEM text is one; code that can parse it checks its content.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Certificate {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The chain in PEM, its own certificate first.
    #[field(required, is = pem::certificate)]
    pub cert: String,
    /// The private key in PEM.
    #[field(required, secret, is = pem::key)]
    pub key: PrivateKey,
    /// A second chain, with a key of another type.
    #[field(is = pem::certificate)]
    pub cert_alt: Option<String>,
    /// The private key of the second chain.
    #[field(secret, is = pem::key)]
    pub key_alt: Option<PrivateKey>,
}

impl Check for Certificate {
    fn rules(&self, violations: &mut Violations) {
        if self.cert_alt.is_some() != self.key_alt.is_some() {
            violations.entity("all or none of these fields must be set: 'cert_alt', 'key_alt'");
        }
    }

    fn entity_checks() -> Vec<Value> {
        let custom = |fields: &[&str]| json!({ "custom_entity_check": { "field_sources": fields } });
        vec![
            json!({ "mutually_required": ["cert_alt", "key_alt"] }),
            custom(&["cert", "key"]),
            custom(&["cert_alt", "key_alt"]),
            custom(&["cert", "cert_alt"]),
        ]
    }
}

impl Entity for Certificate {
    const KIND: Kind = kind::CERTIFICATE;
    const NOUN: &'static str = "certificate";

    /// Its server names, which are entities of their own.
    fn companions() -> Vec<Field> {
        let rules = Rules::new().set().most(bounds::SNIS).clean(Sni::canonical_name).is(Sni::check_name);
        vec![Field::new::<Option<Vec<String>>>("snis", "The server names that it is shown for.", rules, None)]
    }
}

#[cfg(test)]
mod tests;
