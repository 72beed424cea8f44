//! A record with fields that must be understood, written by one version and read by another.

use model_derive::Record;
use serde_json::{Value, json};

use super::*;
use crate::entity::Unreadable;
use crate::kind;
use crate::record::{Check, Record};

/// A record as the later version knows it.
#[derive(Clone, Debug, PartialEq, Record)]
struct Later {
    /// A text.
    name: Option<String>,
    /// An order.
    #[field(must_understand, default = 7)]
    order: u8,
    /// A guard without a default of its own.
    #[field(must_understand)]
    guard: String,
    /// Records.
    parts: Vec<Part>,
}

/// A record within it.
#[derive(Clone, Debug, PartialEq, Record)]
struct Part {
    /// A limit.
    #[field(must_understand)]
    limit: Option<u8>,
}

/// The record as an earlier version knows it.
#[derive(Clone, Debug, PartialEq, Record)]
struct Earlier {
    /// A text.
    name: Option<String>,
    /// Records, of whatever.
    parts: Vec<EarlierPart>,
}

/// A record within that.
#[derive(Clone, Debug, PartialEq, Record)]
struct EarlierPart {
    /// A text.
    text: Option<String>,
}

impl Check for Later {}
impl Check for Part {}
impl Check for Earlier {}
impl Check for EarlierPart {}

fn unsupported<R: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    match Unreadable::from(serde_json::from_str::<R>(text).unwrap_err()) {
        Unreadable::Unsupported(field) => field,
        other => panic!("{other:?}"),
    }
}

fn read<R: serde::de::DeserializeOwned>(text: &str) -> R {
    serde_json::from_str(text).unwrap()
}

#[test]
fn marked_field_is_written_only_when_it_differs_from_its_default() {
    let plain = Later { name: Some("a".into()), parts: vec![Part::default()], ..Later::default() };
    let text = serde_json::to_string(&plain).unwrap();
    assert_eq!(text, r#"{"name":"a","parts":[{}]}"#);
    assert_eq!(read::<Earlier>(&text).name.as_deref(), Some("a"));
    let marked = Later { order: 8, guard: "g".into(), parts: vec![Part { limit: Some(1) }], ..plain.clone() };
    let text = serde_json::to_string(&marked).unwrap();
    assert_eq!(text, r#"{"name":"a","!order":8,"!guard":"g","parts":[{"!limit":1}]}"#);
    assert_eq!((read::<Later>(&text), read::<Later>(r#"{"name":"a","parts":[{}]}"#)), (marked, plain));
}

#[test]
fn unknown_marked_field_is_refused_wherever_it_stands() {
    assert_eq!(unsupported::<Earlier>(r#"{"!order":8}"#), "order");
    assert_eq!(unsupported::<Earlier>(r#"{"\u0021order":8}"#), "order");
    assert_eq!(unsupported::<Earlier>(r#"{"parts":[{},{"!limit":1}]}"#), "limit");
    assert_eq!(unsupported::<Later>(r#"{"!name":"a"}"#), "name", "it must not be understood in another way");
    assert_eq!(unsupported::<Later>(r#"{"! at line 1":1}"#), " at line 1");
    assert_eq!(unsupported::<Later>(&format!(r#"{{"!{}":1}}"#, "x".repeat(10_000))).len(), LONGEST_SHOWN);
    // An unmarked member of that name is an unknown one, as every other.
    assert_eq!(read::<Later>(r#"{"order":8,"else":[1]}"#), Later::default());
}

const LONGEST_SHOWN: usize = 100;

#[test]
fn bytes_of_no_record_are_refused_with_another_reason() {
    for text in ["[]", "7", r#"{"name":7}"#, r#"{"name":"a","name":"b"}"#, r#"{"!order":8,"!order":8}"#, "{"]
    {
        let error = serde_json::from_str::<Later>(text).unwrap_err();
        assert!(matches!(Unreadable::from(error), Unreadable::Bytes(_)), "{text}");
    }
}

#[test]
fn marked_fields_are_found_by_their_path() {
    let find = |fields, value: Option<&Value>| {
        let mut found = Vec::new();
        super::find(fields, value, "things", &mut found);
        found
    };
    let all = ["things.order", "things.guard", "things.parts.limit"];
    assert_eq!(find(Later::fields(), None), all);
    let value = json!({ "name": "!a", "!order": 8, "parts": [{}, { "!limit": 1 }] });
    assert_eq!(find(Later::fields(), Some(&value)), ["things.order", "things.parts.limit"]);
    assert_eq!(find(Earlier::fields(), Some(&value)), ["things.order", "things.parts.limit"]);
}

#[test]
fn marks_of_an_entity_are_those_of_its_members() {
    let marked = |kind, text: &str| marked_fields(kind, text.as_bytes());
    assert_eq!(marked(kind::SERVICE, r#"{"host":"a","!order":1}"#), ["services.order"]);
    // Neither a value nor the name of a header is a field.
    let route = r#"{"paths":["/!a"],"headers":{"!x":["!y"]}}"#;
    assert!(marked(kind::ROUTE, route).is_empty());
    assert_eq!(marked(kind::ROUTE, r#"{"sources":[{"!zone":1},{"!zone":2}]}"#), ["routes.sources.zone"]);
    assert_eq!(marked(Kind(99), r#"{"!a":1,"b":{"!c":1}}"#), ["kind 99.a"]);
    assert!(marked(kind::SERVICE, "!").is_empty() && marked(kind::SERVICE, r#"["!"]"#).is_empty());
    assert!(must_understand_fields().iter().all(|field| field.contains('.')));
}
