//! Limits of what upstreams say was used.

use testkit::http::Connection;
use testkit::origin::Answer;
use testkit::redis::Redis;
use testkit::wait::eventually;
use tokio::time::timeout;

use super::*;

fn using(config: Value) -> Value {
    json!({ "name": "response-ratelimiting", "config": config })
}

/// An origin that uses what the request says.
fn start(config: Value) -> Plugged {
    let plugged = Plugged::start(&[using(config)]);
    plugged.origin.answer_with(|received| {
        let used = received.header("x-use").unwrap_or_default().to_owned();
        let remaining = received.header("x-ratelimit-remaining-videos").unwrap_or("none").to_owned();
        Answer::echo().header("X-Kong-Limit", &used).header("X-Seen", &remaining)
    });
    plugged
}

fn uses(what: &str) -> Request {
    Request::new("GET", "/").header("X-Use", what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_uses_up_a_limit_passes_and_the_next_use_is_refused() {
    let plugged = start(json!({ "limits": { "videos": { "year": 10 }, "sms": { "hour": 5, "year": 50 } } }));
    for (used, status, seen, left) in [
        ("", 200, "10", "10"),
        ("videos=4, sms=1", 200, "10", "6"),
        ("videos=2.5", 200, "6", "3.5"),
        ("nothing=3,videos", 200, "3.5", "3.5"),
        ("videos=7.5", 200, "3.5", "0"),
        ("videos=1", 429, "-4", "0"),
        ("sms=1", 200, "-4", "0"),
        ("videos=-5", 200, "-4", "1"),
        ("videos=1", 200, "1", "0"),
        ("videos=1, sms=1", 429, "0", "0"),
    ] {
        let response = plugged.send(&uses(used)).await.expect(status);
        assert_eq!(response.header("x-seen"), Some(seen), "{used}");
        assert_eq!(response.header("x-ratelimit-remaining-videos"), Some(seen), "{used}");
        assert_eq!(response.header("x-ratelimit-remaining-videos-year"), Some(left), "{used}");
        assert_eq!(response.header("x-ratelimit-limit-sms-hour"), Some("5"));
        assert_eq!(response.header("x-kong-limit"), None);
        assert_eq!(response.body.is_empty(), status == 429, "{used}");
    }
    // What was refused has counted on none.
    let response = plugged.send(&uses("")).await.expect(200);
    assert_eq!(response.header("x-ratelimit-remaining-sms-year"), Some("48"));
    assert_eq!(response.header("x-ratelimit-remaining-sms-hour"), Some("3"));
    // A refused answer leaves its body unread: the next request has a connection of its own, and its answer.
    plugged.origin.answer(Answer::echo().header("X-Kong-Limit", "videos=1").size(1_000_000));
    for _ in 0..3 {
        assert!(plugged.get("/").await.expect(429).body.is_empty());
        assert!(plugged.send(&Request::new("HEAD", "/")).await.expect(429).body.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_has_the_reason_of_its_status() {
    let plugged = start(json!({ "limits": { "videos": { "year": 1 } } }));
    // The reason of the origin is its own.
    for line in ["HTTP/1.1 200 Scripted\r\n", "HTTP/1.1 429 Too Many Requests\r\n"] {
        let mut connection = Connection::open(plugged.gateway.address()).await.unwrap();
        connection.write(&uses("videos=1").encode("h")).await.unwrap();
        let read = timeout(Duration::from_secs(10), connection.read_exact(line.len())).await;
        assert_eq!(read.unwrap().unwrap(), line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_shows_each_period_as_if_it_had_counted() {
    let plugged = start(json!({ "limits": { "videos": { "hour": 1, "year": 10 } } }));
    plugged.send(&uses("videos=1")).await.expect(200);
    let response = plugged.send(&uses("videos=2")).await.expect(429);
    assert_eq!(response.header("x-ratelimit-remaining-videos-hour"), Some("0"));
    assert_eq!(response.header("x-ratelimit-remaining-videos-year"), Some("7"));
    let response = plugged.send(&uses("")).await.expect(200);
    assert_eq!(response.header("x-ratelimit-remaining-videos-year"), Some("9"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_is_refused_early_if_the_configuration_says_so() {
    let plugged = start(json!({
        "limits": { "videos": { "year": 2 } },
        "block_on_first_violation": true,
        "hide_client_headers": true,
    }));
    let response = plugged.send(&uses("videos=2")).await.expect(200);
    assert_eq!(response.header("x-ratelimit-limit-videos-year"), None);
    plugged.received();
    let response = plugged.send(&uses("")).await.expect(429);
    assert_eq!(response.json()["message"], "API rate limit exceeded for 'videos'");
    assert_eq!(plugged.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_what_was_used() {
    let mut redis = Redis::start();
    let config = |tolerant: bool| {
        json!({
            "limits": { "videos": { "year": 10 } },
            "policy": "redis",
            "redis": { "host": "127.0.0.1", "port": redis.port(), "timeout": 2000 },
            "fault_tolerant": tolerant,
        })
    };
    let nodes = [start(config(true)), start(config(false))];
    nodes[0].send(&uses("videos=12")).await.expect(200);
    eventually(Duration::from_secs(20), || async {
        let response = nodes[1].send(&uses("")).await.expect(200);
        let left = response.header("x-ratelimit-remaining-videos").unwrap().to_owned();
        if left == "-2" { Ok(()) } else { Err(left) }
    })
    .await;
    nodes[1].send(&uses("videos=1")).await.expect(429);
    let key = redis.run(&["KEYS", "*"]);
    assert!(key.starts_with("response-ratelimit:") && key.ends_with(":videos:year"), "{key}");
    redis.kill();
    for (node, status) in nodes.iter().zip([200, 500]) {
        eventually(Duration::from_secs(20), || async {
            let response = node.send(&uses("videos=1")).await;
            if response.status == status { Ok(()) } else { Err(response.status) }
        })
        .await;
    }
}
