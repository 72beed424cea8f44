//! response-transformer: what the client receives.

use serde_json::{Value, json};
use testkit::curl::curl;
use testkit::http::Request;
use testkit::origin::Answer;

use super::{Plugged, plugin};

fn transformer(config: Value) -> Value {
    plugin("response-transformer", config)
}

fn all() -> Value {
    json!({
        "remove": { "json": ["secret:7"], "headers": ["X-Powered-By: 7"] },
        "rename": { "headers": ["x-old:X-New"] },
        "replace": { "json": ["n:2"], "json_types": ["number"], "headers": ["server:mine"] },
        "add": { "json": ["ok:true", "bad:x"], "json_types": ["boolean", "number"], "headers": ["X-Add:1"] },
        "append": { "json": ["tag:b"], "headers": ["X-Add:2"] },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_upstream_are_changed() {
    let plugged = Plugged::start(&[transformer(all())]);
    let answer = |content_type: &str, body: &str| {
        let answer = Answer::status(200).header("Content-Type", content_type).header("X-Powered-By", "x");
        answer.header("X-Old", "o").header("Server", "origin").body(body)
    };
    for (content_type, body, received) in [
        ("application/json", r#"{"secret":1,"n":1.50,"tag":"a"}"#, r#"{"n":2,"tag":["a","b"],"ok":true}"#),
        ("application/vnd.a+json; v=1", "{}", r#"{"ok":true,"tag":["b"]}"#),
        ("application/json", "\"text\"", "\"text\""),
        ("application/json", "12345678901234567890.10", "12345678901234567890.10"),
        ("application/json", "broken", "broken"),
        ("text/plain", "{}", "{}"),
    ] {
        for chunked in [false, true] {
            let scripted = answer(content_type, body);
            plugged.origin.answer(if chunked { scripted.chunked() } else { scripted });
            let answer = plugged.get("/").await.expect(200);
            assert_eq!(answer.text(), received, "{content_type} {body}");
            assert_eq!((answer.header("x-powered-by"), answer.header("x-old")), (None, None));
            assert_eq!((answer.header("x-new"), answer.header("server")), (Some("o"), Some("mine")));
            assert_eq!(answer.header_values("x-add").collect::<Vec<_>>(), ["1", "2"]);
        }
    }
    let url = format!("http://{}/", plugged.gateway.address());
    plugged.origin.answer(answer("application/json", "{}"));
    assert_eq!(
        curl(&["--http2-prior-knowledge", "--fail", &url]).await.unwrap(),
        r#"{"ok":true,"tag":["b"]}"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_get_the_headers_alone() {
    let plugged = Plugged::start(&[transformer(all())]);
    let answer = Answer::status(204).header("Content-Type", "application/json");
    plugged.origin.answer(answer);
    let empty = plugged.get("/").await.expect(204);
    assert_eq!((empty.body.len(), empty.header_values("x-add").count()), (0, 2));
    plugged.origin.answer(Answer::status(200).header("Content-Type", "application/json").body("{}"));
    let head = plugged.send(&Request::new("HEAD", "/")).await.expect(200);
    assert_eq!((head.body.len(), head.header_values("x-add").count()), (0, 2));
    let gzip =
        Answer::status(200).header("Content-Type", "application/json").header("Content-Encoding", "gzip");
    plugged.origin.answer(gzip.body("packed"));
    assert_eq!(plugged.get("/").await.expect(200).text(), "packed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_gateway_are_changed() {
    let config = json!({ "add": { "json": ["more:1"], "headers": ["X-Add:1"] } });
    let plugged = Plugged::start(&[transformer(config), plugin("key-auth", json!({}))]);
    let refused = plugged.get("/").await.expect(401);
    assert_eq!(refused.header("x-add"), Some("1"));
    assert_eq!(refused.json()["more"], "1");
    assert_eq!(refused.json()["message"], "No API key found in request");
    assert!(plugged.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_have_a_greatest_length() {
    let plugged = Plugged::start(&[transformer(json!({ "remove": { "json": ["a"] } }))]);
    let json = |length: usize| format!("{{\"b\":\"{}\"}}", "x".repeat(length));
    for (length, status) in [(1 << 19, 200), (1 << 20, 502)] {
        let answer = Answer::status(200).header("Content-Type", "application/json").body(json(length));
        plugged.origin.answer(answer);
        plugged.get("/").await.expect(status);
    }
    let config = json!({ "remove": { "json": ["a"] }, "max_body_bytes": 2 << 20 });
    plugged.put_plugins(&[transformer(config)]);
    plugged.get("/").await.expect(200);
    let members: Vec<String> = (0..30_000).map(|n| format!("\"{n}\":0")).collect();
    let body = format!("{{{}}}", members.join(","));
    plugged.origin.answer(Answer::status(200).header("Content-Type", "application/json").body(body));
    plugged.get("/").await.expect(502);
}
