//! Credentials as bodies give them and as they are stored.

use model::{Common, Described, Entity, HashKey, Input, KeyAuthCredential, Map, Value, Violations};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::kinds;

const CONSUMER: &str = "00000000-0000-4000-8000-000000000001";
const OTHER: &str = "00000000-0000-4000-8000-000000000002";

fn secrets(keeps_keys: bool) -> Secrets {
    let key = HashKey::of_bytes(&[7; 32]).canonical();
    Secrets::new(Some(&key), keeps_keys)
}

fn of(collection: &str) -> &'static dyn Described {
    model::of_collection(collection).unwrap()
}

/// Reads a body over the canonical bytes of an entity, with the given fields of the consumer added.
fn read(
    collection: &str,
    mut body: Value,
    held: Option<&[u8]>,
    secrets: &Secrets,
) -> Result<Vec<u8>, Violations> {
    let kind = of(collection);
    body.as_object_mut().unwrap().entry("consumer").or_insert(json!({ "id": CONSUMER }));
    let Value::Object(mut fields) = body else { unreachable!() };
    held.into_iter().for_each(|held| kind.reveal(held, &mut fields));
    let common = Common { id: Uuid::nil(), created_at: 1000, updated_at: 1000, tags: None };
    let context = ReadContext { held, secrets, ttl_from: 1000, keeps_expiry: false };
    let input = Input { fields, form: false };
    kinds::read(kind, input, &common, Violations::default(), &context).map(|content| content.bytes)
}

fn key_auth(body: Value, held: Option<&[u8]>, secrets: &Secrets) -> KeyAuthCredential {
    serde_json::from_slice(&read("keyauth_credentials", body, held, secrets).unwrap()).unwrap()
}

fn refusal(collection: &str, body: Value, held: Option<&[u8]>) -> String {
    read(collection, body, held, &secrets(false)).unwrap_err().to_string()
}

#[test]
fn keys_are_stored_as_hashes() {
    let hash = secrets(false).hash("abc");
    let hidden = key_auth(json!({ "key": "abc" }), None, &secrets(false));
    assert_eq!((hidden.key, hidden.hash.as_ref()), (None, Some(&hash)));
    let shown = key_auth(json!({ "key": "abc" }), None, &secrets(true));
    assert_eq!((shown.key.unwrap().expose(), shown.hash.as_ref()), ("abc", Some(&hash)));
    let none = key_auth(json!({ "key": null }), None, &secrets(false));
    assert_eq!((none.key, none.hash, none.address), (None, None, None));
    assert!(hidden.address.is_some() && hidden.address == shown.address);
}

#[test]
fn hidden_key_stays_and_needs_a_stored_one() {
    for (first, then) in [(false, false), (true, false), (false, true), (true, true)] {
        let held = read("keyauth_credentials", json!({ "key": "abc" }), None, &secrets(first)).unwrap();
        let kept = key_auth(json!({ "key": HIDDEN }), Some(&held), &secrets(then));
        let hashed = secrets(then).hashed("abc");
        assert_eq!((kept.hash, kept.address), (hashed.hash, hashed.address), "{first} {then}");
        assert_eq!(kept.key.is_some(), first && then, "{first} {then}");
    }
    let without = read("keyauth_credentials", json!({ "key": null }), None, &secrets(false)).unwrap();
    for held in [None, Some(&without[..])] {
        let refused = refusal("keyauth_credentials", json!({ "key": HIDDEN }), held);
        assert!(refused.contains("key: no value is stored that '***' could stand for"), "{refused}");
    }
    let held = read("keyauth_credentials", json!({ "key": "abc" }), None, &secrets(false)).unwrap();
    let of_another = json!({ "key": hidden_key(Uuid::max()) });
    assert!(refusal("keyauth_credentials", of_another, Some(&held)).contains("no value is stored"));
    let refused = refusal("jwt_secrets", json!({ "key": "a", "secret": HIDDEN }), None);
    assert!(refused.contains("secret: no value is stored"), "{refused}");
}

