use uuid::Uuid;

use super::*;
use crate::{CaCertificate, Entity, Sni};

const CERT: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";

fn told(checked: Result<(), Violations>) -> Vec<String> {
    let violations = checked.err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

fn certificate() -> Certificate {
    Certificate { cert: CERT.into(), key: KEY.into(), ..Certificate::default() }
}

#[test]
fn certificates() {
    assert_eq!(certificate().validate(), Ok(()));
    let both = Certificate { cert_alt: Some(CERT.into()), key_alt: Some(KEY.into()), ..certificate() };
    assert_eq!(both.validate(), Ok(()));
    let missing = ["cert: required field missing", "key: required field missing"];
    assert_eq!(told(Certificate::default().validate()), missing);
    let swapped = Certificate { cert: KEY.into(), key: CERT.into(), ..certificate() };
    assert_eq!(
        told(swapped.validate()),
        ["cert: invalid certificate: no certificate in PEM", "key: invalid key: no private key in PEM"]
    );
    for half in [
        Certificate { key_alt: Some(KEY.into()), ..certificate() },
        Certificate { cert_alt: Some(CERT.into()), ..certificate() },
    ] {
        let rule = "@entity: all or none of these fields must be set: 'cert_alt', 'key_alt'";
        assert_eq!(told(half.validate()), [rule]);
    }
}

#[test]
fn no_key_is_shown() {
    let both = Certificate { cert_alt: Some(CERT.into()), key_alt: Some(KEY.into()), ..certificate() };
    let swapped = Certificate { cert: KEY.into(), key: "c2VjcmV0".into(), ..certificate() };
    let shown = format!("{both:?} {:#?}", both);
    assert!(!shown.contains("c2VjcmV0") && !shown.contains("PRIVATE"), "{shown}");
    let refused = format!("{:?}", swapped.validate());
    assert!(!refused.contains("c2VjcmV0"), "{refused}");
}

#[test]
fn server_names() {
    let sni = |name: &str| Sni { name: name.into(), certificate: Uuid::from_u128(1), ..Sni::default() };
    assert_eq!(sni("*.example.com").validate(), Ok(()));
    assert_eq!(told(sni("a:1").validate()), ["name: must not have a port"]);
    assert_eq!(
        told(Sni::default().validate()),
        ["certificate: required field missing", "name: required field missing"]
    );
}

#[test]
fn authorities() {
    let authority = |cert: &str| CaCertificate { cert: cert.into(), ..CaCertificate::default() };
    assert_eq!(authority(CERT).validate(), Ok(()));
    assert_eq!(told(authority("").validate()), ["cert: required field missing"]);
    assert_eq!(told(authority("x").validate()), ["cert: invalid certificate: no certificate in PEM"]);
}
