use model::kind;

use super::*;

fn dump(entities: &[(Key, Held)], options: DumpOptions, format: Format) -> String {
    let mut out = Vec::new();
    Dump::new(options, entities.iter().cloned()).write(format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn parsed(entities: &[(Key, Held)], options: DumpOptions) -> Value {
    serde_json::from_str(&dump(entities, options, Format::Json)).unwrap()
}

#[test]
fn a_dump_read_again_changes_nothing() {
    let mut document = nested();
    // Texts that are something else in YAML, if they are not quoted.
    document["services"][0]["tags"] = json!(["no", "1.0", "null", "~", "a: b", "#", "é", "*a", "true"]);
    document["routes"] =
        json!([{ "name": "hé", "paths": ["~/a\\d+$"], "headers": { "x-a": ["1", "b: c"] } }]);
    let entities = made(&document);
    for with_ids in [true, false] {
        for format in [Format::Json, Format::Yaml] {
            let text = dump(&entities, DumpOptions { with_ids, ..DumpOptions::default() }, format);
            let difference =
                read_over(&text, format, &entities, &[]).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(changes(&difference), Vec::<String>::new(), "{text}");
            assert_eq!(difference.unchanged, 7);
            assert!(!text.contains("c2VjcmV0"), "{text}");
        }
    }
}

#[test]
fn names_stand_for_ids() {
    let entities = made(&nested());
    let without = parsed(&entities, DumpOptions::default());
    assert_eq!(without["services"], json!([{ "name": "a", "host": "example.com" }]));
    assert_eq!(without["routes"][0], json!({ "name": "r", "service": { "name": "a" }, "paths": ["/r"] }));
    assert_eq!(without["certificates"][0]["key"], "***");
    assert_eq!(without["certificates"][0]["id"], json!(key_of(&entities, kind::CERTIFICATE).id));
    assert_eq!(without["snis"][0]["name"], "a.example", "sorted by name");
    let with = parsed(&entities, DumpOptions { with_ids: true, ..DumpOptions::default() });
    let service = key_of(&entities, kind::SERVICE).id;
    assert_eq!(with["services"][0]["id"], json!(service));
    assert_eq!(with["services"][0]["created_at"], NOW);
    assert_eq!(with["routes"][0]["service"], json!({ "id": service }));
}

#[test]
fn a_dump_of_tags_selects_them() {
    let entities = made(&json!({
        "_format_version": "3.0",
        "services": [{ "name": "a", "host": "a", "tags": ["team", "x"] }, { "name": "b", "host": "b" }],
        "routes": [{ "name": "r", "paths": ["/r"], "service": "b", "tags": ["team"] }],
    }));
    let options = DumpOptions { select_tags: vec!["team".to_owned()], ..DumpOptions::default() };
    let text = dump(&entities, options.clone(), Format::Yaml);
    let document = parsed(&entities, options);
    assert_eq!(document["_info"], json!({ "select_tags": ["team"] }));
    assert_eq!(document["services"], json!([{ "name": "a", "host": "a", "tags": ["x"] }]));
    assert_eq!(
        document["routes"][0]["service"],
        json!({ "name": "b" }),
        "the name of an entity that is left out"
    );
    let tags = select_tags(text.as_bytes(), Format::Yaml).unwrap();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    assert!(read_over(&text, Format::Yaml, &entities, &tags).unwrap().is_empty());
}
