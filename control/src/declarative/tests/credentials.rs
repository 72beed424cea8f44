//! Consumers with their credentials and groups.

use model::HashKey;

use super::*;
use crate::kinds;
use crate::kinds::credential::Secrets;

fn secrets(keeps_keys: bool) -> Secrets {
    let key = model::Entity::canonical(&HashKey::of_bytes(&[7; 32]));
    Secrets::new(Some(&key), keeps_keys)
}

fn read_with(document: &Value, entities: &[(Key, Held)], secrets: &Secrets) -> Result<Difference, ReadError> {
    let (mut current, mut budget) = (Current::new(Selection::default()), budget());
    for (key, held) in entities {
        current.add(*key, held.clone(), &mut budget).unwrap();
    }
    let read_entity = |kind, input, common: &Common, violations, held: Option<&[u8]>| {
        kinds::read_declared(kind, input, common, violations, secrets, held)
    };
    let options = ReadOptions { now: NOW * 1000, read: &read_entity, hash: &|secret| secrets.hash(secret) };
    read(document.to_string().as_bytes(), Format::Json, &options, &mut current, &mut budget)
}

fn document() -> Value {
    json!({
        "_format_version": "3.0",
        "consumers": [
            {
                "username": "alice",
                "custom_id": "42",
                "keyauth_credentials": [{ "key": "first" }, { "key": "second", "ttl": 3600, "tags": ["t"] }],
                "basicauth_credentials": [{ "username": "alice", "password": "correct horse" }],
                "jwt_secrets": [{ "key": "issuer", "secret": "hunter2" }],
                "hmacauth_credentials": [{ "username": "alice" }],
                "acls": [{ "group": "staff" }, { "group": "admins" }],
            },
            { "custom_id": "43", "id": "00000000-0000-4000-8000-000000000043" },
        ],
        "acls": [{ "group": "staff", "consumer": "00000000-0000-4000-8000-000000000043" }],
    })
}

#[test]
fn nested_credentials_are_read_and_stay_as_they_are() {
    for keeps_keys in [false, true] {
        let secrets = secrets(keeps_keys);
        let first = read_with(&document(), &[], &secrets).unwrap();
        assert_eq!(first.puts.len(), 10);
        let entities = applied(&[], &first);
        let again = read_with(&document(), &entities, &secrets).unwrap();
        assert!(again.is_empty() && again.unchanged == 10, "{:?}", again.summaries().collect::<Vec<_>>());
        let texts = entities.iter().map(|(_, held)| String::from_utf8_lossy(&held.body).into_owned());
        assert_eq!(texts.filter(|text| text.contains("first")).count(), usize::from(keeps_keys));
    }
}

#[test]
fn keys_are_told_apart_by_their_hashes() {
    let secrets = secrets(false);
    let entities = applied(&[], &read_with(&document(), &[], &secrets).unwrap());
    let mut changed = document();
    changed["consumers"][0]["keyauth_credentials"] =
        json!([{ "key": "third" }, { "key": "first", "tags": ["new"] }]);
    let difference = read_with(&changed, &entities, &secrets).unwrap();
    let mut operations: Vec<_> = difference.summaries().collect();
    operations.sort_by_key(|summary| summary.operation);
    let kinds: Vec<_> = operations.iter().map(|summary| summary.operation).collect();
    assert_eq!(kinds, [Operation::Create, Operation::Update, Operation::Delete]);
    assert_eq!(operations[1].fields, ["tags"]);
    assert!(operations.iter().all(|summary| summary.name.is_none()), "a name would be the key");

    let mut twice = document();
    twice["consumers"][1]["keyauth_credentials"] = json!([{ "key": "first" }]);
    let refused = read_with(&twice, &[], &secrets).unwrap_err().to_string();
    assert!(refused.contains("entity with key set to '***' already declared"), "{refused}");
    assert!(!refused.contains("first"), "{refused}");
    let mut without = document();
    without["consumers"][1]["keyauth_credentials"] = json!([{}]);
    let refused = read_with(&without, &[], &secrets).unwrap_err().to_string();
    assert!(refused.contains("key: required field missing"), "{refused}");
}

#[test]
fn another_text_is_a_change_of_the_key_alone() {
    let key = |text: &str| {
        let id = "00000000-0000-4000-8000-000000000051";
        let mut document = document();
        document["consumers"][0]["keyauth_credentials"] = json!([{ "id": id, "key": text, "ttl": 60 }]);
        document
    };
    let secrets = secrets(true);
    let entities = applied(&[], &read_with(&key("first"), &[], &secrets).unwrap());
    let difference = read_with(&key("second"), &entities, &secrets).unwrap();
    let changed: Vec<_> = difference.summaries().map(|summary| summary.fields.clone()).collect();
    assert_eq!(changed, [["key"]]);
}

#[test]
fn dump_stays_and_shows_secrets_where_they_may_be_shown() {
    for (keeps_keys, with_ids) in [(false, false), (false, true), (true, false), (true, true)] {
        let secrets = secrets(keeps_keys);
        let entities = applied(&[], &read_with(&document(), &[], &secrets).unwrap());
        let options = DumpOptions { with_ids, show_secrets: keeps_keys, ..DumpOptions::default() };
        let mut dumped = Vec::new();
        Dump::new(options, entities.iter().cloned()).write(Format::Json, &mut dumped).unwrap();
        let text = String::from_utf8(dumped).unwrap();
        for secret in ["first", "second", "hunter2", "$argon2id$"] {
            assert_eq!(text.contains(secret), keeps_keys, "{secret}: {text}");
        }
        for absent in ["horse", "\"hash\"", "\"address\"", "expires_at"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
        let dumped: Value = serde_json::from_str(&text).unwrap();
        let again = read_with(&dumped, &entities, &secrets).unwrap();
        assert!(again.is_empty(), "{:?}", again.summaries().collect::<Vec<_>>());
        match read_with(&dumped, &[], &secrets) {
            Ok(difference) => assert!(keeps_keys && difference.puts.len() == 10),
            Err(refused) => {
                let refused = refused.to_string();
                assert!(!keeps_keys && refused.contains("no value is stored"), "{refused}");
            }
        }
    }
}
