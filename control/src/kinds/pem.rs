//! PEM texts of bodies: parsed block by block and written again in canonical form. Other content, such as a
//! comment or a private key among certificates, is neither stored nor shown. No message repeats any of it.

use model::bounds;
use node::certified_key;
use pem::{EncodeConfig, LineEnding, Pem};

const CERTIFICATES: &[&str] = &["CERTIFICATE", "X509 CERTIFICATE"];
const KEYS: &[&str] = &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
/// The block that `openssl ecparam -genkey` writes before a key; the key itself has all of its content.
const PARAMETERS: &str = "EC PARAMETERS";

/// Converts a chain of certificates to canonical form: its blocks in their order, 64 characters a line.
///
/// # Errors
/// Returns the message for the field.
pub(super) fn chain(text: &str) -> Result<String, String> {
    let invalid = |reason: &str| format!("invalid certificate: {reason}");
    let blocks = blocks(text, bounds::CERTIFICATE_PEM).map_err(|reason| invalid(&reason))?;
    if blocks.iter().any(|block| block.tag().ends_with("PRIVATE KEY")) {
        return Err(invalid("the text holds a private key, too"));
    }
    if blocks.iter().any(|block| !CERTIFICATES.contains(&block.tag())) {
        return Err(invalid("the text holds a PEM block that is no certificate"));
    }
    if blocks.is_empty() {
        return Err(invalid("no certificate in PEM"));
    }
    bounds::at_most(blocks.len(), bounds::CHAIN, "certificates").map_err(|reason| invalid(&reason))?;
    blocks
        .iter()
        .try_for_each(|block| certified_key::check_x509(block.contents()))
        .map_err(|error| error.to_string())?;
    Ok(blocks.iter().map(|block| encode("CERTIFICATE", block)).collect())
}

/// Converts a private key to canonical form; the text must hold no other key.
///
/// # Errors
/// Returns the message for the field.
pub(super) fn private_key(text: &str) -> Result<String, String> {
    let invalid = |reason: &str| format!("invalid key: {reason}");
    let mut blocks = blocks(text, bounds::KEY_PEM).map_err(|reason| invalid(&reason))?;
    blocks.retain(|block| block.tag() != PARAMETERS);
    let is_encrypted =
        |block: &Pem| block.tag() == "ENCRYPTED PRIVATE KEY" || block.headers().get("Proc-Type").is_some();
    match &blocks[..] {
        [] => Err(invalid("no private key in PEM")),
        [key] if is_encrypted(key) => Err(invalid("it is encrypted; send it without a passphrase")),
        [key] if KEYS.contains(&key.tag()) => Ok(encode(key.tag(), key)),
        [_] => Err(invalid("no private key in PEM")),
        _ => Err(invalid("the text must hold one PEM block, the private key")),
    }
}

fn blocks(text: &str, most: usize) -> Result<Vec<Pem>, String> {
    bounds::pem(text, most)?;
    let blocks = pem::parse_many(text).map_err(|_| "a PEM block cannot be read".to_owned())?;
    // The parser leaves out a block without an end.
    if text.matches("-----BEGIN ").count() != blocks.len() {
        return Err("a PEM block is cut off".to_owned());
    }
    Ok(blocks)
}

fn encode(tag: &str, block: &Pem) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(tag, block.contents()), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    #[test]
    fn text_around_certificates_is_dropped() {
        let (cert, _) = pair();
        let (other, _) = pair();
        let crlf = cert.replace('\n', "\r\n");
        let renamed = cert.replace("CERTIFICATE", "X509 CERTIFICATE");
        for text in [
            cert.clone(),
            format!("subject=secret\n{cert}\nsecret"),
            crlf,
            format!("\u{feff}{renamed}"),
            cert.trim_end().to_owned(),
        ] {
            assert_eq!(chain(&text), Ok(cert.clone()), "{text}");
        }
        assert_eq!(chain(&format!("# leaf\n{cert}# issuer\n{other}")), Ok(format!("{cert}{other}")));
    }

    #[test]
    fn other_blocks_among_certificates_are_refused() {
        let (cert, key) = pair();
        let trailing =
            pem::encode(&Pem::new("CERTIFICATE", [pem::parse(&cert).unwrap().contents(), b"x"].concat()));
        let cut = key.rsplit_once("-----END").unwrap().0.to_owned();
        for (text, reason) in [
            (format!("{cert}{key}"), "the text holds a private key, too"),
            (format!("{key}{cert}"), "the text holds a private key, too"),
            (key.clone(), "the text holds a private key, too"),
            (format!("{cert}{cut}"), "a PEM block is cut off"),
            (format!("{cut}{cert}"), "a PEM block cannot be read"),
            (key.replace("PRIVATE KEY", "PUBLIC KEY") + &cert, "a PEM block that is no certificate"),
            (key.replace("PRIVATE KEY", "CERTIFICATE"), "not X.509"),
            (trailing, "other bytes follow it"),
            ("secret".to_owned(), "no certificate in PEM"),
            (cert.repeat(11), "must have at most 10 certificates, it has 11"),
            (" ".repeat(131_073), "length must be at most 131072 bytes, it has 131073"),
        ] {
            let refused = chain(&text).unwrap_err();
            assert!(refused.starts_with("invalid certificate: ") && refused.contains(reason), "{refused}");
            let secret = key.lines().nth(1).unwrap();
            assert!(!refused.contains(secret) && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_key_is_the_only_block_of_its_text() {
        let (cert, key) = pair();
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        for text in [key.clone(), format!("{parameters}{key}"), format!("Bag\n{}", key.replace('\n', "\r\n"))]
        {
            assert_eq!(private_key(&text), Ok(key.clone()));
        }
        let encrypted = key.replace("PRIVATE KEY-----\n", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n");
        for (text, reason) in [
            (format!("{key}{key}"), "must hold one PEM block"),
            (format!("{key}{cert}"), "must hold one PEM block"),
            (cert, "no private key in PEM"),
            (String::new(), "no private key in PEM"),
            (key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "it is encrypted"),
            (
                encrypted.replacen(
                    "END PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n",
                    "END PRIVATE KEY-----\n",
                    1,
                ),
                "it is encrypted",
            ),
        ] {
            let refused = private_key(&text).unwrap_err();
            assert!(refused.starts_with("invalid key: ") && refused.contains(reason), "{refused}");
        }
    }
}
