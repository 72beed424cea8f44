//! Bounds on the contents of a body: each violation names the field, the size and the limit, on both
//! databases.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::Request;
use tokio::time::Instant;

use super::{Admin, on_both_databases, revision};

on_both_databases!(
    what_is_within_the_bounds_is_taken,
    what_is_beyond_them_is_refused,
    hostile_bodies_are_refused_at_once,
    text_that_a_database_cannot_hold,
);

fn many(count: usize, name: impl Fn(usize) -> String) -> Value {
    (0..count).map(name).collect()
}

async fn what_is_within_the_bounds_is_taken(admin: &Admin) {
    let name = "n".repeat(1024);
    let tags = many(100, |n| format!("{n:0>512}"));
    let service = json!({ "name": name, "host": "x", "tags": tags });
    let made = admin.post("/services", &service).await.expect(201).json();
    assert_eq!((&made["name"], &made["tags"]), (&json!(name), &tags));
    assert_eq!(admin.get(&format!("/services/{name}")).await.expect(200).json(), made);
    let route = json!({
        "name": name,
        "hosts": many(2500, |n| format!("h{n}.test")),
        "paths": many(4, |n| format!("/p{n}")),
        "headers": { "x": many(500, |n| n.to_string()) },
    });
    let made = admin.post("/routes", &route).await.expect(201);
    admin.published(revision(&made)).await;
}

async fn what_is_beyond_them_is_refused(admin: &Admin) {
    let host = |length| "h".repeat(length);
    let route = |field: &str, value: Value| json!({ "paths": ["/"], field: value });
    for (target, body, field, reason) in [
        ("/services", json!({ "host": "x", "name": host(1025) }), "/name", "at most 1024 bytes, it has 1025"),
        ("/services", json!({ "host": host(300) }), "/host", "at most 261 bytes, it has 300"),
        ("/services", json!({ "host": host(254) }), "/host", "invalid value"),
        (
            "/services",
            json!({ "host": "x", "path": format!("/{}", host(4096)) }),
            "/path",
            "at most 4096 bytes",
        ),
        ("/services", json!({ "url": format!("http://x/{}", host(5000)) }), "/path", "at most 4096 bytes"),
        (
            "/services",
            json!({ "host": "x", "tags": many(101, |n| n.to_string()) }),
            "/tags",
            "at most 100 elements, it has 101",
        ),
        (
            "/services",
            json!({ "host": "x", "tags": ["t", host(513)] }),
            "/tags/1",
            "at most 512 bytes, it has 513",
        ),
        (
            "/services",
            json!({ "host": "x", "protocol": "https", "ca_certificates": many(101, |n| format!("{n:0>8}-0000-4000-8000-000000000000")) }),
            "/ca_certificates",
            "at most 100 elements, it has 101",
        ),
        ("/routes", route("name", json!(host(1025))), "/name", "at most 1024 bytes"),
        ("/routes", route("tags", many(101, |n| n.to_string())), "/tags", "at most 100 elements"),
        (
            "/routes",
            route("hosts", many(5001, |n| format!("h{n}"))),
            "/hosts",
            "at most 5000 elements, it has 5001",
        ),
        (
            "/routes",
            route("paths", many(1001, |n| format!("/{n}"))),
            "/paths",
            "at most 1000 elements, it has 1001",
        ),
        (
            "/routes",
            route("methods", many(51, |n| "A".repeat(n + 1))),
            "/methods",
            "at most 50 elements, it has 51",
        ),
        ("/routes", route("methods", json!(["A".repeat(65)])), "/methods/0", "at most 64 bytes, it has 65"),
        (
            "/routes",
            route("snis", many(501, |n| format!("h{n}"))),
            "/snis",
            "at most 500 elements, it has 501",
        ),
        (
            "/routes",
            route("headers", json!({ "x": many(501, |n| n.to_string()) })),
            "/headers",
            "at most 500 values, it has 501",
        ),
        (
            "/routes",
            route("headers", json!({ (host(257)): ["1"] })),
            "/headers",
            "at most 256 bytes, it has 257",
        ),
        (
            "/routes",
            route("headers", json!({ "x": [host(4097)] })),
            "/headers",
            "at most 4096 bytes, it has 4097",
        ),
        (
            "/routes",
            route("sources", (0..501).map(|n| json!({ "port": n })).collect()),
            "/sources",
            "at most 500 elements",
        ),
        (
            "/routes",
            json!({ "hosts": many(3000, |n| format!("h{n}")), "paths": many(1000, |n| format!("/{n}")) }),
            "/paths",
            "hosts times paths must be at most 10000, 3000 hosts and 1000 paths make 3000000",
        ),
        (
            "/routes",
            route("paths", many(101, |n| format!("~/{n}"))),
            "/paths",
            "at most 100 regular expressions",
        ),
        (
            "/routes",
            route("paths", many(60, |n| format!("~/{n}/\\w{{20}}"))),
            "/paths",
            "at most 4194304 bytes once compiled",
        ),
        ("/routes", route("paths", json!(["~/(a{1000}){1000}"])), "/paths/0", "size limit"),
        ("/certificates", json!({ "snis": many(501, |n| format!("h{n}")) }), "/snis", "at most 500 elements"),
        ("/certificates", json!({ "cert": host(131_073) }), "/cert", "at most 131072 bytes, it has 131073"),
        ("/certificates", json!({ "key": host(16_385) }), "/key", "at most 16384 bytes, it has 16385"),
        (
            "/ca_certificates",
            json!({ "cert": host(131_073) }),
            "/cert",
            "at most 131072 bytes, it has 131073",
        ),
        ("/snis", json!({ "name": host(300) }), "/name", "invalid value"),
    ] {
        let answer = admin.post(target, &body).await.expect(400);
        let said = answer.json()["fields"].pointer(field).and_then(Value::as_str).map(str::to_owned);
        let short: String = answer.text().chars().take(300).collect();
        assert!(said.is_some_and(|said| said.contains(reason)), "{target} {field} {reason}: {short}");
        assert!(answer.body.len() < 20_000, "{target} {field}: {} bytes", answer.body.len());
    }
    let many_tags = ["t"; 51].join(",");
    let refused = admin.get(&format!("/services?tags={many_tags}")).await.expect(400).json();
    assert_eq!(refused["options"], json!({ "tags": "at most 50 tags, it has 51" }));
}

