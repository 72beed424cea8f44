//! Keys that verify signatures. A key is of one type, and verifies only with the algorithms of its type: a
//! public key is never used as a secret.

mod pem;

use p521::ecdsa::signature::Verifier;
use ring::hmac;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use zeroize::Zeroizing;

use super::Algorithm;

/// A key.
#[derive(Debug)]
pub(super) enum Key {
    /// A secret of HMAC; not empty.
    Secret(Secret),
    /// An RSA key of 2048 to 8192 bits: modulus and exponent, without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// A point of P-256, not compressed (SEC 1, section 2.3.3).
    P256(Vec<u8>),
    /// The same of P-384.
    P384(Vec<u8>),
    /// The same of P-521.
    P521(Vec<u8>),
    /// A key of Ed25519.
    Ed25519(Vec<u8>),
}

/// A secret that `Debug` does not show, and whose memory is wiped on drop.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    /// The key is not one of the algorithm.
    Key,
    /// The signature is not one of the key.
    Signature,
}

impl Key {
    /// A secret of HMAC; `None` for an empty one, which signs nothing.
    pub(super) fn of_secret(secret: Vec<u8>) -> Option<Self> {
        (!secret.is_empty()).then(|| Self::Secret(Secret(secret.into())))
    }

    /// The public key of a PEM text: of a public key, or of a certificate.
    pub(super) fn of_pem(text: &str) -> Option<Self> {
        pem::parse(text)
    }

    /// Whether it verifies with this algorithm.
    pub(super) const fn suits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{
            EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512,
        };
        match self {
            Self::Secret(_) => matches!(algorithm, Hs256 | Hs384 | Hs512),
            Self::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Self::P256(_) => matches!(algorithm, Es256),
            Self::P384(_) => matches!(algorithm, Es384),
            Self::P521(_) => matches!(algorithm, Es512),
            Self::Ed25519(_) => matches!(algorithm, EdDsa),
        }
    }

    /// What tells it from other keys of its type.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        match self {
            Self::Secret(secret) => [&secret.0, b""],
            Self::Rsa { modulus, exponent } => [modulus, exponent],
            Self::P256(bytes) | Self::P384(bytes) | Self::P521(bytes) | Self::Ed25519(bytes) => [bytes, b""],
        }
    }

    /// Verifies a signature.
    ///
    /// # Errors
    /// When the key is not one of the algorithm, or the signature not one of the key.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Unverified> {
        let verified = match (self, algorithm) {
            (Self::Secret(secret), _) => {
                let digest = hmac_algorithm(algorithm).ok_or(Unverified::Key)?;
                hmac::verify(&hmac::Key::new(digest, &secret.0), signed, signature).is_ok()
            }
            (Self::Rsa { modulus, exponent }, _) => {
                let parameters = rsa_parameters(algorithm).ok_or(Unverified::Key)?;
                RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(parameters, signed, signature)
                    .is_ok()
            }
            (Self::P256(point), Algorithm::Es256) => {
                is_verified(&ECDSA_P256_SHA256_FIXED, point, signed, signature)
            }
            (Self::P384(point), Algorithm::Es384) => {
                is_verified(&ECDSA_P384_SHA384_FIXED, point, signed, signature)
            }
            (Self::P521(point), Algorithm::Es512) => is_verified_p521(point, signed, signature),
            (Self::Ed25519(key), Algorithm::EdDsa) => is_verified(&ED25519, key, signed, signature),
            _ => return Err(Unverified::Key),
        };
        if verified { Ok(()) } else { Err(Unverified::Signature) }
    }
}

fn is_verified(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    signed: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(signed, signature).is_ok()
}

/// ring does not have P-521.
fn is_verified_p521(point: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
    let signature = p521::ecdsa::Signature::from_slice(signature);
    key.ok().zip(signature.ok()).is_some_and(|(key, signature)| key.verify(signed, &signature).is_ok())
}

fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests;
