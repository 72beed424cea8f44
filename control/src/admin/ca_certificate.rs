//! CA certificates.

use entity::ca_certificate::{Entity, Model};
use model::Entity as _;
use model::{Violations, validate_tags};
use node::certified_key;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::fields::Fields;
use super::pem;
use super::resource::{Identity, Resource};
use crate::published;

/// The collection of CA certificates.
#[derive(Debug)]
pub(super) struct CaCertificates;

impl Resource for CaCertificates {
    type Table = Entity;

    fn identity(row: &Model) -> Identity {
        Identity { id: row.id, created_at: row.created_at, updated_at: row.updated_at }
    }

    fn read(fields: &mut Fields, identity: Identity) -> Model {
        let tags = fields.set("tags");
        validate_tags(tags.as_deref().unwrap_or_default(), fields.violations());
        let cert = fields.required_pem("cert", one_certificate).unwrap_or_default();
        // Clients send back the digest that they were shown. It is always computed from the certificate.
        fields.string("cert_digest");
        Model {
            id: identity.id,
            cert_digest: only(&cert).map(|der| digest(&der)).unwrap_or_default(),
            cert,
            tags: tags.map(|tags| json!(tags)),
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }

    fn check(row: &Model) -> Result<(), Violations> {
        published::ca_certificate(row).validate()?;
        let mut violations = Violations::default();
        if let Err(message) = only(&row.cert).and_then(|der| check_authority(&der, crate::store::now())) {
            violations.field("cert", message);
        }
        violations.into_result()
    }

    fn view(row: &Model) -> Value {
        json!({
            "id": row.id,
            "cert": row.cert,
            "cert_digest": row.cert_digest,
            "tags": row.tags,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        })
    }
}

/// Reads the only certificate of a text and returns it in canonical form.
fn one_certificate(text: &str) -> Result<String, String> {
    let cert = pem::chain(text)?;
    only(&cert).map(|_| cert)
}

/// Reads the only certificate of a text.
fn only(pem: &str) -> Result<CertificateDer<'static>, String> {
    let mut all = CertificateDer::pem_slice_iter(pem.as_bytes());
    let first = all.next().ok_or("invalid certificate: no certificate in PEM")?;
    let first = first.map_err(|error| format!("invalid certificate: {error}"))?;
    match all.next() {
        None => Ok(first),
        Some(_) => Err("please submit only one certificate at a time".into()),
    }
}

fn digest(der: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a certificate is an authority at `now`, in seconds since 1970 (RFC 5280, sections 4.1.2.5 and
/// 4.2.1.9).
fn check_authority(der: &CertificateDer<'_>, now: i64) -> Result<(), String> {
    let (_, parsed) =
        X509Certificate::from_der(der).map_err(|error| format!("invalid certificate: not X.509: {error}"))?;
    if parsed.version() != X509Version::V3 {
        return Err("invalid certificate: it is not X.509 version 3, which an authority needs".into());
    }
    if !parsed.is_ca() {
        return Err(
            "certificate does not appear to be a CA because it is missing the \"CA\" basic constraint".into(),
        );
    }
    if parsed.validity().not_after.timestamp() < now {
        return Err("certificate expired, \"Not After\" time is in the past".into());
    }
    certified_key::check_authority(der).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    fn authority(is_ca: IsCa) -> String {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn one_authority_that_has_not_expired() {
        const IN_2041: i64 = 2_240_611_200;
        let authority_pem = authority(IsCa::Ca(BasicConstraints::Unconstrained));
        let der = only(&authority_pem).unwrap();
        assert_eq!(check_authority(&der, 0), Ok(()));
        assert_eq!(digest(&der).len(), 64);
        let told = check_authority(&der, IN_2041).unwrap_err();
        assert!(told.contains("Not After"), "{told}");
        let told = check_authority(&only(&authority(IsCa::NoCa)).unwrap(), 0).unwrap_err();
        assert!(told.contains("basic constraint"), "{told}");
        assert!(only(&format!("{authority_pem}{authority_pem}")).unwrap_err().contains("only one"));
        assert!(only("x").is_err());
        let garbage = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        assert!(check_authority(&only(garbage).unwrap(), 0).unwrap_err().contains("not X.509"));
    }
}
