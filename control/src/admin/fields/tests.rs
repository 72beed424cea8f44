use super::*;

fn fields(body: Value, form: bool) -> Fields {
    let Value::Object(fields) = body else { panic!("not an object: {body}") };
    Fields::new(Body { fields, form }, Violations::default())
}

fn wrong(fields: Fields) -> Vec<String> {
    fields.finish().iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

#[test]
fn each_type_refuses_the_others() {
    let mut read = fields(
        json!({
            "string": 1, "empty": "", "word": "x", "integer": "1", "fraction": 1.5, "large": 9, "boolean": "true",
            "uuid": "1", "set": "a", "elements": ["a", 1], "uuids": [1], "map": [], "lists": {"a": "b"},
            "endpoints": [{"ip": 1}, {"port": 65536}, {"x": 1}, 1], "reference": "a", "record": {"x": 1},
        }),
        false,
    );
    assert_eq!(read.string("string"), None);
    assert_eq!(read.string("empty"), None);
    assert_eq!(read.one_of("word", &["a", "b"]), None);
    assert_eq!(read.integer::<i32>("integer", 0..=5), None);
    assert_eq!(read.integer::<i32>("fraction", 0..=5), None);
    assert_eq!(read.integer::<i32>("large", 0..=5), None);
    assert_eq!(read.boolean("boolean"), None);
    assert_eq!(read.uuid("uuid"), None);
    assert_eq!(read.set("set"), None);
    read.set("elements");
    read.uuids("uuids");
    assert_eq!(read.map_of_lists("map"), None);
    read.map_of_lists("lists");
    read.endpoints("endpoints");
    assert_eq!(read.reference("reference"), None);
    assert_eq!(read.reference("record"), None);
    assert_eq!(read.required_string("missing"), None);
    assert_eq!(
        wrong(read),
        [
            "boolean: expected a boolean",
            "elements.2: expected a string",
            "empty: length must be at least 1",
            "endpoints.1: ip: expected a string",
            "endpoints.2: port: value should be between 0 and 65535",
            "endpoints.3: x: unknown field",
            "endpoints.4: expected a record",
            "fraction: expected an integer",
            "integer: expected an integer",
            "large: value should be between 0 and 5",
            "lists: expected an array",
            "map: expected a map",
            "missing: required field missing",
            "record.id: required field missing",
            "record.x: unknown field",
            "reference: expected a record",
            "set: expected an array",
            "string: expected a string",
            "uuid: expected a valid UUID",
            "uuids.1: expected a valid UUID",
            "word: expected one of: a, b",
        ]
    );
}

#[test]
fn what_is_not_read_is_unknown() {
    assert_eq!(wrong(fields(json!({ "b": 1, "a": null }), false)), ["a: unknown field", "b: unknown field"]);
}

#[test]
fn null_is_not_given() {
    let mut read = fields(json!({ "a": null }), false);
    assert_eq!(read.string("a"), None);
    assert!(wrong(read).is_empty());
}

#[test]
fn numbers_without_a_fraction_are_integers() {
    let mut read = fields(json!({ "a": 80.0 }), false);
    assert_eq!(read.integer::<i32>("a", 0..=100), Some(80));
}

#[test]
fn forms_are_read_by_what_is_expected() {
    let mut read = fields(json!({ "port": "80", "on": "true", "paths": "/a", "headers": {"x": "1"} }), true);
    assert_eq!(read.integer::<i32>("port", 0..=100), Some(80));
    assert_eq!(read.boolean("on"), Some(true));
    assert_eq!(read.set("paths"), Some(vec!["/a".to_owned()]));
    assert_eq!(read.map_of_lists("headers").map(Value::Object), Some(json!({ "x": ["1"] })));
    assert!(wrong(read).is_empty());
}

#[test]
fn sets_have_no_duplicates() {
    let mut read = fields(json!({ "tags": ["b", "a", "b"] }), false);
    assert_eq!(read.set("tags"), Some(vec!["b".to_owned(), "a".to_owned()]));
}
