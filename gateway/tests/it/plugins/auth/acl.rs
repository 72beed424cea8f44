use serde_json::{Value, json};
use testkit::http::Request;
use testkit::origin::{Answer, Origin};

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

/// Groups that a plugin has found count without a consumer, and before those of one if the configuration says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_a_service_count() {
    let service = Origin::start();
    service.answer(Answer::status(204).header("X-Authenticated-Groups", "x, y"));
    let asking = json!({
        "name": "forward-auth",
        "config": { "url": service.url(), "response_headers": ["X-Authenticated-Groups"] },
    });
    let all = |has_keys: bool, acl: &Value| {
        let [mut keys, acl] = plugins(acl);
        keys["enabled"] = has_keys.into();
        [keys, acl, asking.clone()]
    };
    let plugged = start(&json!({ "allow": ["a"] }));
    put_group(&plugged, 2, "c");
    let forged = |request: Request| request.header("X-Authenticated-Groups", "a");
    let found = Some(("x-authenticated-groups", "x, y"));
    for (has_keys, config, status, groups) in [
        (false, json!({ "allow": ["y"] }), 200, found),
        (false, json!({ "allow": ["y"], "hide_groups_header": true }), 200, None),
        (false, json!({ "allow": ["a"] }), 403, None),
        (false, json!({ "deny": ["y"] }), 403, None),
        (false, json!({ "deny": ["a"] }), 200, found),
        (true, json!({ "allow": ["y"] }), 403, None),
        (true, json!({ "allow": ["c"] }), 200, Some(("x-consumer-groups", "c"))),
        (true, json!({ "allow": ["y"], "always_use_authenticated_groups": true }), 200, found),
        (true, json!({ "allow": ["c"], "always_use_authenticated_groups": true }), 403, None),
    ] {
        plugged.put_plugins(&all(has_keys, &config));
        plugged.origin.forget();
        plugged.send(&forged(request(2))).await.expect(status);
        let received = plugged.received();
        let sent = received.first().and_then(|received| {
            let names = ["x-authenticated-groups", "x-consumer-groups"];
            let mut sent = names.iter().filter_map(|name| Some((*name, received.header(name)?)));
            let first = sent.next();
            assert_eq!(sent.next(), None, "{config}");
            first
        });
        assert_eq!(sent, groups, "{has_keys} {config}");
    }
    // A service that names no group leaves the request to the consumer's.
    service.answer(Answer::status(204));
    let config = json!({ "allow": ["c"], "always_use_authenticated_groups": true });
    plugged.put_plugins(&all(true, &config));
    plugged.send(&forged(request(2))).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_nobody_passes() {
    let plugged = Plugged::start(&[json!({ "name": "acl", "config": { "deny": ["a"] } })]);
    let forged = get("/", &[("X-Consumer-Username", "c1"), ("X-Consumer-Groups", "a")]);
    let response = plugged.send(&forged).await.expect(401);
    assert_eq!(response.json()["message"], "Unauthorized");
    assert_eq!(plugged.origin.count(), 0);
}