#[test]
fn time_to_live_begins_at_the_writing() {
    let expiry = |body| key_auth(body, None, &secrets(false)).expires_at;
    assert_eq!(expiry(json!({ "key": "a", "ttl": 60 })), Some(1060));
    assert_eq!(expiry(json!({ "key": "a", "ttl": 0 })), None);
    assert_eq!(expiry(json!({ "key": "a", "ttl": null })), None);
    let held = read("keyauth_credentials", json!({ "key": "a", "ttl": 60 }), None, &secrets(false)).unwrap();
    assert_eq!(remaining(&held, 1_000_000), Some(60));
    assert_eq!(remaining(&held, 1_058_001), Some(1));
    assert_eq!(remaining(&held, 1_060_001), Some(-1));
    // A key never shows that nothing is left of it.
    let key = key_auth(json!({ "key": "a", "ttl": 60 }), None, &secrets(false));
    for (now, left) in [(1058, 2), (1059, 1)] {
        assert_eq!(remaining(&held, now * 1000), Some(left));
        assert_eq!(key.has_expired_at(now), left == 1, "{now}");
    }
    for (value, form, good) in [
        (json!(0), false, true),
        (json!(100_000_000), false, true),
        (json!(10.0), false, true),
        (json!(100_000_001), false, false),
        (json!(-1), false, false),
        (json!(1.5), false, false),
        (json!(1e300), false, false),
        (json!("10"), false, false),
        (json!("10"), true, true),
        (json!([]), true, false),
    ] {
        assert_eq!(check_ttl(&value, form).is_ok(), good, "{value} {form}");
    }
}

#[test]
fn password_is_hashed_once() {
    let body = json!({ "username": "alice", "password": "correct horse" });
    let first = read("basicauth_credentials", body.clone(), None, &secrets(false)).unwrap();
    let text = String::from_utf8(first.clone()).unwrap();
    assert!(text.contains("$argon2id$v=19$m=7168,t=5,p=1$") && !text.contains("horse"), "{text}");
    // Another credential with the password has another salt; the same one keeps its hash.
    assert_ne!(read("basicauth_credentials", body.clone(), None, &secrets(false)).unwrap(), first);
    let again = read("basicauth_credentials", body, Some(&first), &secrets(false)).unwrap();
    assert_eq!(again, first);
    let hidden = json!({ "username": "bob", "password": HIDDEN });
    let renamed = read("basicauth_credentials", hidden, Some(&first), &secrets(false)).unwrap();
    assert_eq!(String::from_utf8(renamed).unwrap(), text.replace("alice", "bob"));
    let other = json!({ "username": "alice", "password": "another" });
    assert_ne!(read("basicauth_credentials", other, Some(&first), &secrets(false)).unwrap(), first);
}

#[test]
fn hashes_are_taken_as_they_are() {
    let sha1 = format!("{{SHA1}}{}", "0a".repeat(20));
    let body = json!({ "username": "alice", "password": sha1 });
    let stored = read("basicauth_credentials", body, None, &secrets(false)).unwrap();
    assert!(String::from_utf8(stored.clone()).unwrap().contains(&sha1));
    // Kong's hash has the consumer for its salt.
    let moved = json!({ "username": "alice", "password": HIDDEN, "consumer": { "id": OTHER } });
    let refused = refusal("basicauth_credentials", moved, Some(&stored));
    assert!(refused.contains("password: the stored hash holds for its consumer alone"), "{refused}");
    for bad in
        ["{SHA1}00", "$argon2id$v=19$m=1000000,t=1,p=1$AAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA", "$argon2i$"]
    {
        let refused = refusal("basicauth_credentials", json!({ "username": "a", "password": bad }), None);
        assert!(refused.contains("password: expected a password") && !refused.contains(bad), "{refused}");
    }
    let refused =
        refusal("basicauth_credentials", json!({ "username": "a", "password": "a".repeat(5000) }), None);
    assert!(refused.contains("length must be at most 4096"), "{refused}");
    let refused = refusal("basicauth_credentials", json!({ "username": "a" }), None);
    assert_eq!(refused, "schema violation (password: required field missing)");
}

