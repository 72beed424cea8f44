//! proxy-cache: what is kept, who gets it, and what the upstream sees of it.

mod together;

use serde_json::{Value, json};
use testkit::http::{Request, Response};
use testkit::origin::{Answer, Origin};

use super::Plugged;

/// The plugin with these fields beside the required one.
pub(super) fn plugin(config: &Value) -> Value {
    let mut all = json!({ "strategy": "memory" });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    json!({ "name": "proxy-cache", "config": all })
}

/// An answer that the default configuration keeps.
pub(super) fn kept(body: &str) -> Answer {
    Answer::status(200).header("Content-Type", "text/plain").body(body)
}

#[track_caller]
pub(super) fn assert_status(response: &Response, status: &str) {
    assert_eq!(response.header("x-cache-status"), Some(status), "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_request_is_answered_from_the_cache() {
    let plugged = Plugged::start(&[plugin(&json!({}))]);
    let origins = kept("one").header("X-Own", "1").header("ETag", "\"e\"");
    plugged.origin.answer(origins.header("Server", "own").header("RateLimit-Limit", "7"));
    let miss = plugged.get("/a?b=1").await.expect(200);
    assert_status(&miss, "Miss");
    assert_eq!((miss.header("age"), miss.text().as_str()), (None, "one"));
    let hit = plugged.get("/a?b=1").await.expect(200);
    assert_status(&hit, "Hit");
    assert_eq!(hit.text(), "one");
    assert_eq!((hit.header("x-own"), hit.header("age")), (Some("1"), Some("0")));
    assert_eq!(hit.header("content-type"), Some("text/plain"));
    assert_eq!(hit.header("content-length"), Some("3"));
    assert_eq!((hit.header("server"), hit.header("ratelimit-limit")), (Some("own"), Some("7")));
    assert!(hit.header("via").is_some() && hit.header("x-kong-proxy-latency").is_some());
    assert_eq!(hit.header("x-cache-key"), miss.header("x-cache-key"));
    assert_eq!(hit.header("x-cache-key").unwrap().len(), 64);
    assert_eq!(plugged.received().len(), 1);
    // An answer without a body to a client that has it.
    let same = Request::new("GET", "/a?b=1").header("If-None-Match", "\"e\"");
    let unchanged = plugged.send(&same).await.expect(304);
    assert_status(&unchanged, "Hit");
    assert_eq!((unchanged.header("etag"), unchanged.header("content-type")), (Some("\"e\""), None));
    let ranged = Request::new("GET", "/a?b=1").header("Range", "bytes=0-0");
    assert_eq!(plugged.send(&ranged).await.expect(200).text(), "one");
    assert!(plugged.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_may_not_be_shared_pass() {
    let plugged = Plugged::start(&[plugin(&json!({}))]);
    for answer in [
        kept("x").header("Set-Cookie", "a=b"),
        kept("x").header("Cache-Control", "private"),
        kept("x").header("Cache-Control", "no-store"),
        kept("x").header("Vary", "*"),
        Answer::status(200).header("Content-Type", "text/html").body("x"),
        Answer::status(200).body("x"),
        Answer::status(500).header("Content-Type", "text/plain").body("x"),
    ] {
        plugged.origin.answer(answer);
        for _ in 0..2 {
            assert_status(&plugged.get("/private").await, "Bypass");
        }
        assert_eq!(plugged.received().len(), 2);
    }
    plugged.put_plugins(&[plugin(&json!({ "store_private": true }))]);
    plugged.origin.answer(kept("x").header("Set-Cookie", "a=b").header("Cache-Control", "private"));
    assert_status(&plugged.get("/private").await, "Miss");
    let hit = plugged.get("/private").await;
    assert_status(&hit, "Hit");
    assert_eq!(hit.header("set-cookie"), Some("a=b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_share_an_answer_only_if_they_are_the_same() {
    let plugged = Plugged::start(&[plugin(&json!({ "request_method": ["GET", "HEAD", "POST"] }))]);
    plugged.origin.answer(kept("x"));
    let get = |target: &str| Request::new("GET", target);
    for (one, other, shared) in [
        (get("/1?a=1&b=2"), get("/1?b=2&a=1"), true),
        (get("/2?a=1&b=2"), get("/2?a=1%3Ab=2"), false),
        (get("/3"), get("/3?"), false),
        (get("/4"), Request::new("HEAD", "/4"), false),
        (get("/5"), get("/5").header("Authorization", "Bearer x"), false),
        (get("/6").header("Authorization", "Bearer x"), get("/6").header("Authorization", "Bearer y"), false),
        (get("/7").header("Cookie", "a=1"), get("/7"), true),
        (get("/8").header("Host", "a.test"), get("/8").header("Host", "b.test"), false),
        (Request::new("POST", "/9").body("1"), Request::new("POST", "/9").body("2"), false),
        (Request::new("POST", "/10").body("1"), Request::new("POST", "/10").body("1"), true),
        (Request::new("POST", "/11").body("1"), get("/11"), false),
    ] {
        assert_status(&plugged.send(&one).await.expect(200), "Miss");
        let second = plugged.send(&other).await.expect(200);
        assert_status(&second, if shared { "Hit" } else { "Miss" });
        assert_status(&plugged.send(&other).await.expect(200), "Hit");
        plugged.received();
    }
    // A body that is too long to be a part of the key.
    let long = Request::new("POST", "/long").body(vec![b'x'; 65 * 1024]);
    assert_status(&plugged.send(&long).await.expect(200), "Bypass");
    assert_eq!(plugged.received()[0].body.len(), 65 * 1024);
    assert_status(&plugged.send(&Request::new("PUT", "/1")).await.expect(200), "Bypass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_vary_by_the_fields_that_they_name() {
    let plugged = Plugged::start(&[plugin(&json!({}))]);
    plugged.origin.answer_with(|received| {
        let encoding = received.header("accept-encoding").unwrap_or("none");
        kept(encoding).header("Vary", "Accept-Encoding")
    });
    let ask = |encoding: &str| Request::new("GET", "/").header("Accept-Encoding", encoding);
    for (encoding, status) in [("gzip", "Miss"), ("br", "Miss"), ("gzip", "Hit"), ("br", "Hit")] {
        let answer = plugged.send(&ask(encoding)).await.expect(200);
        assert_status(&answer, status);
        assert_eq!(answer.text(), encoding);
    }
    assert_eq!(plugged.get("/").await.expect(200).text(), "none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_vary_by_configured_fields_with_hyphens_for_underscores() {
    let plugged = Plugged::start(&[plugin(&json!({ "vary_headers": ["x_v"] }))]);
    plugged.origin.answer_with(|received| kept(received.header("x-v").unwrap_or("none")));
    let ask = |fields: &[(&str, &str)]| {
        fields.iter().fold(Request::new("GET", "/"), |request, (name, value)| request.header(name, value))
    };
    let mut shown = Vec::new();
    for (fields, body) in [
        (&[("x-v", "1")][..], "1"),
        (&[("x-v", "2")], "2"),
        (&[], "none"),
        (&[("x_v", "3"), ("x-v", "1")], "1"),
        (&[("x_v", "3"), ("x-v", "2")], "2"),
    ] {
        for status in ["Miss", "Hit"] {
            let answer = plugged.send(&ask(fields)).await.expect(200);
            assert_status(&answer, status);
            assert_eq!(answer.text(), body, "{fields:?}");
            shown.push(answer.header("x-cache-key").unwrap().to_owned());
        }
    }
    // The shown key, as Kong's, has the field as it is configured before the one with hyphens.
    shown.dedup();
    assert_eq!(shown.len(), 4);
}

/// The upstream does not get a field that `Connection` lists: its answer is none to clients that send the field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_hides_a_field_from_the_upstream_fills_no_cache() {
    let plugged = Plugged::start(&[plugin(&json!({ "vary_headers": ["x-tenant"] }))]);
    plugged.origin.answer_with(|received| {
        let of = |name| received.header(name).unwrap_or("none").to_owned();
        kept(&[of("accept-language"), of("x-tenant")].concat()).header("Vary", "Accept-Language")
    });
    let ask = || Request::new("GET", "/").header("Accept-Language", "de").header("X-Tenant", "a");
    for (connection, status, body) in [
        (Some("Accept-Language"), "Bypass", "nonea"),
        (Some("keep-alive, x-tenant"), "Bypass", "denone"),
        (None, "Miss", "dea"),
        (Some("keep-alive,, TE"), "Hit", "dea"),
    ] {
        let request = connection.into_iter().fold(ask(), |ask, listed| ask.header("Connection", listed));
        let answer = plugged.send(&request).await.expect(200);
        assert_status(&answer, status);
        assert_eq!(answer.text(), body, "{connection:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_without_a_consumer_share_no_answer() {
    let service = Origin::start();
    service.answer_with(|asked| {
        Answer::status(200).header("X-User", asked.header("cookie").unwrap_or("nobody"))
    });
    let config = json!({ "url": service.url(), "response_headers": ["x-user"] });
    let auth = json!({ "name": "forward-auth", "config": config });
    let trusted = [("proxy.trusted_ips", "127.0.0.1")];
    for (keys, plugins, field) in [
        (&[][..], vec![plugin(&json!({})), auth], "Cookie"),
        // The user of a trusted peer that has authenticated it.
        (&trusted[..], vec![plugin(&json!({}))], "X-Consumer-ID"),
    ] {
        let plugged = Plugged::with(keys, &plugins);
        plugged.origin.answer_with(|received| {
            let user = received.header("x-user").or_else(|| received.header("x-consumer-id"));
            kept(user.unwrap_or_default())
        });
        for (user, status) in [("a", "Miss"), ("b", "Miss"), ("a", "Hit"), ("b", "Hit")] {
            let answer = plugged.send(&Request::new("GET", "/me").header(field, user)).await.expect(200);
            assert_status(&answer, status);
            assert_eq!(answer.text(), user, "{field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_control_decides_where_it_is_configured() {
    let plugged = Plugged::start(&[plugin(&json!({ "cache_control": true, "storage_ttl": 100 }))]);
    let with = |directives: &str| Request::new("GET", "/").header("Cache-Control", directives);
    assert_eq!(plugged.send(&with("only-if-cached")).await.expect(504).text(), "");
    assert!(plugged.received().is_empty());
    plugged.origin.answer(kept("x"));
    assert_status(&plugged.get("/").await, "Bypass");
    plugged.origin.answer(kept("x").header("Cache-Control", "max-age=60").header("Age", "50"));
    for (directives, status) in [
        ("no-store", "Bypass"),
        ("no-cache", "Bypass"),
        ("", "Miss"),
        ("", "Hit"),
        ("max-age=40", "Refresh"),
        ("min-fresh=30", "Refresh"),
        ("only-if-cached", "Hit"),
    ] {
        assert_status(&plugged.send(&with(directives)).await.expect(200), status);
    }
    let hit = plugged.send(&with("")).await.expect(200);
    assert_eq!(hit.header("age"), Some("50"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_shown_as_configured() {
    let none = json!({ "response_headers": { "age": false, "X-Cache-Status": false, "X-Cache-Key": false } });
    let plugged = Plugged::start(&[plugin(&none)]);
    plugged.origin.answer(kept("x"));
    for _ in 0..2 {
        let answer = plugged.get("/").await.expect(200);
        for name in ["age", "x-cache-status", "x-cache-key"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
    let debug = plugged.send(&Request::new("GET", "/").header("Kong-Debug", "1")).await.expect(200);
    assert_status(&debug, "Hit");
    assert!(debug.header("age").is_some() && debug.header("x-cache-key").is_some());
}

/// What other plugins write into each answer is not that of an earlier one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_plugins_are_not_kept() {
    let collector = Origin::start();
    let traces = json!({ "traces_endpoint": collector.url(), "http_response_header_for_traceid": "X-Trace" });
    let traces = json!({ "name": "opentelemetry", "config": traces });
    let plugged = Plugged::start(&[plugin(&json!({})), traces]);
    plugged.origin.answer(kept("x"));
    for (status, is_traced) in [("Miss", true), ("Hit", false)] {
        let answer = plugged.get("/").await.expect(200);
        assert_status(&answer, status);
        assert_eq!(answer.header("x-trace").is_some(), is_traced, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_cannot_be_changed_counts_once() {
    let config = json!({ "remove": { "json": ["a"] }, "max_body_bytes": 1000 });
    let transformer = json!({ "name": "response-transformer", "config": config });
    let plugged = Plugged::start(&[plugin(&json!({})), transformer]);
    plugged.origin.answer(Answer::status(200).header("Content-Type", "application/json").size(2000));
    plugged.get("/").await.expect(502);
    let count =
        |status| plugged.gateway.metric(&format!("gibbon_proxy_cache_requests_total{{status=\"{status}\"}}"));
    assert_eq!((count("miss"), count("bypass")), (1.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_too_long_or_broken_pass() {
    let plugged = Plugged::with(&[("cache.max_object_bytes", "1024")], &[plugin(&json!({}))]);
    plugged.origin.answer(kept("").size(1024));
    assert_status(&plugged.get("/fits").await.expect(200), "Miss");
    assert_status(&plugged.get("/fits").await.expect(200), "Hit");
    plugged.origin.answer(kept("").size(1025).chunked());
    for _ in 0..2 {
        let answer = plugged.get("/long").await.expect(200);
        assert_status(&answer, "Miss");
        assert_eq!(answer.body.len(), 1025);
    }
    plugged.origin.answer(kept("").size(1000).truncated(500));
    assert!(plugged.gateway.client.get("/cut").await.is_err());
    plugged.origin.answer(kept("whole"));
    let answer = plugged.get("/cut").await.expect(200);
    assert_status(&answer, "Miss");
    assert_eq!(answer.text(), "whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_outlive_changes_of_the_configuration_and_end_by_order() {
    let plugged = Plugged::start(&[plugin(&json!({}))]);
    plugged.origin.answer(kept("x"));
    let key = plugged.get("/").await.expect(200).header("x-cache-key").unwrap().to_owned();
    plugged.put_plugins(&[plugin(&json!({ "cache_ttl": 100 }))]);
    assert_status(&plugged.get("/").await, "Hit");
    let purge = |plugin, key: Option<String>, seconds| model::CachePurge {
        id: model::CachePurge::id_of(plugin, key.as_deref()),
        plugin,
        key,
        set_at: model::Number::whole(seconds),
    };
    let other = Some(uuid::Uuid::from_u128(99));
    for (order, status) in [
        (purge(None, Some("0".repeat(64)), 1), "Hit"),
        (purge(other, Some(key.clone()), 1), "Hit"),
        (purge(Some(super::plugin_id(1)), Some(key.clone()), 1), "Miss"),
        (purge(None, Some(key.clone()), 1), "Miss"),
        // The same order comes again, as with a snapshot.
        (purge(None, Some(key.clone()), 1), "Hit"),
        (purge(None, None, 1), "Miss"),
        (purge(None, None, 2), "Miss"),
    ] {
        plugged.put([order.into()]);
        assert_status(&plugged.get("/").await, status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_another_plugin_makes_gets_have_answers_of_their_own() {
    let get = json!({ "name": "request-transformer", "config": { "http_method": "GET" } });
    let plugged = Plugged::start(&[get, plugin(&json!({}))]);
    plugged.origin.answer(kept("body"));
    for _ in 0..2 {
        plugged.send(&Request::new("HEAD", "/")).await.expect(200);
    }
    let answer = plugged.get("/").await.expect(200);
    assert_status(&answer, "Miss");
    assert_eq!(answer.text(), "body");
    assert!(plugged.received().iter().all(|received| received.method == "GET"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_another_plugin_changes_are_kept() {
    let add = json!({ "name": "response-transformer", "config": { "add": { "json": ["a:1"] } } });
    let plugged = Plugged::start(&[add, plugin(&json!({}))]);
    plugged.origin.answer(Answer::status(200).header("Content-Type", "application/json").body("{}"));
    for status in ["Miss", "Hit"] {
        let answer = plugged.get("/").await.expect(200);
        assert_status(&answer, status);
        assert_eq!(answer.json(), json!({ "a": "1" }));
    }
}
