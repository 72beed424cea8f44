//! Which instance of a plugin runs, and what sees an answer of the gateway itself.

use serde_json::{Value, json};
use testkit::http::Request;
use uuid::Uuid;

use super::{Plugged, consumer_id};
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

/// The same for one consumer.
fn of_consumer(mut scope: Value, number: u128) -> Value {
    scope["consumer"] = json!({ "id": consumer_id(number) });
    scope
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instance_of_a_consumer_runs_unless_another_is_more_specific() {
    let plugged = Plugged::start(&[]);
    // This route has no service.
    plugged.put([route(2, "/none").into()]);
    [1, 2].into_iter().for_each(|number| plugged.put_consumer(number));
    plugged.put_keys(&[(1, "key-1"), (2, "key-2")]);
    let mut plugins = vec![json!({ "name": "key-auth" })];
    for (status, scope, [of_one, of_two, without_service]) in [
        (210, json!({}), [210, 210, 210]),
        (211, of_consumer(json!({}), 1), [211, 210, 211]),
        (212, of_both(), [212, 212, 211]),
        (213, of_consumer(of_route(2), 1), [212, 212, 213]),
        (214, of_consumer(of_route(1), 1), [214, 212, 213]),
        (215, of_consumer(of_both(), 2), [214, 215, 213]),
    ] {
        plugins.push(answering(status, &scope));
        plugged.put_plugins(&plugins);
        for (target, key, expected) in
            [("/", "key-1", of_one), ("/", "key-2", of_two), ("/none", "key-1", without_service)]
        {
            plugged.send(&Request::new("GET", target).header("apikey", key)).await.expect(expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_is_changed_by_the_instance_of_the_consumer() {
    let plugged = Plugged::start(&[]);
    [1, 2].into_iter().for_each(|number| plugged.put_consumer(number));
    plugged.put_keys(&[(1, "key-1"), (2, "key-2")]);
    let adding = |value: &str, mut scope: Value| {
        scope["name"] = "response-transformer".into();
        scope["config"] = json!({ "add": { "headers": [format!("X-By:{value}")] } });
        scope
    };
    let auth = json!({ "name": "key-auth" });
    let limit = json!({ "name": "rate-limiting", "config": { "year": 1 } });
    let own = adding("own", of_consumer(json!({}), 1));
    plugged.put_plugins(&[auth, limit, adding("any", json!({})), own]);
    for status in [200, 429] {
        for (key, by) in [("key-1", "own"), ("key-2", "any")] {
            let response = plugged.send(&Request::new("GET", "/").header("apikey", key)).await;
            assert_eq!((response.status, response.header("x-by")), (status, Some(by)), "{key}");
        }
    }
    assert_eq!(plugged.get("/").await.expect(401).header("x-by"), Some("any"));
}
