use serde_json::{Value, json};
use testkit::http::Request;

use super::*;
use crate::plugins::Plugged;

const CLOSED: &str = "You cannot consume this service";

/// A gateway with key-auth and acl. The consumer 1 is in the groups `a` and `b`, the consumer 2 in none.
fn start(acl: &Value) -> Plugged {
    let plugged = Plugged::start(&plugins(acl));
    for number in [1, 2] {
        plugged.put_consumer(number);
        put_key(&plugged, number, &format!("key{number}"), None);
    }
    put_group(&plugged, 1, "a");
    put_group(&plugged, 1, "b");
    plugged
}

fn plugins(acl: &Value) -> [Value; 2] {
    [json!({ "name": "key-auth" }), json!({ "name": "acl", "config": acl })]
}

fn closed(number: u128) -> Case {
    Case { status: 403, message: CLOSED, ..passes(request(number)) }
}

fn request(number: u128) -> Request {
    get("/", &[("apikey", &format!("key{number}"))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_decide() {
    let plugged = start(&json!({ "allow": ["b", "c"] }));
    passes(request(1)).run(&plugged).await;
    closed(2).run(&plugged).await;
    plugged.put_plugins(&plugins(&json!({ "deny": ["b", "c"] })));
    closed(1).run(&plugged).await;
    passes(request(2)).run(&plugged).await;
    plugged.put_plugins(&plugins(&json!({ "allow": ["B"] })));
    closed(1).run(&plugged).await;
    put_group(&plugged, 2, "B");
    passes(request(2)).run(&plugged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_learns_all_groups_unless_they_are_hidden() {
    let plugged = start(&json!({ "allow": ["b"] }));
    let forged = || request(1).header("X-Consumer-Groups", "admin").header("X-Authenticated-Groups", "admin");
    let received = async || {
        plugged.send(&forged()).await.expect(200);
        let last = plugged.origin.last();
        assert_eq!(last.header("x-authenticated-groups"), None);
        last.header("x-consumer-groups").map(str::to_owned)
    };
    let groups = received().await.unwrap();
    assert!(["a, b", "b, a"].contains(&&*groups), "{groups}");
    plugged.put_plugins(&plugins(&json!({ "allow": ["b"], "hide_groups_header": true })));
    assert_eq!(received().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_nobody_passes() {
    let plugged = Plugged::start(&[json!({ "name": "acl", "config": { "deny": ["a"] } })]);
    let forged = get("/", &[("X-Consumer-Username", "c1"), ("X-Consumer-Groups", "a")]);
    let response = plugged.send(&forged).await.expect(401);
    assert_eq!(response.json()["message"], "Unauthorized");
    assert_eq!(plugged.origin.count(), 0);
}