/// None of them takes the time or the memory that its size would allow.
async fn hostile_bodies_are_refused_at_once(admin: &Admin) {
    let json =
        |body: String| Request::new("POST", "/routes").header("Content-Type", "application/json").body(body);
    let form = |body: String| {
        Request::new("POST", "/routes").header("Content-Type", "application/x-www-form-urlencoded").body(body)
    };
    let numbers: Vec<String> = (0..1_000_000).map(|n: u32| format!("\"{n:x}\"")).collect();
    let fields: Vec<String> = (0..500_000).map(|n: u32| format!("\"{n:x}\":0")).collect();
    let indexes: String = (0..9000).map(|n| format!("f{n}[9000]=x&")).collect();
    for (request, reason) in [
        (json(format!("{{\"paths\":[{}]}}", numbers.join(","))), "at most 100000 values"),
        (json(format!("{{{}}}", fields.join(","))), "at most 1000 fields of an object"),
        (json(format!("{{\"a\":{}", "[".repeat(5_000_000))), "at most 16 levels"),
        (json(format!("{{\"a\":{}", "{\"a\":".repeat(1_000_000))), "at most 16 levels"),
        (json(format!("{{\"{}\":1}}", "n".repeat(5_000_000))), "at most 1024 bytes of a field's name"),
        (form("a=1&".repeat(1_000_000)), "at most 10000 fields"),
        (form(indexes), "unknown field"),
    ] {
        let begun = Instant::now();
        let client = admin.client.clone().with_deadline(Duration::from_secs(60));
        let answer = client.send(&request).await.unwrap().expect(400);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{reason}: {message:.300}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{reason}: {:?}", begun.elapsed());
    }
}

async fn text_that_a_database_cannot_hold(admin: &Admin) {
    for (target, body, field) in [
        ("/services", json!({ "host": "x", "name": "a\u{0}b" }), "/name"),
        ("/services", json!({ "host": "a\u{0}" }), "/host"),
        ("/services", json!({ "host": "x", "path": "/\u{0}" }), "/path"),
        ("/services", json!({ "host": "x", "tags": ["a\u{0}"] }), "/tags/0"),
        ("/services", json!({ "host": "x", "tags": ["a\u{7f}"] }), "/tags/0"),
        ("/services", json!({ "host": "x", "\u{0}": 1 }), "/\u{0}"),
        ("/routes", json!({ "paths": ["/"], "name": "\u{85}" }), "/name"),
        ("/routes", json!({ "paths": ["/"], "hosts": ["\u{0}"] }), "/hosts/0"),
        ("/routes", json!({ "paths": ["/"], "methods": ["\u{0}"] }), "/methods/0"),
        ("/routes", json!({ "paths": ["/"], "headers": { "x": ["\u{0}"] } }), "/headers/x/0"),
        ("/routes", json!({ "paths": ["/"], "headers": { "\u{0}": ["x"] } }), "/headers"),
        ("/routes", json!({ "paths": ["/"], "service": { "name": "\u{0}" } }), "/service/name"),
        ("/snis", json!({ "name": "\u{0}" }), "/name"),
        ("/ca_certificates", json!({ "cert": "\u{0}" }), "/cert"),
    ] {
        let answer = admin.post(target, &body).await.expect(400).json();
        assert!(answer["fields"].pointer(field).is_some(), "{target} {body}: {answer}");
    }
    let send = async |kind: &str, body: &[u8]| {
        let request = Request::new("POST", "/services").header("Content-Type", kind).body(body.to_vec());
        admin.client.send(&request).await.unwrap().expect(400).json()["message"].clone()
    };
    assert_eq!(send("application/json", b"{\"host\":\"\xff\"}").await, "Cannot parse JSON body");
    let form = "application/x-www-form-urlencoded";
    assert_eq!(send(form, b"host=%ff").await, "Cannot parse form body: it is not UTF-8");
    for number in ["1e300", "18446744073709551616", "-1e999"] {
        let body = format!("{{\"host\":\"x\",\"port\":{number}}}");
        send("application/json", body.as_bytes()).await;
    }
}
