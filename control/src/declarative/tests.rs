mod bounds;
mod credentials;
mod differences;
mod dumps;
mod errors;
mod plugins;
mod targets;

use model::{Common, Content, Described, Input, Violations};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{Key, Kind};

use super::*;

/// The time of each reading.
const NOW: i64 = 1_700_000_000;

fn read_entity(
    kind: &'static dyn Described,
    mut input: Input,
    common: &Common,
    mut violations: Violations,
    _: Option<&[u8]>,
) -> Result<Content, Violations> {
    kind.expand(&mut input.fields, &mut violations);
    kind.read(input, common, violations)
}

/// Stands for a hash.
fn hash_secret(secret: &str) -> String {
    format!("hash of {secret}")
}

fn budget() -> Budget {
    Budget::new(256 << 20)
}

/// Reads a document over `entities`.
fn read_over(
    text: &str,
    format: Format,
    entities: &[(Key, Held)],
    tags: &[&str],
) -> Result<Difference, ReadError> {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let (mut current, mut budget) = (Current::new(Selection { tags }), budget());
    for (key, held) in entities {
        current.add(*key, held.clone(), &mut budget).unwrap();
    }
    let options = ReadOptions { now: NOW * 1000, read: &read_entity, hash: &hash_secret };
    read(text.as_bytes(), format, &options, &mut current, &mut budget)
}

fn read_json(document: &Value) -> Result<Difference, ReadError> {
    read_over(&document.to_string(), Format::Json, &[], &[])
}

/// Applies a difference to entities, as a database would.
fn applied(entities: &[(Key, Held)], difference: &Difference) -> Vec<(Key, Held)> {
    let mut all: std::collections::BTreeMap<Key, Held> = entities.iter().cloned().collect();
    for (key, _) in &difference.deletes {
        all.remove(key).expect("a deleted entity exists");
    }
    for put in &difference.puts {
        let Common { created_at, updated_at, tags, .. } = put.common.clone();
        let body = put.content.bytes.clone().into();
        all.insert(put.key(), Held { body, tags, created_at, updated_at });
    }
    all.into_iter().collect()
}

/// A configuration that a document makes.
fn made(document: &Value) -> Vec<(Key, Held)> {
    applied(&[], &read_json(document).unwrap())
}

fn body(entities: &[(Key, Held)], kind: Kind) -> Vec<Value> {
    let of_kind = entities.iter().filter(|(key, _)| key.kind == kind);
    of_kind.map(|(_, held)| serde_json::from_slice(&held.body).unwrap()).collect()
}

fn key_of(entities: &[(Key, Held)], kind: Kind) -> Key {
    entities.iter().find(|(key, _)| key.kind == kind).unwrap().0
}

/// The changes as `create services a`.
fn changes(difference: &Difference) -> Vec<String> {
    let text = |change: Summary| {
        let name = change.name.unwrap_or_default();
        let fields = change.fields.join(",");
        format!("{} {} {name} {fields}", change.operation.as_str(), model::collection(change.key.kind))
    };
    difference.summaries().map(|change| text(change).trim_end().to_owned()).collect()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A document with a service, a route in it, and a certificate with two server names.
fn nested() -> Value {
    json!({
        "_format_version": "3.0",
        "_transform": true,
        "_comment": "a comment",
        "services": [{
            "name": "a",
            "host": "example.com",
            "_comment": "in an entity",
            "routes": [{ "name": "r", "paths": ["/r"] }, { "paths": ["/s"] }],
        }],
        "certificates": [{ "cert": CERT, "key": KEY, "snis": [{ "name": "A.example" }, "b.example"] }],
    })
}

const CERT: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LW9mLXRlc3Rz\n-----END PRIVATE KEY-----\n";
