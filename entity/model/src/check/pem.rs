//! PEM texts. They are only recognised here; code that can parse one checks its content. No message repeats
//! any part of a text.

/// Checks that a text holds a certificate.
pub(crate) fn certificate(pem: &str) -> Result<(), String> {
    let marked = pem.contains("-----BEGIN CERTIFICATE-----") && pem.contains("-----END CERTIFICATE-----");
    if marked { Ok(()) } else { Err("invalid certificate: no certificate in PEM".to_owned()) }
}

/// Checks for a `PRIVATE KEY`, an `RSA PRIVATE KEY` or an `EC PRIVATE KEY`.
pub(crate) fn key(pem: &str) -> Result<(), String> {
    let marked = pem.contains("-----BEGIN ") && pem.contains("PRIVATE KEY-----");
    if marked { Ok(()) } else { Err("invalid key: no private key in PEM".to_owned()) }
}

/// Checks that a text holds no private key: a public key is shown to every reader.
pub(crate) fn no_private_key(pem: &str) -> Result<(), String> {
    if pem.contains("PRIVATE KEY-----") { Err("invalid key: it is a private key".to_owned()) } else { Ok(()) }
}
