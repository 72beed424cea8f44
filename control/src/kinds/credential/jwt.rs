//! Public keys of tokens.

use model::{JwtSecret, Violations};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::RSAPublicKey;

/// Checks that a credential has a public key if its algorithm needs one. As in Kong, the key of an ES*
/// algorithm is not read here: with a bad one, no token is valid.
pub(super) fn check(credential: &JwtSecret) -> Result<(), Violations> {
    let mut violations = Violations::default();
    let key = credential.rsa_public_key.as_deref().filter(|_| credential.algorithm.needs_public_key());
    if key.is_some_and(|pem| !is_public_key(pem)) {
        JwtSecret::refuse_public_key(&mut violations, "invalid key");
    }
    violations.into_result()
}

/// Whether a text is a public key in PEM (RFC 7468, section 13, or RFC 8017, appendix A.1.1).
fn is_public_key(text: &str) -> bool {
    let Ok(block) = pem::parse(text) else { return false };
    match block.tag() {
        "PUBLIC KEY" => SubjectPublicKeyInfo::from_der(block.contents())
            .is_ok_and(|(rest, key)| rest.is_empty() && key.parsed().is_ok()),
        "RSA PUBLIC KEY" => RSAPublicKey::from_der(block.contents()).is_ok_and(|(rest, _)| rest.is_empty()),
        _ => false,
    }
}