#[test]
fn public_keys_are_read_where_they_are_needed() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let (public, private) = (pair.public_key_pem(), pair.serialize_pem());
    let jwt = |algorithm: &str, key: Option<&str>| {
        let body = json!({ "key": "a", "algorithm": algorithm, "rsa_public_key": key });
        read("jwt_secrets", body, None, &secrets(false)).map(drop).map_err(|refused| refused.to_string())
    };
    let condition = "failed conditional validation given value of field 'algorithm'";
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"] {
        assert_eq!(jwt(algorithm, Some(&public)), Ok(()), "{algorithm}");
        let missing = jwt(algorithm, None).unwrap_err();
        let expected = format!("2 schema violations ({condition}; rsa_public_key: required field missing)");
        assert_eq!(missing, expected, "{algorithm}");
        for bad in ["x", "-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n"] {
            let expected = format!("2 schema violations ({condition}; rsa_public_key: invalid key)");
            assert_eq!(jwt(algorithm, Some(bad)), Err(expected), "{algorithm}");
        }
    }
    for algorithm in ["HS256", "ES256", "ES384", "ES512"] {
        assert_eq!((jwt(algorithm, None), jwt(algorithm, Some("x"))), (Ok(()), Ok(())), "{algorithm}");
    }
    assert!(jwt("ES256", Some(&private)).unwrap_err().contains("it is a private key"));
    assert!(jwt("none", None).unwrap_err().contains("expected one of: HS256, HS384, HS512, RS256"));
}

#[test]
fn values_are_made_up_when_they_are_not_given() {
    for (collection, names) in [
        ("keyauth_credentials", &["key"][..]),
        ("jwt_secrets", &["key", "secret"]),
        ("hmacauth_credentials", &["secret"]),
        ("basicauth_credentials", &[]),
        ("acls", &[]),
    ] {
        let (mut first, mut second) = (Map::new(), Map::new());
        generate(of(collection), &mut first);
        generate(of(collection), &mut second);
        assert_eq!(first.keys().collect::<Vec<_>>(), names, "{collection}");
        for name in names {
            let text = first[*name].as_str().unwrap();
            assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
            assert_ne!(first[*name], second[*name]);
        }
        let mut given: Map = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
        generate(of(collection), &mut given);
        assert!(given.values().all(Value::is_null), "{collection}");
    }
}

#[test]
fn declared_credentials_keep_what_a_document_does_not_give() {
    let kind = of("jwt_secrets");
    let held = read("jwt_secrets", json!({ "key": "a", "secret": "s" }), None, &secrets(false)).unwrap();
    let (mut fields, mut violations) = (Map::new(), Violations::default());
    keep_or_generate(kind, &mut fields, Some(&held), &mut violations);
    assert_eq!((&fields["key"], &fields["secret"]), (&json!("a"), &json!("s")));
    assert!(violations.is_empty());
    let mut fields = Map::new();
    keep_or_generate(kind, &mut fields, None, &mut violations);
    assert_eq!(violations.to_string(), "schema violation (key: required field missing)");
    assert_eq!(fields["secret"].as_str().map(str::len), Some(32));
}

#[test]
fn document_gives_a_bounded_number_of_passwords() {
    let secrets = secrets(false);
    assert!((0..2000).all(|_| secrets.count_password().is_ok()));
    assert!(secrets.count_password().is_err());
}

#[test]
fn earlier_form_of_a_key_is_known_by_its_hash() {
    let fields = |hash: &str| {
        let Value::Object(fields) = json!({ "key": HIDDEN, "hash": hash }) else { unreachable!() };
        fields
    };
    let held = read("keyauth_credentials", json!({ "key": "abc" }), None, &secrets(true)).unwrap();
    let mut same = fields(&secrets(true).hash("abc"));
    restored(&mut same, Some(&held));
    assert_eq!(same["key"], "abc");
    for (hash, held) in [("another", Some(&held[..])), ("another", None)] {
        let mut other = fields(hash);
        restored(&mut other, held);
        assert_eq!(other, json!({ "hash": hash }).as_object().unwrap().clone());
    }
    // An older version stored no address.
    for keeps in [true, false] {
        let mut form = key_auth(json!({ "key": "abc", "ttl": 60 }), None, &secrets(keeps));
        let held = form.canonical();
        form.address = None;
        let mut older: Map = serde_json::from_slice(&form.canonical()).unwrap();
        restored(&mut older, Some(&held));
        assert_eq!(serde_json::to_vec(&older).unwrap(), held);
    }
}

/// As long as the key is kept, any write gives it the address that an older version did not store.
#[test]
fn kept_key_gets_an_address() {
    for (keeps, expected) in [(true, secrets(true).hashed("abc").address), (false, None)] {
        let mut older = key_auth(json!({ "key": "abc" }), None, &secrets(keeps));
        older.address = None;
        let written = key_auth(json!({ "key": HIDDEN }), Some(&older.canonical()), &secrets(true));
        assert_eq!((written.hash, written.address), (older.hash, expected), "{keeps}");
    }
}
