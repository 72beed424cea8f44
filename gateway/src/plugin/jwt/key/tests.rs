use serde_json::Value;

use super::super::key_set::KeySet;
use super::super::token::Token;
use super::*;

/// Keys and tokens that another library has made: see `vectors.py`.
fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text<'v>(vectors: &'v Value, of: &str, name: &str) -> &'v str {
    vectors[of][name].as_str().unwrap_or_else(|| panic!("{of} {name}"))
}

/// The names of the algorithms, each with that of the key that verifies it.
const ALGORITHMS: [(&str, &str); 13] = [
    ("HS256", "secret"),
    ("HS384", "secret"),
    ("HS512", "secret"),
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("ES512", "p521"),
    ("EdDSA", "ed25519"),
];
const KEYS: [&str; 6] = ["secret", "rsa", "p256", "p384", "p521", "ed25519"];

fn key(vectors: &Value, name: &str) -> Key {
    let text = text(vectors, "keys", name);
    if name == "secret" { Key::of_secret(text.into()).unwrap() } else { Key::of_pem(text).unwrap() }
}

#[test]
fn every_algorithm_verifies_with_its_key_alone() {
    let vectors = vectors();
    for (algorithm, right) in ALGORITHMS {
        let token = Token::parse(text(&vectors, "tokens", algorithm).as_bytes()).unwrap();
        for name in KEYS {
            let verified = key(&vectors, name).verify(token.algorithm, token.signed, &token.signature);
            let expected = if name == right { Ok(()) } else { Err(Unverified::Key) };
            assert_eq!(verified, expected, "{algorithm} {name}");
        }
    }
}

#[test]
fn changed_tokens_and_signatures_do_not_verify() {
    let vectors = vectors();
    for (algorithm, name) in ALGORITHMS {
        let (key, token) = (key(&vectors, name), text(&vectors, "tokens", algorithm));
        let token = Token::parse(token.as_bytes()).unwrap();
        let refused = |signed: &[u8], signature: &[u8]| {
            let verified = key.verify(token.algorithm, signed, signature);
            assert_eq!(verified, Err(Unverified::Signature), "{algorithm} {signature:?}");
        };
        refused(b"other", &token.signature);
        refused(token.signed, b"");
        refused(token.signed, &token.signature[1..]);
        refused(token.signed, &vec![0; token.signature.len()]);
        refused(token.signed, &[token.signature.as_slice(), b"\0"].concat());
        let mut changed = token.signature.clone();
        changed[0] ^= 1;
        refused(token.signed, &changed);
    }
}

/// The public key of an asymmetric algorithm is known to everyone.
#[test]
fn public_key_is_no_secret() {
    let vectors = vectors();
    let token = Token::parse(text(&vectors, "tokens", "confused").as_bytes()).unwrap();
    // It is signed with the PEM text as a secret.
    let secret = Key::of_secret(text(&vectors, "keys", "rsa").into()).unwrap();
    assert_eq!(secret.verify(token.algorithm, token.signed, &token.signature), Ok(()));
    let public = key(&vectors, "rsa");
    assert_eq!(public.verify(token.algorithm, token.signed, &token.signature), Err(Unverified::Key));
}

#[test]
fn forms_of_public_keys() {
    let vectors = vectors();
    let token = Token::parse(text(&vectors, "tokens", "RS256").as_bytes()).unwrap();
    for form in ["rsa", "rsa_pkcs1", "rsa_certificate"] {
        let key = Key::of_pem(text(&vectors, "keys", form)).unwrap();
        assert_eq!(key.verify(token.algorithm, token.signed, &token.signature), Ok(()), "{form}");
    }
    let pem = text(&vectors, "keys", "rsa");
    for bad in
        ["", "secret", &pem.replace("PUBLIC", "PRIVATE"), &pem[..200], text(&vectors, "keys", "x25519")]
    {
        assert!(Key::of_pem(bad).is_none(), "{bad}");
    }
    assert!(Key::of_secret(vec![]).is_none());
}

#[test]
fn small_rsa_keys_verify_nothing() {
    let vectors = vectors();
    let token = Token::parse(text(&vectors, "tokens", "small").as_bytes()).unwrap();
    let key = key(&vectors, "rsa_1024");
    assert_eq!(key.verify(token.algorithm, token.signed, &token.signature), Err(Unverified::Signature));
}

#[test]
fn keys_of_sets_verify() {
    let vectors = vectors();
    let set = KeySet::parse(vectors["set"].to_string().as_bytes()).unwrap();
    for (algorithm, name) in ALGORITHMS.into_iter().filter(|(_, name)| *name != "secret") {
        let token = Token::parse(text(&vectors, "tokens", algorithm).as_bytes()).unwrap();
        let mut found = set.candidates(Some(name), token.algorithm);
        let key = found.next().unwrap_or_else(|| panic!("{algorithm}"));
        assert_eq!(key.verify(token.algorithm, token.signed, &token.signature), Ok(()), "{algorithm}");
        assert!(found.next().is_none());
    }
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", Key::of_secret(b"word".to_vec())), "Some(Secret(Secret(***)))");
}
