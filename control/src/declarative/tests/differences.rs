use model::kind;

use super::*;

#[test]
fn nested_and_flat_documents_are_equal() {
    let entities = made(&nested());
    let service = key_of(&entities, kind::SERVICE).id;
    let routes = body(&entities, kind::ROUTE);
    assert_eq!(routes.len(), 2);
    assert!(routes.iter().all(|route| route["service"] == json!(service)));
    let certificate = key_of(&entities, kind::CERTIFICATE).id;
    let names: Vec<_> = body(&entities, kind::SNI);
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|sni| sni["certificate"] == json!(certificate)));
    assert!(names.iter().any(|sni| sni["name"] == "a.example"));

    let flat = json!({
        "_format_version": "3.0",
        // Before the service that they name.
        "routes": [
            { "name": "r", "paths": ["/r"], "service": "a" },
            { "paths": ["/s"], "service": { "name": "a" } },
        ],
        "snis": [
            { "name": "a.example", "certificate": { "id": certificate } },
            { "name": "b.example", "certificate": certificate },
        ],
        "services": [{ "name": "a", "url": "http://example.com" }],
        "certificates": [{ "id": certificate, "cert": CERT, "key": "***" }],
    });
    let difference = read_over(&flat.to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(changes(&difference), Vec::<String>::new());
    assert_eq!(difference.unchanged, 6);
}

