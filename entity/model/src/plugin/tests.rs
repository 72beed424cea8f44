//! A plugin with fields of the types that the others have, and earlier names of some.

use std::collections::BTreeMap;

use model_derive::Record;
use serde_json::json;

use super::*;
use crate::check::{regex, text, url};
use crate::record::{self, Check};
use crate::secrets;
use crate::types::{Number, words};
use crate::{FieldErrors, Level, PLUGINS, PrivateKey};

#[derive(Clone, Debug, PartialEq, Eq, Record)]
struct Sample {
    /// How many.
    #[field(gt(0))]
    count: Option<Number>,
    /// How many at least.
    #[field(default = 3, gt(0))]
    least: u32,
    #[field(is = url::url)]
    endpoint: Option<String>,
    #[field(default = Vec::new(), is = regex::regex, most = 2)]
    patterns: Vec<String>,
    #[field(set, default = vec![Colour::Red], fewest = 1)]
    colours: Vec<Colour>,
    #[field(secret, key = text::field_name, is = text::field_value, most = 3)]
    headers: Option<BTreeMap<String, String>>,
    #[field(default = Redis::default())]
    redis: Redis,
}

#[derive(Clone, Debug, PartialEq, Eq, Record)]
struct Redis {
    host: Option<String>,
    #[field(default = 6379, between(0, 65_535))]
    port: u16,
    #[field(secret)]
    password: Option<PrivateKey>,
}

words! {
    /// A colour.
    #[expect(unreachable_pub, reason = "other words are those of other crates, too")]
    Colour {
        /// Red.
        Red = "red",
        /// Blue.
        Blue = "blue",
    }
}

impl Check for Redis {}

impl Check for Sample {
    fn rules(&self, violations: &mut Violations) {
        if self.count.is_none() && self.endpoint.is_none() {
            violations
                .entity("at least one of these fields must be non-empty: 'config.count', 'config.endpoint'");
        }
        if self.endpoint.is_some() && self.redis.host.is_none() {
            violations.entity("failed conditional validation given value of field 'config.endpoint'");
            violations.at_path("redis.host", "required field missing");
        }
    }
}

impl PluginConfig for Sample {
    const NAME: &'static str = "sample";
    const PRIORITY: i32 = 1;

    fn shorthands() -> Vec<Shorthand> {
        vec![
            Shorthand::moved("redis_host", &["redis", "host"]),
            Shorthand::moved("redis_port", &["redis", "port"]),
            Shorthand::moved("redis_password", &["redis", "password"]),
            Shorthand::without_effect("retry_count"),
        ]
    }
}

const SAMPLE: PluginKind = PluginKind::of::<Sample>();

/// The configuration of a body, or all violations of it.
fn read(config: &Value, form: bool) -> Result<Sample, Violations> {
    let mut violations = Violations::default();
    let mut config = config.as_object().unwrap().clone();
    SAMPLE.imply(&mut config, form, &mut violations);
    let (read, errors) = crate::nested::read_part::<Sample>(Value::Object(config), form);
    errors.into_iter().for_each(|errors| violations.at("config", errors));
    let read = read.unwrap();
    let Violations { entity, fields, .. } = record::check(&read, Level::Rules);
    let mut of_rules = Violations { entity, ..Violations::default() };
    if !fields.is_empty() {
        of_rules.at("config", FieldErrors::Nested(fields));
    }
    violations.merge(of_rules);
    violations.into_result().map(|()| read)
}

