//! cors: which answers name which origins.

use model::Route;
use serde_json::{Value, json};
use testkit::http::{Request, Response};
use testkit::origin::Answer;

use super::{Plugged, plugin};
use crate::support::{route, service};

fn preflight(target: &str) -> Request {
    Request::new("OPTIONS", target)
        .header("Origin", "https://a.test")
        .header("Access-Control-Request-Method", "PUT")
        .header("Access-Control-Request-Headers", "x-one")
}

fn cors(config: Value) -> Value {
    plugin("cors", config)
}

/// The fields of an answer that are about origins.
fn fields(response: &Response) -> Vec<String> {
    let names = ["access-control-", "vary"];
    let about = |name: &str| names.iter().any(|prefix| name.to_lowercase().starts_with(prefix));
    let found = response.headers.iter().filter(|(name, _)| about(name));
    let mut lines: Vec<_> = found.map(|(name, value)| format!("{name}: {value}")).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_are_answered_before_the_upstream_and_authentication() {
    let plugged = Plugged::start(&[cors(json!({ "max_age": 60 })), plugin("key-auth", json!({}))]);
    let answer = plugged.send(&preflight("/")).await.expect(200);
    let wanted = [
        "Access-Control-Allow-Headers: x-one",
        "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT",
        "Access-Control-Allow-Origin: *",
        "Access-Control-Max-Age: 60",
    ];
    assert_eq!(fields(&answer), wanted);
    assert_eq!((answer.body.len(), answer.header("content-length")), (0, Some("0")));
    assert!(plugged.received().is_empty());
    // Every other request needs a key, and its refusal can be read by the page.
    let refused =
        plugged.send(&Request::new("GET", "/").header("Origin", "https://a.test")).await.expect(401);
    assert_eq!(fields(&refused), ["Access-Control-Allow-Origin: *"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_are_answered_whatever_the_methods_of_the_route() {
    let plugged = Plugged::start(&[]);
    let only_put = Route { methods: Some(vec!["PUT".into()]), ..route(1, "/") };
    plugged.gateway.serve(service(1, &plugged.origin), only_put);
    plugged.send(&preflight("/")).await.expect(404);
    plugged.put_plugins(&[cors(json!({ "origins": ["https://a.test"] }))]);
    let answer = plugged.send(&preflight("/")).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.test"));
    // Other requests of that method still have no route.
    plugged.send(&Request::new("OPTIONS", "/").header("Origin", "https://a.test")).await.expect(404);
    plugged.send(&preflight("/").header("x", "y")).await.expect(200);
    assert!(plugged.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_that_go_on_keep_the_upstreams_answer() {
    let plugged = Plugged::start(&[cors(json!({ "preflight_continue": true }))]);
    plugged.origin.answer(Answer::status(204).header("Access-Control-Allow-Methods", "PUT"));
    let answer = plugged.send(&preflight("/")).await.expect(204);
    assert_eq!(fields(&answer), ["Access-Control-Allow-Methods: PUT"]);
    assert_eq!(plugged.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_upstream_and_of_the_gateway_name_the_origin() {
    let origins = json!(["https://a.test", "https://b.test"]);
    let plugged = Plugged::start(&[cors(json!({ "origins": origins, "credentials": true }))]);
    plugged.origin.answer(Answer::status(200).header("Access-Control-Allow-Origin", "*").header("Vary", "X"));
    let get = |origin| Request::new("GET", "/").header("Origin", origin);
    let wanted = [
        "Access-Control-Allow-Credentials: true",
        "Access-Control-Allow-Origin: https://b.test",
        "Vary: Origin",
        "Vary: X",
    ];
    assert_eq!(fields(&plugged.send(&get("https://b.test")).await.expect(200)), wanted);
    let wanted = ["Access-Control-Allow-Credentials: true", "Vary: Origin", "Vary: X"];
    assert_eq!(fields(&plugged.send(&get("https://c.test")).await.expect(200)), wanted);
    // A path without a route: the global instance sees the answer.
    plugged.gateway.serve(service(1, &plugged.origin), route(1, "/only"));
    let missing = plugged.send(&get("https://a.test")).await.expect(404);
    assert_eq!(missing.header("access-control-allow-origin"), Some("https://a.test"));
}
