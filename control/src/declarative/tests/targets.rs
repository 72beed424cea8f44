//! Upstreams with their targets. A target is recognised by its text and its upstream, and what operators do at
//! run time is no part of a document.

use model::{Entity, TargetState, kind};

use super::*;

fn document(weight: u16) -> Value {
    json!({
        "_format_version": "3.0",
        "upstreams": [
            {
                "name": "a",
                "hash_on": "ip",
                "healthchecks": { "active": { "healthy": { "interval": 1 } } },
                "targets": [
                    { "target": "x", "weight": weight, "tags": ["zone:eu"] },
                    { "target": "::1" },
                ],
            },
            { "name": "B.internal" },
        ],
        "targets": [{ "target": "x:8000", "upstream": { "name": "b.INTERNAL" } }],
    })
}

fn read_again(document: &Value, entities: &[(Key, Held)]) -> Difference {
    read_over(&document.to_string(), Format::Json, entities, &[]).unwrap()
}

/// The operator drains the first target.
fn drained(mut entities: Vec<(Key, Held)>) -> Vec<(Key, Held)> {
    let target = key_of(&entities, kind::TARGET).id;
    let state = TargetState { target, state: model::AdminState::Drain, ..TargetState::default() };
    let held = Held { body: state.canonical().into(), tags: None, created_at: 1, updated_at: 1 };
    entities.push((TargetState::key(target), held));
    entities
}

#[test]
fn nested_targets_have_their_stored_form() {
    let entities = made(&document(5));
    let mut targets = body(&entities, kind::TARGET);
    targets.sort_by_key(|target| target["target"].to_string());
    let texts: Vec<_> = targets.iter().map(|target| &target["target"]).collect();
    assert_eq!(texts, ["[0000:0000:0000:0000:0000:0000:0000:0001]:8000", "x:8000", "x:8000"]);
    assert!(targets.iter().any(|target| target["zone"] == "eu" && target["weight"] == 5));
    let upstreams = body(&entities, kind::UPSTREAM);
    assert!(upstreams.iter().any(|upstream| upstream["algorithm"] == "consistent-hashing"));
    let (_, held) = entities.iter().find(|(key, _)| key.kind == kind::TARGET).unwrap();
    assert_eq!(held.created_at, NOW * 1000);
}

#[test]
fn targets_are_recognised_by_their_text_and_upstream() {
    let entities = drained(made(&document(5)));
    assert_eq!(changes(&read_again(&document(5), &entities)), Vec::<String>::new());
    let changed = read_again(&document(6), &entities);
    assert_eq!(changes(&changed), ["update targets x:8000 weight"]);
    let mut without = document(5);
    without["upstreams"][0]["targets"].as_array_mut().unwrap().remove(1);
    let gone = "delete targets [0000:0000:0000:0000:0000:0000:0000:0001]:8000";
    assert_eq!(changes(&read_again(&without, &entities)), [gone]);
}

#[test]
fn the_same_target_twice_is_an_error() {
    let mut twice = document(5);
    let targets = twice["upstreams"][0]["targets"].as_array_mut().unwrap();
    targets.push(json!({ "target": "X:8000" }));
    assert_eq!(read_json(&twice).unwrap().puts.len(), 6, "names keep their case");
    twice["upstreams"][0]["targets"].as_array_mut().unwrap().push(json!({ "target": "x:8000" }));
    let error = read_json(&twice).unwrap_err().to_string();
    assert!(error.contains("target") && error.contains("x:8000"), "{error}");
}

#[test]
fn what_operators_do_is_no_part_of_a_document() {
    let entities = drained(made(&document(5)));
    let mut out = Vec::new();
    for with_ids in [true, false] {
        let options = DumpOptions { with_ids, ..DumpOptions::default() };
        out.clear();
        Dump::new(options, entities.iter().cloned()).write(Format::Json, &mut out).unwrap();
        let text = String::from_utf8(out.clone()).unwrap();
        assert!(!text.contains("target_states") && !text.contains("zone\""), "{text}");
        let again = read_over(&text, Format::Json, &entities, &[]).unwrap();
        assert_eq!(changes(&again), Vec::<String>::new(), "{text}");
    }
    let states = json!({ "_format_version": "3.0", "target_states": [] });
    assert!(read_json(&states).unwrap_err().to_string().contains("unknown field"));
    let nothing = read_again(&json!({ "_format_version": "3.0" }), &entities);
    assert!(nothing.deletes.iter().all(|(key, _)| !model::is_operational(key.kind)));
}

#[test]
fn policy_stays_unless_the_document_has_one() {
    let mut with = document(5);
    with["upstreams"][0]["policy"] = json!({ "recover_after": 3 });
    let entities = made(&with);
    assert_eq!(changes(&read_again(&document(5), &entities)), Vec::<String>::new());
    let mut reset = document(5);
    reset["upstreams"][0]["policy"] = Value::Null;
    assert_eq!(changes(&read_again(&reset, &entities)), ["update upstreams a policy"]);
}