fn broken(config: &Value) -> Vec<String> {
    let violations = read(config, false).err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

#[test]
fn each_element_has_its_error() {
    let found = broken(&json!({ "count": 1, "redis": { "host": "a" }, "patterns": ["(", 5] }));
    assert!(found.len() == 2 && found[1] == "config.patterns.2: expected a string", "{found:?}");
    let empty =
        broken(&json!({ "count": 1, "redis": { "host": "a" }, "patterns": [""], "headers": { "": "a" } }));
    let short = "length must be at least 1";
    assert_eq!(empty, [format!("config.headers: {short}"), format!("config.patterns.1: {short}")]);
}

#[test]
fn empty_records_and_lists_are_one() {
    for config in [
        json!({ "count": 1, "redis": { "host": "a" }, "headers": [] }),
        json!({ "count": 1, "redis": { "host": "a" }, "patterns": {} }),
    ] {
        assert_eq!(broken(&config), Vec::<String>::new(), "{config}");
    }
}

#[test]
fn fields_have_their_texts() {
    let token = "allowed characters are A-Z, a-z, 0-9, '_', and '-'";
    for (field, value, expected) in [
        ("count", json!(0), vec!["config.count: value must be greater than 0"]),
        ("count", json!("1"), vec!["config.count: expected a number"]),
        ("least", json!(0), vec!["config.least: value must be greater than 0"]),
        ("least", json!(1.5), vec!["config.least: expected an integer"]),
        ("endpoint", json!("a"), vec!["config.endpoint: missing host in url"]),
        ("endpoint", json!("//a"), vec!["config.endpoint: missing scheme in url"]),
        ("patterns", json!(["a", "("]), vec!["config.patterns.2: not a valid regex: ("]),
        ("patterns", json!("a"), vec!["config.patterns: expected an array"]),
        ("colours", json!([]), vec!["config.colours: length must be at least 1"]),
        ("colours", json!(["red", "green"]), vec!["config.colours.2: expected one of: red, blue"]),
        ("headers", json!([1]), vec!["config.headers: expected a map"]),
        ("headers", json!({ "a": 1 }), vec!["config.headers: expected a string"]),
        ("headers", json!({ "a b": "c" }), vec![&*format!("config.headers: bad header name 'a b', {token}")]),
        ("redis", json!({ "port": 65_536 }), vec!["config.redis.port: value should be between 0 and 65535"]),
        ("redis", json!(1), vec!["config.redis: expected a record"]),
    ] {
        let mut config = json!({ "count": 1, "redis": { "host": "a" } });
        config[field] = value;
        assert_eq!(broken(&config), expected, "{config}");
    }
    assert!(broken(&json!({ "count": 1.5 })).is_empty());
}

#[test]
fn rules_between_fields_are_about_the_plugin() {
    let expected =
        "@entity: at least one of these fields must be non-empty: 'config.count', 'config.endpoint'";
    assert_eq!(broken(&json!({})), [expected]);
    let conditional = "@entity: failed conditional validation given value of field 'config.endpoint'";
    let expected = [conditional, "config.redis.host: required field missing"];
    assert_eq!(broken(&json!({ "endpoint": "http://a" })), expected);
}

#[test]
fn earlier_names_lead_to_the_present_ones() {
    let given =
        json!({ "count": 1, "redis_host": "a", "redis_port": 1, "redis_password": "p", "retry_count": 9 });
    let read_json = read(&given, false).unwrap();
    let redis = Redis { host: Some("a".into()), port: 1, password: Some("p".into()) };
    assert_eq!(read_json.redis, redis);
    let form = json!({ "count": "1", "redis_port": "2", "redis_host": null });
    assert_eq!(read(&form, true).unwrap().redis.port, 2);
    let both = json!({ "count": 1, "redis_host": "a", "redis": { "host": "a" } });
    assert_eq!(read(&both, false).unwrap().redis.host.as_deref(), Some("a"));
    let cleared = json!({ "count": 1, "redis_host": null, "redis": { "host": "a" } });
    assert_eq!(read(&cleared, false).unwrap().redis.host.as_deref(), Some("a"));

    let mismatch = json!({ "count": 1, "redis_host": "a", "redis": { "host": "b" } });
    let expected = "config.redis_host: both deprecated and new field are used but their values mismatch: \
                    redis_host = a vs redis.host = b";
    assert_eq!(broken(&mismatch), [expected]);
    let secret = json!({ "count": 1, "redis_password": "aa", "redis": { "password": "bb" } });
    let message = broken(&secret).concat();
    assert!(message.contains("redis_password = *** vs"), "{message}");
    let wrong = json!({ "count": 1, "redis_port": "x" });
    assert_eq!(broken(&wrong), ["config.redis_port: expected an integer"]);
}

#[test]
fn schema_says_where_earlier_names_lead() {
    let schema = SAMPLE.schema();
    let config = &schema["fields"][1]["config"];
    let expected = json!({ "redis_host": {
        "type": "string",
        "deprecation": {
            "message": "sample: config.redis_host is deprecated, please use config.redis.host instead",
            "removal_in_version": "4.0",
            "replaced_with": [{ "path": ["redis", "host"] }],
        },
    } });
    assert_eq!(config["shorthand_fields"][0], expected);
    assert_eq!(config["shorthand_fields"][1]["redis_port"]["type"], "integer");
    assert_eq!(config["fields"][0]["count"]["gt"], 0);
    assert_eq!(config["fields"][4]["colours"]["len_min"], 1);
    let headers = &config["fields"][5]["headers"];
    assert_eq!((&headers["type"], &headers["values"]["type"]), (&json!("map"), &json!("string")));
}

#[test]
fn secrets_are_found_wherever_they_are() {
    let config = json!({
        "headers": { "Authorization": "secret 1", "accept": "text/plain" },
        "redis": { "host": "a", "password": "secret 2" },
    });
    let mut found = Vec::new();
    let mut members = config.as_object().unwrap().clone();
    secrets::each(SAMPLE.fields(), &mut members, "config.", &mut |path, value| {
        found.push((path.to_owned(), value.take()));
    });
    let expected = [("config.headers.Authorization", "secret 1"), ("config.redis.password", "secret 2")];
    assert_eq!(found, expected.map(|(path, secret)| (path.to_owned(), json!(secret))));
    let read: Sample = serde_json::from_value(config).unwrap();
    let shown = Value::Object(record::show(&read));
    assert_eq!(shown["headers"], json!({ "Authorization": "***", "accept": "text/plain" }));
    assert_eq!(shown["redis"]["password"], "***");
    assert!(!format!("{read:?}").contains("secret 2"));
}

/// Checks that a value of this type cannot be of any length.
fn check_bounded(path: &str, schema: &Value) {
    let is_bounded = schema.get("len_max").is_some();
    match schema["type"].as_str().unwrap() {
        "string" => assert!(is_bounded || schema.get("one_of").is_some(), "{path} has no greatest length"),
        kind @ ("array" | "set" | "map") => {
            let (name, of) = if kind == "map" { ("values", "{}") } else { ("elements", "[]") };
            let of_words = kind == "set" && schema[name].get("one_of").is_some();
            assert!(is_bounded || of_words, "{path} has no greatest number of elements");
            check_bounded(&format!("{path}{of}"), &schema[name]);
        }
        "record" => {
            let fields =
                schema["fields"].as_array().unwrap().iter().flat_map(|field| field.as_object().unwrap());
            fields.for_each(|(name, field)| check_bounded(&format!("{path}.{name}"), field));
        }
        _ => {}
    }
}

#[test]
fn every_configuration_is_bounded() {
    for plugin in PLUGINS {
        let schema = json!({ "type": "record", "fields": plugin.config_schema()["fields"] });
        check_bounded(plugin.name, &schema);
    }
}

#[test]
fn names_are_unique_and_earlier_ones_lead_to_fields() {
    let mut names: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PLUGINS.len());
    for plugin in PLUGINS {
        for shorthand in plugin.shorthands() {
            let leads = shorthand.path.is_empty() || shorthand.field(plugin.fields()).is_some();
            assert!(leads, "{}: {} leads nowhere", plugin.name, shorthand.name);
            let is_field = plugin.fields().iter().any(|field| field.name == shorthand.name);
            assert!(!is_field, "{}: {} is a field, too", plugin.name, shorthand.name);
        }
    }
}
