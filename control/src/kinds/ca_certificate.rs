//! Certificates of authorities.

use model::{CaCertificate, Map, Violations};
use node::certified_key;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::pem;

/// Brings the PEM text of a body into canonical form.
pub(super) fn prepare(fields: &mut Map, violations: &mut Violations) {
    super::canonical(fields, "cert", one_certificate, violations);
}

/// Checks that the certificate is an authority at `now`, in seconds since 1970.
pub(super) fn check(certificate: &CaCertificate, now: i64) -> Result<(), Violations> {
    let mut violations = Violations::default();
    if let Err(message) = only(&certificate.cert).and_then(|der| check_authority(&der, now)) {
        violations.field("cert", message);
    }
    violations.into_result()
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
