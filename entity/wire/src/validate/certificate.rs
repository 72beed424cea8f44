//! The rules of certificates, server names and CA certificates. They check only that a PEM text is one; code
//! that can parse it checks its content. No message repeats any part of a PEM text.

use super::host;
use crate::{CaCertificate, Certificate, Sni, Violations};

const MISSING: &str = "required field missing";

impl Certificate {
    /// Checks every rule that does not need the content of the PEM texts.
    ///
    /// # Errors
    /// All rules that the certificate breaks.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        required(&mut violations, "cert", &self.cert, is_certificate);
        required(&mut violations, "key", self.key.expose(), is_key);
        match (&self.cert_alt, &self.key_alt) {
            (Some(cert), Some(key)) => {
                required(&mut violations, "cert_alt", cert, is_certificate);
                required(&mut violations, "key_alt", key.expose(), is_key);
            }
            (None, None) => {}
            _ => violations.entity("all or none of these fields must be set: 'cert_alt', 'key_alt'"),
        }
        violations.into_result()
    }
}

impl Sni {
    /// Checks a server name.
    ///
    /// # Errors
    /// The reason why it is invalid.
    pub fn check_name(name: &str) -> Result<(), String> {
        if name == Self::ANY { Ok(()) } else { host::sni(name) }
    }

    /// Checks every rule that the name alone can show.
    ///
    /// # Errors
    /// All rules that the server name breaks.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        if self.name.is_empty() {
            violations.field("name", MISSING);
        } else if let Err(message) = Self::check_name(&self.name) {
            violations.field("name", message);
        }
        if self.certificate.is_nil() {
            violations.field("certificate", MISSING);
        }
        violations.into_result()
    }
}

impl CaCertificate {
    /// Checks every rule that does not need the content of the PEM text.
    ///
    /// # Errors
    /// All rules that the CA certificate breaks.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        required(&mut violations, "cert", &self.cert, is_certificate);
        violations.into_result()
    }
}

fn required(violations: &mut Violations, name: &str, pem: &str, check: fn(&str) -> Result<(), &'static str>) {
    if pem.is_empty() {
        violations.field(name, MISSING);
    } else if let Err(message) = check(pem) {
        violations.field(name, message);
    }
}

fn is_certificate(pem: &str) -> Result<(), &'static str> {
    let marked = pem.contains("-----BEGIN CERTIFICATE-----") && pem.contains("-----END CERTIFICATE-----");
    if marked { Ok(()) } else { Err("invalid certificate: no certificate in PEM") }
}

/// Checks for a `PRIVATE KEY`, an `RSA PRIVATE KEY` or an `EC PRIVATE KEY`.
fn is_key(pem: &str) -> Result<(), &'static str> {
    let marked = pem.contains("-----BEGIN ") && pem.contains("PRIVATE KEY-----");
    if marked { Ok(()) } else { Err("invalid key: no private key in PEM") }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

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
}
