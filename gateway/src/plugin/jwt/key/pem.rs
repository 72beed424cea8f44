//! Public keys in PEM.

use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::der_parser::oid;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::RSAPublicKey;

use super::Key;

const RSA: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const RSA_PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);
const EC: Oid<'static> = oid!(1.2.840.10045.2.1);
const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const P384: Oid<'static> = oid!(1.3.132.0.34);
const P521: Oid<'static> = oid!(1.3.132.0.35);
const ED25519: Oid<'static> = oid!(1.3.101.112);

/// The public key of the first section of the text.
pub(super) fn parse(text: &str) -> Option<Key> {
    let section = pem::parse(text).ok()?;
    let der = section.contents();
    match section.tag() {
        "PUBLIC KEY" => key(&SubjectPublicKeyInfo::from_der(der).ok()?.1),
        "RSA PUBLIC KEY" => rsa(der),
        "CERTIFICATE" => key(X509Certificate::from_der(der).ok()?.1.public_key()),
        _ => None,
    }
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> Option<Key> {
    let bytes = &*info.subject_public_key.data;
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == RSA || *algorithm == RSA_PSS {
        rsa(bytes)
    } else if *algorithm == EC {
        let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
        point(&curve, bytes)
    } else if *algorithm == ED25519 {
        Some(Key::Ed25519(bytes.to_vec()))
    } else {
        None
    }
}

fn point(curve: &Oid<'_>, bytes: &[u8]) -> Option<Key> {
    let point = bytes.to_vec();
    if *curve == P256 {
        Some(Key::P256(point))
    } else if *curve == P384 {
        Some(Key::P384(point))
    } else if *curve == P521 {
        Some(Key::P521(point))
    } else {
        None
    }
}

/// The key of RFC 8017, appendix A.1.1.
fn rsa(der: &[u8]) -> Option<Key> {
    let (_, key) = RSAPublicKey::from_der(der).ok()?;
    Some(Key::Rsa { modulus: unsigned(key.modulus), exponent: unsigned(key.exponent) })
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default().to_vec()
}
