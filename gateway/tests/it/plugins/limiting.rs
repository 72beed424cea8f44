//! The plugins that limit: what passes, what is refused, and what clients and upstreams learn.

mod redis;
mod response;
mod size;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testkit::http::{Client, Request, Response};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Plugged, consumer_id};
use crate::support::{route, service};

/// rate-limiting with this configuration.
fn limiting(config: Value) -> Value {
    json!({ "name": "rate-limiting", "config": config })
}

/// The same for one route, service or consumer.
fn scoped(scope: &str, id: Uuid, config: Value) -> Value {
    json!({ "name": "rate-limiting", "config": config, scope: { "id": id } })
}

/// Waits until a minute has some seconds left, so that a test does not see its end.
async fn within_a_minute() {
    let left = || 60 - SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 60;
    let end = Instant::now() + Duration::from_secs(20);
    while left() < 10 {
        assert!(Instant::now() < end);
        sleep(Duration::from_millis(50)).await;
    }
}

/// How many of `requests` pass; the others must be refused with 429.
async fn pass(client: &Client, request: &Request, requests: usize) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        match client.send(request).await.unwrap().status {
            200 => passed += 1,
            429 => {}
            other => panic!("status {other}"),
        }
    }
    passed
}

fn number(response: &Response, name: &str) -> u64 {
    response.header(&name.to_ascii_lowercase()).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_learns_its_limits_and_is_refused_beyond_them() {
    let plugged = Plugged::start(&[limiting(json!({ "minute": 2, "hour": 100 }))]);
    within_a_minute().await;
    for left in [1, 0] {
        let response = plugged.get("/").await.expect(200);
        for (name, value) in [
            ("X-RateLimit-Limit-Minute", 2),
            ("X-RateLimit-Remaining-Minute", left),
            ("X-RateLimit-Limit-Hour", 100),
            ("X-RateLimit-Remaining-Hour", 98 + left),
            ("RateLimit-Limit", 2),
            ("RateLimit-Remaining", left),
        ] {
            assert_eq!(number(&response, name), value, "{name}");
        }
        assert!((1..=60).contains(&number(&response, "RateLimit-Reset")));
        assert_eq!(response.header("retry-after"), None);
    }
    assert_eq!(plugged.received().len(), 2);
    for _ in 0..3 {
        let response = plugged.get("/").await.expect(429);
        assert_eq!(number(&response, "Retry-After"), number(&response, "RateLimit-Reset"));
        assert_eq!(number(&response, "X-RateLimit-Remaining-Minute"), 0);
        // What is refused counts on no limit.
        assert_eq!(number(&response, "X-RateLimit-Remaining-Hour"), 98);
        assert_eq!(response.json()["message"], "API rate limit exceeded");
        assert!(response.json()["request_id"].is_string());
        assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
    }
    assert_eq!(plugged.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_is_as_it_is_configured() {
    let plugged = Plugged::start(&[]);
    for (config, status, message) in [
        (json!({ "error_code": 503, "error_message": "later \"please\"" }), 503, "later \"please\""),
        (json!({ "error_code": 99_999 }), 429, "API rate limit exceeded"),
        (json!({ "error_code": 100 }), 429, "API rate limit exceeded"),
    ] {
        let mut config = config;
        config
            .as_object_mut()
            .unwrap()
            .extend([("year".to_owned(), json!(1)), ("hide_client_headers".to_owned(), json!(true))]);
        plugged.put_plugins(&[limiting(config)]);
        plugged.get("/").await;
        let response = plugged.get("/").await.expect(status);
        assert_eq!(response.json()["message"], message);
        for hidden in ["X-RateLimit-Limit-Year", "RateLimit-Limit", "RateLimit-Reset", "Retry-After"] {
            assert_eq!(response.header(&hidden.to_ascii_lowercase()), None, "{hidden}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_what_the_configuration_says() {
    let plugged = Plugged::with(&[("proxy.trusted_ips", "127.0.0.1")], &[]);
    let get = |target: &str, name: &str, value: &str| Request::new("GET", target).header(name, value);
    let by_address = |last: u8| get("/", "X-Real-IP", &format!("10.9.8.{last}"));
    let client = &plugged.gateway.client;

    plugged.put_plugins(&[limiting(json!({ "year": 2, "limit_by": "ip" }))]);
    assert_eq!(pass(client, &by_address(1), 4).await, 2);
    assert_eq!(pass(client, &by_address(2), 4).await, 2);
    // Without a consumer, requests are counted by the address: it is the same counter.
    plugged.put_plugins(&[limiting(json!({ "year": 3, "limit_by": "consumer" }))]);
    assert_eq!(pass(client, &by_address(1), 4).await, 1);

    plugged.put_plugins(&[limiting(json!({ "year": 2, "limit_by": "header", "header_name": "X-Tenant" }))]);
    assert_eq!(pass(client, &get("/", "X-Tenant", "a"), 4).await, 2);
    assert_eq!(pass(client, &get("/", "x-tenant", "b"), 4).await, 2);
    assert_eq!(pass(client, &by_address(3), 4).await, 2);

    plugged.put_plugins(&[limiting(json!({ "year": 2, "limit_by": "header", "header_name": "x_u" }))]);
    assert_eq!(pass(client, &get("/", "x-u", "a"), 4).await, 2);
    assert_eq!(pass(client, &get("/", "X-U", "b"), 1).await, 1);
    // Both spellings have one counter.
    assert_eq!(pass(client, &get("/", "x_u", "b"), 4).await, 1);

    plugged.put_plugins(&[limiting(json!({ "year": 2, "limit_by": "path", "path": "/counted" }))]);
    assert_eq!(pass(client, &Request::new("GET", "/counted?x=1"), 4).await, 2);
    // Another spelling of the path is the same path.
    assert_eq!(pass(client, &Request::new("GET", "/x/../counted"), 4).await, 0);
    let other = Request::new("GET", "/counted/not").header("X-Real-IP", "10.9.8.4");
    assert_eq!(pass(client, &other, 4).await, 2);

    plugged.put_plugins(&[limiting(json!({ "year": 3, "limit_by": "service" }))]);
    assert_eq!(pass(client, &by_address(5), 2).await, 2);
    assert_eq!(pass(client, &by_address(6), 4).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_one_scope_share_counters_and_those_of_others_do_not() {
    let plugged = Plugged::start(&[]);
    plugged.put([service(2, &plugged.origin).into()]);
    plugged.put([model::Route { service: Some(Uuid::from_u128(2)), ..route(2, "/two") }.into()]);
    let client = &plugged.gateway.client;
    let [one, two] = ["/", "/two"].map(|target| Request::new("GET", target));

    // A global instance has one counter over all routes.
    plugged.put_plugins(&[limiting(json!({ "year": 3 }))]);
    assert_eq!((pass(client, &one, 2).await, pass(client, &two, 2).await), (2, 1));
    // That of a route has its own, and outlives the plugin.
    for passed in [2, 0] {
        plugged.put_plugins(&[scoped("route", route(1, "/").id, json!({ "year": 2 }))]);
        assert_eq!(pass(client, &one, 4).await, passed);
        plugged.remove_plugin(1);
        assert_eq!(pass(client, &one, 4).await, 4);
    }
    plugged.put_plugins(&[scoped("service", Uuid::from_u128(2), json!({ "year": 2 }))]);
    assert_eq!((pass(client, &one, 4).await, pass(client, &two, 4).await), (4, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_have_limits_of_their_own() {
    let plugged = Plugged::start(&[]);
    plugged.put_consumer(1);
    plugged.put_consumer(2);
    plugged.put_keys(&[(1, "key-1"), (2, "key-2")]);
    let key_auth = json!({ "name": "key-auth" });
    let with_key = |key: &str| Request::new("GET", "/").header("apikey", key);
    let client = &plugged.gateway.client;
    plugged.put_plugins(&[key_auth.clone(), limiting(json!({ "year": 3 }))]);
    assert_eq!(pass(client, &with_key("key-1"), 5).await, 3);
    assert_eq!(pass(client, &with_key("key-2"), 5).await, 3);
    plugged.put_plugins(&[
        key_auth,
        limiting(json!({ "year": 3 })),
        scoped("consumer", consumer_id(1), json!({ "year": 5 })),
    ]);
    // Both instances count by the same scope, route and service: there is one counter.
    assert_eq!(pass(client, &with_key("key-1"), 5).await, 2);
    assert_eq!(pass(client, &with_key("key-2"), 5).await, 0);
    // The one of the consumer counts by something else.
    plugged.put_plugins(&[
        json!({ "name": "key-auth" }),
        limiting(json!({ "year": 3 })),
        scoped("consumer", consumer_id(1), json!({ "year": 1, "limit_by": "ip" })),
    ]);
    assert_eq!(pass(client, &with_key("key-1"), 5).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumer_and_further_limits_count_together() {
    let plugged = Plugged::start(&[]);
    plugged.put_consumer(1);
    plugged.put_keys(&[(1, "key-1")]);
    let by_tenant = json!([{ "limit_by": ["header"], "header_name": "X-Tenant", "year": 2 }]);
    plugged.put_plugins(&[
        json!({ "name": "key-auth" }),
        limiting(json!({ "year": 5, "additional_limits": by_tenant })),
    ]);
    for (tenant, passed) in [("a", 2), ("b", 2), ("c", 1), ("d", 0)] {
        let request = Request::new("GET", "/").header("apikey", "key-1").header("X-Tenant", tenant);
        assert_eq!(pass(&plugged.gateway.client, &request, 4).await, passed, "{tenant}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_what_authentication_says_of_their_sender() {
    let plugged = Plugged::start(&[]);
    plugged.put_consumer(1);
    plugged.put_consumer(2);
    plugged.put_keys(&[(1, "key-1"), (2, "key-2")]);
    let by_name = json!({ "year": 2, "limit_by": "header", "header_name": "X-Consumer-Username" });
    plugged.put_plugins(&[json!({ "name": "key-auth" }), limiting(by_name)]);
    for key in ["key-1", "key-2"] {
        let forged = Request::new("GET", "/").header("apikey", key).header("X-Consumer-Username", "root");
        assert_eq!(pass(&plugged.gateway.client, &forged, 4).await, 2, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_limit_passes_on_many_connections_while_configurations_change() {
    let plugged = Arc::new(Plugged::start(&[]));
    let body = scoped("route", route(1, "/").id, json!({ "day": 100, "year": 1000 }));
    plugged.put_plugins(std::slice::from_ref(&body));
    let (passed, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..32 {
        let (client, passed) = (Client::new(plugged.gateway.address()), passed.clone());
        tasks.spawn(async move {
            let count = pass(&client, &Request::new("GET", "/"), 32).await;
            passed.fetch_add(count, Ordering::Relaxed);
        });
    }
    for round in 0..100 {
        let mut changed = body.clone();
        changed["config"]["year"] = json!(2000 + round);
        plugged.put_plugins(&[changed]);
        sleep(Duration::from_millis(2)).await;
    }
    tasks.join_all().await;
    assert_eq!(passed.load(Ordering::Relaxed), 100);
    assert_eq!(plugged.origin.count(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn further_limits_count_together_and_windows_slide() {
    let plugged = Plugged::start(&[]);
    let client = &plugged.gateway.client;
    let from =
        |tenant: &str, user: &str| Request::new("GET", "/").header("X-Tenant", tenant).header("X-User", user);
    plugged.put_plugins(&[limiting(json!({
        "year": 2,
        "limit_by": "header",
        "header_name": "X-User",
        "window_type": "sliding",
        "additional_limits": [
            { "limit_by": ["header"], "header_name": "X-Tenant", "year": 5 },
            { "limit_by": ["service", "ip"], "year": 7 },
        ],
    }))]);
    assert_eq!(pass(client, &from("t", "a"), 4).await, 2);
    assert_eq!(pass(client, &from("t", "b"), 4).await, 2);
    // Of a limit of which less is left, the client learns.
    let response = plugged.send(&from("t", "c")).await.expect(200);
    assert_eq!(number(&response, "X-RateLimit-Limit-Year"), 5);
    assert_eq!(number(&response, "RateLimit-Remaining"), 0);
    assert_eq!(pass(client, &from("t", "d"), 4).await, 0);
    // What was refused by one limit has counted on no other.
    assert_eq!(pass(client, &from("u", "d"), 4).await, 2);
    let response = plugged.send(&from("u", "e")).await.expect(429);
    assert_eq!(number(&response, "X-RateLimit-Limit-Year"), 7);
    assert!(number(&response, "Retry-After") > 1000);
}