#[test]
fn the_same_document_again_changes_nothing() {
    let entities = made(&nested());
    let difference = read_over(&nested().to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(changes(&difference), Vec::<String>::new());
    assert_eq!(difference.unchanged, 6);
}

#[test]
fn yaml_is_read_as_json_is() {
    let yaml = r#"
_format_version: "3.0"
_comment: text
services:
- name: a
  host: example.com
  tags: [no, "yes"]
  routes:
  - name: r
    paths: [/r]
    preserve_host: true
    regex_priority: 7
  - &route
    name: s
    paths:
    - /s
  - <<: *route
    name: t
"#;
    let entities = applied(&[], &read_over(yaml, Format::Yaml, &[], &[]).unwrap());
    let tags = entities[0].1.tags.clone().unwrap();
    assert_eq!(tags, ["no", "yes"], "only true and false are booleans");
    let routes = body(&entities, kind::ROUTE);
    let route = |name: &str| routes.iter().find(|route| route["name"] == name).unwrap().clone();
    assert_eq!(route("r")["regex_priority"], 7);
    assert_eq!(route("r")["preserve_host"], true);
    assert_eq!(route("t")["paths"], json!(["/s"]), "merged");
}

#[test]
fn formats_are_known() {
    for format in ["\"1.1\"", "\"2.1\"", "\"3.0\"", "3.0"] {
        let document = format!("_format_version: {format}\nservices: []\n");
        assert!(read_over(&document, Format::Yaml, &[], &[]).unwrap().is_empty(), "{format}");
    }
    let older = json!({
        "routes": [{ "name": "r", "paths": ["/a", "/a/\\d+", "/b.c"] }],
        "_format_version": "2.1",
    });
    let paths = &body(&made(&older), kind::ROUTE)[0]["paths"];
    assert_eq!(*paths, json!(["/a", "~/a/\\d+", "/b.c"]));
}

#[test]
fn creates_updates_and_deletes_are_in_order() {
    let entities = made(&json!({
        "_format_version": "3.0",
        "services": [{ "name": "a", "host": "a" }, { "name": "b", "host": "b" }],
        "routes": [{ "name": "r", "paths": ["/r"], "service": "b" }],
    }));
    let document = json!({
        "_format_version": "3.0",
        "routes": [{ "name": "n", "paths": ["/n"], "service": "c" }],
        "services": [{ "name": "a", "host": "other", "tags": ["x"] }, { "name": "c", "host": "c" }],
    });
    let difference = read_over(&document.to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(
        changes(&difference),
        [
            "update services a host,tags",
            "create services c",
            "create routes n",
            "delete routes r",
            "delete services b"
        ]
    );
    let after = applied(&entities, &difference);
    let again = read_over(&document.to_string(), Format::Json, &after, &[]).unwrap();
    assert!(again.is_empty());
    assert_eq!(difference.counts()[&(kind::SERVICE, Operation::Create)], 1);
}

#[test]
fn times_of_creation_stay() {
    let document = json!({ "_format_version": "3.0", "routes": [{ "name": "r", "paths": ["/r"] }] });
    let mut entities = made(&document);
    let change = json!({ "_format_version": "3.0", "routes": [{ "name": "r", "paths": ["/s"] }] });
    let difference = read_over(&change.to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(difference.puts[0].common.id, entities[0].0.id);
    entities[0].1.created_at = 5;
    let difference = read_over(&change.to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(difference.puts[0].common.created_at, 5);
    assert_eq!(difference.puts[0].common.updated_at, NOW);
}

#[test]
fn entities_without_a_name_are_recognised_by_content() {
    let document = json!({
        "_format_version": "3.0",
        "services": [{ "name": "a", "host": "a" }],
        "routes": [{ "paths": ["/r"], "service": "a" }, { "paths": ["/r"], "service": "a" }, { "paths": ["/s"] }],
    });
    let mut entities = made(&document);
    for (_, held) in &mut entities {
        // Long ago: a time of creation is part of a route's canonical bytes.
        held.body = String::from_utf8(held.body.to_vec()).unwrap().replace("1700000000", "7").into();
        held.created_at = 7;
    }
    let difference = read_over(&document.to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(changes(&difference), Vec::<String>::new());
    let fewer = json!({
        "_format_version": "3.0",
        "services": [{ "name": "a", "host": "a" }],
        "routes": [{ "paths": ["/r"], "service": "a" }, { "paths": ["/s"] }],
    });
    let difference = read_over(&fewer.to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(changes(&difference), ["delete routes"]);
}

#[test]
fn unnamed_entities_with_others_in_them_are_recognised_by_content() {
    let plugins = json!([{ "name": "cors" }]);
    let documents = [
        json!({ "_format_version": "3.0", "services": [
            { "name": "a", "host": "h", "routes": [{ "paths": ["/r"], "plugins": plugins }] },
        ] }),
        json!({ "_format_version": "3.0", "services": [
            { "name": "a", "host": "h", "routes": [{ "paths": ["/r"], "_comment": "c", "plugins": plugins }] },
        ] }),
        json!({ "_format_version": "1.1", "services": [
            { "name": "a", "host": "h", "routes": [{ "paths": ["/r/\\d+"], "plugins": plugins }] },
        ] }),
        json!({ "_format_version": "3.0", "services": [{ "name": "a", "host": "h" }],
            "routes": [{ "paths": ["/r"], "service": "a", "plugins": plugins }] }),
        json!({ "_format_version": "3.0", "services": [{ "name": "a", "host": "h" }],
            "routes": [{ "paths": ["/r"], "service": { "name": "a" }, "plugins": plugins }] }),
    ];
    for document in documents {
        let entities = made(&document);
        let again = read_over(&document.to_string(), Format::Json, &entities, &[]).unwrap();
        assert_eq!(changes(&again), Vec::<String>::new(), "{document}");
    }
}

/// Kong has no such setting: its documents are about the rest.
#[test]
fn setting_of_the_router_stays_unless_the_document_has_one() {
    let document = |order: &str| json!({ "_format_version": "3.0", "routers": [{ "order": order }] });
    let entities = made(&document("kong3"));
    let over = |document: &Value| read_over(&document.to_string(), Format::Json, &entities, &[]).unwrap();
    assert!(over(&document("kong3")).is_empty());
    assert!(over(&json!({ "_format_version": "3.0" })).is_empty());
    let named = json!({ "_format_version": "3.0", "routers": [{ "name": "default", "order": "kong3" }] });
    assert!(over(&named).is_empty());
    let changed = over(&document("strict"));
    assert_eq!((changed.puts.len(), changed.deletes.len()), (1, 0), "{:?}", changes(&changed));
    assert_eq!(applied(&entities, &changed).len(), 1);
}

#[test]
fn hidden_secrets_stay() {
    let entities = made(&nested());
    let mut hidden = nested();
    hidden["certificates"][0]["key"] = json!("***");
    let difference = read_over(&hidden.to_string(), Format::Json, &entities, &[]).unwrap();
    assert_eq!(changes(&difference), Vec::<String>::new());
    let Err(ReadError::Invalid(errors)) = read_over(&hidden.to_string(), Format::Json, &[], &[]) else {
        panic!("nothing is stored");
    };
    assert!(
        errors.message().contains("no value is stored that '***' could stand for"),
        "{}",
        errors.message()
    );
}

#[test]
fn tags_select_entities() {
    let entities = made(&json!({
        "_format_version": "3.0",
        "services": [
            { "name": "mine", "host": "a", "tags": ["team", "x"] },
            { "name": "gone", "host": "a", "tags": ["team"] },
            { "name": "other", "host": "a", "tags": ["others"] },
            { "name": "untagged", "host": "a" },
        ],
    }));
    let document = |name: &str, service: &str| {
        json!({
            "_format_version": "3.0",
            "_info": { "select_tags": ["team"] },
            "services": [{ "name": "mine", "host": "a", "tags": ["x"] }, { "name": name, "host": "a" }],
            "routes": [{ "name": "r", "paths": ["/r"], "service": service }],
        })
        .to_string()
    };
    let text = document("new", "other");
    assert_eq!(select_tags(text.as_bytes(), Format::Json).unwrap(), ["team"]);
    let difference = read_over(&text, Format::Json, &entities, &["team"]).unwrap();
    assert_eq!(changes(&difference), ["create services new", "create routes r", "delete services gone"]);
    assert_eq!(difference.puts[1].common.tags, Some(vec!["team".to_owned()]));
    for (text, reason) in [
        (document("new", "gone"), "invalid reference 'service: gone' (no such entry in 'services')"),
        (document("other", "mine"), "exists and does not carry the selected tags"),
    ] {
        let refused = read_over(&text, Format::Json, &entities, &["team"]).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

/// What the database would refuse, a dry run refuses, too.
#[test]
fn entities_outside_the_selection_are_not_touched() {
    let entities = made(&json!({
        "_format_version": "3.0",
        "services": [{ "name": "s", "host": "a", "tags": ["team"] }],
        "routes": [{ "name": "r", "paths": ["/r"], "service": "s" }],
        "consumers": [
            { "username": "theirs", "custom_id": "1" },
            { "username": "ours", "tags": ["team"], "acls": [{ "group": "g" }] },
        ],
    }));
    let read = |document: serde_json::Value| {
        let text = document.to_string();
        read_over(&text, Format::Json, &entities, &["team"])
    };
    let service = json!([{ "name": "s", "host": "a" }]);
    for (document, reason) in [
        (
            json!({ "_format_version": "3.0", "services": service,
                "consumers": [{ "username": "ours", "custom_id": "1" }] }),
            "consumers.1.custom_id: uniqueness violation: 'consumers' entity with custom_id set to '1' exists and \
             does not carry the selected tags"
                .to_owned(),
        ),
        (
            json!({ "_format_version": "3.0", "services": service,
                "consumers": [{ "id": id(1), "username": "theirs" }] }),
            "consumers.1.username: uniqueness violation: 'consumers' entity with username set to 'theirs' exists"
                .to_owned(),
        ),
        (
            json!({ "_format_version": "3.0", "consumers": [{ "username": "ours" }] }),
            format!(
                "services: an existing 'routes' entity references this 'services' entity: '{}', without the selected \
                 tags, references '{}', which would be deleted",
                id_of(&entities, model::kind::ROUTE),
                id_of(&entities, model::kind::SERVICE)
            ),
        ),
    ] {
        let refused = read(document).unwrap_err().to_string();
        assert!(refused.contains(&reason), "{refused}");
    }
    let gone = read(json!({ "_format_version": "3.0", "services": service })).unwrap();
    assert_eq!(changes(&gone), ["delete acls", "delete consumers ours"], "what belongs to it goes with it");
}

fn id_of(entities: &[(Key, Held)], kind: Kind) -> uuid::Uuid {
    entities.iter().find(|(key, _)| key.kind == kind).unwrap().0.id
}

#[test]
fn what_was_valid_when_it_was_written_stays() {
    fn expires(
        kind: &'static dyn Described,
        input: Input,
        common: &Common,
        mut violations: Violations,
        held: Option<&[u8]>,
    ) -> Result<Content, Violations> {
        if common.updated_at > NOW {
            violations.field("host", "expired");
        }
        read_entity(kind, input, common, violations, held)
    }
    let document = |host: &str| {
        json!({ "_format_version": "3.0", "services": [{ "name": "a", "host": host }] }).to_string()
    };
    let entities = applied(&[], &read_over(&document("a"), Format::Json, &[], &[]).unwrap());
    let later = |text: &str| {
        let (mut current, mut budget) = (Current::new(Selection::default()), budget());
        current.add(entities[0].0, entities[0].1.clone(), &mut budget).unwrap();
        let options = ReadOptions { now: (NOW + 1) * 1000, read: &expires, hash: &hash_secret };
        read(text.as_bytes(), Format::Json, &options, &mut current, &mut budget)
    };
    assert_eq!(later(&document("a")).unwrap().unchanged, 1);
    assert!(later(&document("b")).is_err());
}

#[test]
fn selected_tags_are_checked_as_all_tags_are() {
    let document =
        json!({ "_format_version": "3.0", "services": [{ "name": "a", "host": "a" }] }).to_string();
    let refused = read_over(&document, Format::Json, &[], &["a/b"]).unwrap_err().to_string();
    assert!(refused.contains("invalid tag 'a/b'"), "{refused}");
}

#[test]
fn entities_of_unknown_kinds_stay() {
    let key = Key { kind: Kind(200), id: id(1) };
    let held = Held { body: "{}".into(), tags: None, created_at: 0, updated_at: 0 };
    let difference = read_over("{\"_format_version\":\"3.0\"}", Format::Json, &[(key, held)], &[]).unwrap();
    assert!(difference.is_empty(), "{difference:?}");
}
