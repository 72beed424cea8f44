//! Which instance of a plugin runs, and what sees an answer of the gateway itself.

use serde_json::{Value, json};
use testkit::http::Request;
use uuid::Uuid;

use super::Plugged;
use crate::support::route;

/// An instance that answers with a status of its own.
fn answering(status: u16, scope: &Value) -> Value {
    let mut body = json!({ "name": "request-termination", "config": { "status_code": status } });
    body.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
    body
}

fn of_service() -> Value {
    json!({ "service": { "id": Uuid::from_u128(1) } })
}

fn of_route(id: u128) -> Value {
    json!({ "route": { "id": route(id, "/").id } })
}

fn of_both() -> Value {
    json!({ "route": { "id": route(1, "/").id }, "service": { "id": Uuid::from_u128(1) } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_specific_instance_runs() {
    let plugged = Plugged::start(&[]);
    plugged.get("/").await.expect(200);
    let mut plugins = Vec::new();
    for (status, scope) in [(210, json!({})), (211, of_service()), (212, of_route(1)), (213, of_both())] {
        plugins.push(answering(status, &scope));
        plugged.put_plugins(&plugins);
        plugged.get("/").await.expect(status);
    }
    // A disabled one is not there: the next wider one applies.
    for (id, wider) in [(4, 212), (3, 211), (2, 210)] {
        let plugin = &mut plugins[id - 1];
        plugin.as_object_mut().unwrap().insert("enabled".into(), false.into());
        plugged.put_plugins(&plugins);
        plugged.get("/").await.expect(wider);
    }
    plugged.remove_plugin(1);
    plugged.get("/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn route_without_service_is_answered_by_a_plugin() {
    let plugged = Plugged::start(&[]);
    plugged.put([route(2, "/none").into()]);
    plugged.get("/none").await.expect(503);
    plugged.put_plugins(&[answering(210, &of_route(2))]);
    plugged.get("/none").await.expect(210);
    plugged.get("/").await.expect(200);
    let head = plugged.send(&Request::new("HEAD", "/none")).await.expect(210);
    assert!(head.body.is_empty());
}
