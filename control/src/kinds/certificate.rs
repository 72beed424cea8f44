//! Certificates with their private keys.

use model::{Certificate, Map, Violations};
use node::certified_key::{self, CertifiedKeyError};
use rustls::SignatureAlgorithm;

use super::pem;

/// Brings the PEM texts of a body into canonical form.
pub(super) fn prepare(fields: &mut Map, violations: &mut Violations) {
    for (name, parse) in [
        ("cert", pem::chain as fn(&str) -> Result<String, String>),
        ("key", pem::private_key),
        ("cert_alt", pem::chain),
        ("key_alt", pem::private_key),
    ] {
        super::canonical(fields, name, parse, violations);
    }
}

/// Checks that each key belongs to its certificate, and that the two keys are of different types.
pub(super) fn check(certificate: &Certificate) -> Result<(), Violations> {
    let mut violations = Violations::default();
    let (cert, key) = (&certificate.cert, certificate.key.expose());
    let first = check_pair(&mut violations, ["cert", "key"], cert, key);
    if let (Some(cert), Some(key)) = (&certificate.cert_alt, &certificate.key_alt) {
        let second = check_pair(&mut violations, ["cert_alt", "key_alt"], cert, key.expose());
        if first.is_some() && first == second {
            violations.entity("'key' and 'key_alt' must be of different types, such as RSA and ECDSA");
        }
    }
    violations.into_result()
}

/// Checks that the key belongs to the certificate, and returns the type of the key.
fn check_pair(
    violations: &mut Violations,
    [cert_field, key_field]: [&str; 2],
    cert: &str,
    key: &str,
) -> Option<SignatureAlgorithm> {
    match certified_key::parse(cert, key) {
        Ok(pair) => return Some(pair.key.algorithm()),
        Err(error @ CertifiedKeyError::Certificate(_)) => violations.field(cert_field, error.to_string()),
        Err(error @ CertifiedKeyError::Key(_)) => violations.field(key_field, error.to_string()),
        Err(error @ CertifiedKeyError::Mismatch) => violations.entity(error.to_string()),
    }
    None
}
