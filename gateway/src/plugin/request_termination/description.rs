//! A description of a request, for its client.

use std::process;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use crate::plugin::Exchange;
use crate::plugin::content::{Arguments, MediaType, media_type};

/// The most captures that are shown.
const CAPTURES: usize = 100;

/// Describes a request whose body is `body`.
pub(super) fn of(exchange: &Exchange<'_>, body: &[u8], message: Option<&str>) -> Value {
    let mut described = Map::new();
    if let Some(message) = message {
        described.insert("message".to_owned(), message.into());
    }
    described.insert("kong".to_owned(), gateway());
    described.insert("request".to_owned(), request(exchange, body));
    if let Some(route) = exchange.route() {
        described.insert("matched_route".to_owned(), json!({ "id": route.id, "name": route.name }));
    }
    if let Some(service) = exchange.service() {
        described.insert("matched_service".to_owned(), json!({ "id": service.id, "name": service.name }));
    }
    Value::Object(described)
}

fn gateway() -> Value {
    let hostname = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    json!({ "worker_pid": process::id(), "hostname": hostname })
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
        "headers": headers(exchange.headers()),
        "query": arguments(&query),
        "raw_body": String::from_utf8_lossy(body),
        "body": parsed(content_type, body),
        "uri_captures": { "unnamed": captures(exchange) },
    })
}

/// What the route's expression has captured, by number.
fn captures<'e>(exchange: &'e Exchange<'_>) -> Vec<&'e str> {
    (1..=CAPTURES).map_while(|number| exchange.uri_capture(&number.to_string())).collect()
}

/// The fields by name; several of one name as a list.
fn headers(headers: &HeaderMap) -> Value {
    let text = |value: &[u8]| Value::from(String::from_utf8_lossy(value));
    let mut shown = Map::new();
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
