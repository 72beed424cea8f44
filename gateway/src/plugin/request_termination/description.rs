//! A description of a request, for its client.

use std::process;

use http::header::{CONTENT_TYPE, HOST};
use serde_json::{Map, Value, json};

use crate::plugin::content::{Arguments, MediaType, media_type};
use crate::plugin::log::{route_entity, service_entity};
use crate::plugin::{Exchange, Reports};

/// The most captures that are shown.
const CAPTURES: usize = 100;

/// Describes a request whose body is `body`.
pub(super) fn of(exchange: &Exchange<'_>, body: &[u8], message: Option<&str>) -> Value {
    let mut described = Map::new();
    if let Some(message) = message {
        described.insert("message".to_owned(), message.into());
    }
    described.insert("kong".to_owned(), gateway(&exchange.shared().reports));
    described.insert("request".to_owned(), request(exchange, body));
    if let Some(route) = exchange.route() {
        described.insert("matched_route".to_owned(), entity(&route_entity(route)));
    }
    if let Some(service) = exchange.service() {
        described.insert("matched_service".to_owned(), entity(&service_entity(service)));
    }
    Value::Object(described)
}

/// An entity as entries of logs show it.
fn entity(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

fn gateway(reports: &Reports) -> Value {
    json!({ "node_id": reports.instance, "worker_pid": process::id(), "hostname": &*reports.hostname })
}

fn request(exchange: &Exchange<'_>, body: &[u8]) -> Value {
    let query = exchange.query().map(Arguments::parse).and_then(Result::ok).unwrap_or_default();
    let content_type = exchange.headers().get(CONTENT_TYPE).and_then(|own| media_type(own.as_bytes()));
    json!({
        "scheme": if exchange.is_https() { "https" } else { "http" },
        "host": exchange.host(),
        "port": exchange.ends().server.port(),
        "method": exchange.method().as_str(),
        "path": String::from_utf8_lossy(exchange.sent_path()),
        "headers": headers(exchange),
        "query": arguments(&query),
        "raw_body": String::from_utf8_lossy(body),
        "body": parsed(content_type, body),
        "uri_captures": { "unnamed": captures(exchange), "named": named_captures(exchange) },
    })
}

/// What the route's expression has captured, by number.
fn captures<'e>(exchange: &'e Exchange<'_>) -> Vec<&'e str> {
    (1..=CAPTURES).map_while(|number| exchange.uri_capture(&number.to_string())).collect()
}

/// What it has captured by name.
fn named_captures(exchange: &Exchange<'_>) -> Map<String, Value> {
    let names = exchange.route().into_iter().flat_map(|route| route.capture_names(exchange.path()));
    names.filter_map(|name| Some((name.to_owned(), exchange.uri_capture(name)?.into()))).collect()
}

/// The fields by name; several of one name as a list.
fn headers(exchange: &Exchange<'_>) -> Value {
    let headers = exchange.headers();
    let text = |value: &[u8]| Value::from(String::from_utf8_lossy(value));
    let mut shown = Map::new();
    // HTTP/2 has it apart from the fields.
    if let Some(host) = exchange.sent_authority().filter(|_| !headers.contains_key(HOST)) {
        shown.insert(HOST.as_str().to_owned(), host.into());
    }
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| text(value.as_bytes()));
        shown.insert(name.as_str().to_owned(), one_or_list(values.collect()));
    }
    Value::Object(shown)
}

/// The arguments by name; several of one name as a list, and one without a value as `true`.
fn arguments(arguments: &Arguments) -> Value {
    let mut by_name: std::collections::BTreeMap<String, Vec<Value>> = std::collections::BTreeMap::new();
    for (name, value) in arguments.iter() {
        let value = value.map_or(Value::Bool(true), |value| String::from_utf8_lossy(value).into());
        by_name.entry(String::from_utf8_lossy(name).into_owned()).or_default().push(value);
    }
    Value::Object(by_name.into_iter().map(|(name, values)| (name, one_or_list(values))).collect())
}

fn one_or_list(mut values: Vec<Value>) -> Value {
    if values.len() == 1 { values.remove(0) } else { Value::Array(values) }
}

/// The body as what it says that it is; null when it is not.
fn parsed(content_type: Option<MediaType>, body: &[u8]) -> Value {
    match content_type {
        Some(MediaType::Json) => serde_json::from_slice(body).unwrap_or_default(),
        Some(MediaType::Form) => Arguments::parse(body).map_or(Value::Null, |form| arguments(&form)),
        Some(MediaType::Multipart) | None => Value::Null,
    }
}
