//! `/routes/match` shows the route and the reasons. [`crate::explained`] tests that data planes act
//! accordingly.

use serde_json::{Value, json};
use testkit::http::Request;

use super::{Admin, on_both_databases};

on_both_databases!(explains_what_is_taken_and_what_is_not, names_what_is_wrong_with_a_question);

async fn explains_what_is_taken_and_what_is_not(admin: &Admin) {
    let service = json!({ "name": "s", "url": "http://up.example:81/base" });
    admin.post("/services", &service).await.expect(201);
    for route in [
        json!({ "name": "taken", "paths": ["/a"], "hosts": ["a.example"], "headers": { "x-v": ["~*^2"] } }),
        json!({ "name": "lower", "paths": ["/a/b"] }),
        json!({ "name": "lowest", "paths": ["/"] }),
        json!({ "name": "posts", "paths": ["/a"], "methods": ["POST"] }),
        json!({ "name": "far", "paths": ["/z"], "hosts": ["z.example"], "methods": ["POST"] }),
    ] {
        admin.post("/services/s/routes", &route).await.expect(201);
    }
    let target = "/routes/match?host=A.example.:8000&path=/x/../%2561/../a//b%3Fq=1&headers.X-V=2.0";
    let answer = admin.get(target).await.expect(200).json();
    assert_eq!(answer["request"]["host"], "a.example");
    assert_eq!(answer["request"]["path"], "/a/b");
    let priority = json!({
        "attributes": 3, "exact_hosts": true, "headers": 1,
        "regex": false, "regex_priority": null, "prefix_length": 2,
    });
    for (field, value) in [
        ("path", json!("/a")),
        ("matched", json!("/a")),
        ("priority", priority),
        ("upstream_url", json!("http://up.example:81/base/b?q=1")),
        ("status", Value::Null),
    ] {
        assert_eq!(answer["match"][field], value, "{answer}");
    }
    assert_eq!(answer["match"]["route"]["name"], "taken");
    assert_eq!(answer["match"]["service"]["name"], "s");
    let others = [
        ("lower", json!(["priority"])),
        ("lowest", json!(["priority"])),
        ("posts", json!(["method"])),
        ("far", json!(["method", "host", "path"])),
    ];
    assert_eq!(why_not(&answer), others);
    let first = admin.get(&format!("{target}&size=1")).await.expect(200).json();
    assert_eq!((why_not(&first).len(), &first["others_total"]), (1, &json!(4)));

    // The same question as a body, and as one URL.
    let body = json!({ "host": "a.example", "path": "/a/b?q=1", "headers": { "x-v": ["1", "2"] } });
    assert_eq!(admin.post("/routes/match", &body).await.expect(200).json()["match"], answer["match"]);
    let form = [("url", "http://a.example/a/b?q=1#top"), ("headers.x-v", "2")];
    let form = Request::new("POST", "/routes/match").form(&form);
    assert_eq!(admin.client.send(&form).await.unwrap().expect(200).json()["match"], answer["match"]);

    admin.patch("/services/s", &json!({ "enabled": false })).await.expect(200);
    let answer = admin.get("/routes/match?url=http://b.example/a/b").await.expect(200).json();
    assert_eq!(answer["match"], Value::Null);
    assert!(why_not(&answer).contains(&("lower", json!(["service"]))), "{answer}");
}

async fn names_what_is_wrong_with_a_question(admin: &Admin) {
    for (query, field) in [
        ("", "host"),
        ("host=a/b", "host"),
        ("host=a:x", "host"),
        ("host=a&path=b", "path"),
        ("host=a&path=/x/..%252Fb", "path"),
        ("host=a&path=/a+b", "path"),
        ("host=a&method=G+T", "method"),
        ("host=a&method=CONNECT", "method"),
        ("host=a&scheme=ftp", "scheme"),
        ("host=a&sni=a", "sni"),
        ("host=a&port=0", "port"),
        ("host=a&size=1001", "size"),
        ("host=a&headers.Host=b", "headers"),
        ("host=a&headers.a+b=c", "headers"),
        ("host=a&verb=GET", "verb"),
        ("url=a/b", "url"),
        ("url=ftp://a/b", "scheme"),
        ("url=http:///b", "host"),
    ] {
        let refused = admin.get(&format!("/routes/match?{query}")).await.expect(400).json();
        assert_eq!(refused["name"], "schema violation", "{query}");
        assert!(!refused["fields"][field].is_null(), "{query}: {refused}");
    }
}

/// The routes that are not taken, in the order given, each with the reasons.
fn why_not(answer: &Value) -> Vec<(&str, Value)> {
    let others = answer["others"].as_array().unwrap().iter();
    others.map(|other| (other["route"]["name"].as_str().unwrap(), other["why_not"].clone())).collect()
}
