//! Which route, and why: `/routes/match`.

use serde_json::{Value, json};

use super::{Admin, on_both_databases};

on_both_databases!(explains_what_is_taken_and_what_is_not, refuses_what_is_no_request);

async fn explains_what_is_taken_and_what_is_not(admin: &Admin) {
    let service = json!({ "name": "s", "url": "http://up.example:81/base" });
    admin.post("/services", &service).await.expect(201);
    for route in [
        json!({ "name": "taken", "paths": ["/a"], "hosts": ["a.example"], "headers": { "x-v": ["~*^2"] } }),
        json!({ "name": "lower", "paths": ["/a/b"] }),
        json!({ "name": "posts", "paths": ["/a"], "methods": ["POST"] }),
        json!({ "name": "far", "paths": ["/z"], "hosts": ["z.example"], "methods": ["POST"] }),
    ] {
        admin.post("/services/s/routes", &route).await.expect(201);
    }
    let target = "/routes/match?url=http://A.example.:8000/x/../%2561/../a//b%3Fq=1&header.X-V=2.0";
    let answer = admin.get(target).await.expect(200).json();
    assert_eq!(answer["request"]["host"], "a.example");
    assert_eq!(answer["request"]["path"], "/a/b");
    assert_eq!(answer["match"]["route"]["name"], "taken", "{answer}");
    assert_eq!(answer["match"]["service"]["name"], "s");
    assert_eq!(answer["match"]["path"], "/a");
    assert_eq!(answer["match"]["upstream_url"], "http://up.example:81/base/b?q=1");
    assert_eq!(answer["match"]["outcome"], "proxied");
    assert_eq!(reasons(&answer, "lower"), json!(["priority"]));
    assert_eq!(reasons(&answer, "posts"), json!(["method"]));
    assert_eq!(reasons(&answer, "far"), json!(["method", "host", "path"]));

    // The same by a body.
    let body = json!({ "url": "http://a.example/a/b", "method": "POST", "headers": { "x-v": ["1", "2"] } });
    let answer = admin.post("/routes/match", &body).await.expect(200).json();
    assert_eq!(answer["match"]["route"]["name"], "taken", "{answer}");

    admin.patch("/services/s", &json!({ "enabled": false })).await.expect(200);
    let answer = admin.get("/routes/match?url=http://b.example/a/b").await.expect(200).json();
    assert_eq!(answer["match"], Value::Null);
    assert_eq!(reasons(&answer, "lower"), json!(["service"]));
}

async fn refuses_what_is_no_request(admin: &Admin) {
    for (query, told) in [
        ("", "url: required"),
        ("url=/path", "/path"),
        ("url=ftp://a/", "ftp://a/"),
        ("url=http://a:x/", "http://a:x/"),
        ("url=http://a/&verb=GET", "verb=GET"),
    ] {
        let refused = admin.get(&format!("/routes/match?{query}")).await.expect(400).json();
        assert_eq!(refused["name"], "invalid options");
        assert!(refused["message"].as_str().unwrap().contains(told), "{refused}");
    }
}

fn reasons(answer: &Value, name: &str) -> Value {
    let mut others = answer["others"].as_array().unwrap().iter();
    others
        .find(|other| other["route"]["name"] == name)
        .map(|other| other["why_not"].clone())
        .unwrap_or_default()
}
