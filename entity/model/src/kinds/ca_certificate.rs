//! A certificate authority that verifies the certificates of peers.

use model_derive::Record;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::Kind;

use crate::kind;
use crate::check::pem;
use crate::computed::Computed;
use crate::entity::Entity;
use crate::field::Field;
use crate::record::Check;
use crate::rules::Rules;

/// A CA certificate. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct CaCertificate {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The certificate in PEM.
    #[field(required, is = pem::certificate)]
    pub cert: String,
}

impl CaCertificate {
    /// The SHA-256 of the certificate in hexadecimal digits; `None` when the text cannot be read.
    pub fn digest(&self) -> Option<String> {
        let der = CertificateDer::pem_slice_iter(self.cert.as_bytes()).next()?.ok()?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &der);
        Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Check for CaCertificate {
    fn entity_checks() -> Vec<Value> {
        vec![json!({ "custom_entity_check": { "field_sources": ["cert"] } })]
    }
}

impl Entity for CaCertificate {
    const KIND: Kind = kind::CA_CERTIFICATE;
    const NOUN: &'static str = "CA certificate";

    fn computed() -> Vec<Computed<Self>> {
        let rules = Rules::new().unique();
        let description = "SHA-256 of the certificate, in hexadecimal digits.";
        let field = Field::new::<Option<String>>("cert_digest", description, rules, None);
        vec![Computed { field, value: Self::digest }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_the_certificate_alone() {
        let digest = |cert: &str| CaCertificate { cert: cert.into(), ..CaCertificate::default() }.digest();
        let text = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        // The certificate is the byte `0`.
        let expected = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
        assert_eq!(digest(text).as_deref(), Some(expected));
        assert_eq!(digest(&format!("# a comment\n{text}")).as_deref(), Some(expected));
        assert_eq!(digest("x"), None);
    }
}
