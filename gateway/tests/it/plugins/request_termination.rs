//! request-termination: answers in place of the upstream.

use model::Route;
use serde_json::{Value, json};
use testkit::curl::curl;
use testkit::http::Request;

use super::{Plugged, plugin};
use crate::support::{route, service};

const JSON: &str = "application/json; charset=utf-8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_have_the_configured_form() {
    let plugged = Plugged::start(&[]);
    let message = |text: &str| (Some(JSON), json!({ "message": text }).to_string());
    for (config, status, (content_type, body)) in [
        (json!({}), 503, message("Service unavailable")),
        (json!({ "status_code": 401 }), 401, message("Unauthorized")),
        (json!({ "status_code": 404 }), 404, message("Not found")),
        (json!({ "status_code": 405 }), 405, message("Method not allowed")),
        (json!({ "status_code": 500 }), 500, message("An unexpected error occurred")),
        (json!({ "status_code": 502 }), 502, message("Bad Gateway")),
        (json!({ "status_code": 403 }), 403, message("Forbidden")),
        (json!({ "status_code": 429 }), 429, message("Too many requests")),
        (json!({ "status_code": 200 }), 200, (None, String::new())),
        (json!({ "status_code": 302 }), 302, (None, String::new())),
        (json!({ "status_code": 204 }), 204, (None, String::new())),
        (json!({ "status_code": 304 }), 304, (None, String::new())),
        (json!({ "status_code": 599 }), 599, (None, String::new())),
        (json!({ "status_code": 403, "message": "no \"way\"" }), 403, message("no \"way\"")),
        (json!({ "status_code": 200, "message": "ok" }), 200, message("ok")),
        (json!({ "body": "plain" }), 503, (None, "plain".into())),
        (
            json!({ "status_code": 418, "body": "<a/>", "content_type": "text/xml" }),
            418,
            (Some("text/xml"), "<a/>".into()),
        ),
    ] {
        plugged.put_plugins(&[plugin("request-termination", config.clone())]);
        // What the client accepts does not count.
        let answer =
            plugged.send(&Request::new("GET", "/").header("Accept", "text/html")).await.expect(status);
        assert_eq!((answer.header("content-type"), answer.text()), (content_type, body), "{config}");
        assert!(plugged.received().is_empty());
        let head = plugged.send(&Request::new("HEAD", "/")).await.expect(status);
        assert!(head.body.is_empty());
    }
    // Kong's server answers these as its own errors: in the form that the client accepts, or in that of its body.
    plugged.put_plugins(&[plugin("request-termination", json!({ "status_code": 400 }))]);
    let get = || Request::new("GET", "/");
    for (request, content_type) in [
        (get(), "text/plain; charset=utf-8"),
        (get().header("Accept", "*/*"), JSON),
        (get().header("Accept", "text/html"), "text/html; charset=utf-8"),
        (Request::new("POST", "/").json(&json!({})), JSON),
    ] {
        let answer = plugged.send(&request).await.expect(400);
        assert_eq!(answer.header("content-type"), Some(content_type), "{request:?}");
        assert!(answer.text().contains("Bad request"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_gets_the_text_in_a_field() {
    let plugged = Plugged::start(&[]);
    let url = format!("http://{}/", plugged.gateway.address());
    for (config, status, code, text) in [
        (json!({}), 503, 14, "Service unavailable"),
        (json!({ "status_code": 403, "message": "no" }), 403, 7, "no"),
        (json!({ "status_code": 401, "body": "out" }), 401, 16, "out"),
        (json!({ "status_code": 599 }), 599, 13, ""),
        (json!({ "status_code": 502, "message": "no" }), 502, 13, "no"),
        (json!({ "status_code": 413, "message": "no" }), 413, 3, "no"),
        (json!({ "status_code": 200, "message": "yes" }), 200, 0, "yes"),
    ] {
        plugged.put_plugins(&[plugin("request-termination", config)]);
        let grpc =
            ["--http2-prior-knowledge", "-H", "Content-Type: application/grpc", "--data", "", "-i", &url];
        let said = curl(&grpc).await.unwrap();
        assert!(said.starts_with(&format!("HTTP/2 {status}")), "{said}");
        assert!(said.contains(&format!("grpc-status: {code}\r\ngrpc-message: {text}\r\n")), "{said}");
        assert!(said.ends_with("\r\n\r\n"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trigger_chooses_requests() {
    let plugged = Plugged::start(&[plugin("request-termination", json!({ "trigger": "X-Stop" }))]);
    for (request, status) in [
        (Request::new("GET", "/"), 200),
        (Request::new("GET", "/").header("x-stop", ""), 503),
        (Request::new("GET", "/?a=1&X-Stop"), 503),
        (Request::new("GET", "/?x-stop=1"), 200),
        (Request::new("GET", "/?b=X-Stop"), 200),
        (Request::new("GET", "/").header("x_stop", ""), 200),
    ] {
        plugged.send(&request).await.expect(status);
    }
    plugged.put_plugins(&[plugin("request-termination", json!({ "trigger": "x_trig" }))]);
    for (request, status) in [
        (Request::new("GET", "/").header("x_trig", "1"), 503),
        (Request::new("GET", "/").header("X-Trig", "1"), 503),
        (Request::new("GET", "/?x_trig=1"), 503),
        // An argument has its own name alone.
        (Request::new("GET", "/?x-trig=1"), 200),
    ] {
        plugged.send(&request).await.expect(status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn echo_describes_the_request() {
    let config = json!({ "echo": true, "status_code": 200, "message": "hello" });
    let plugged = Plugged::start(&[plugin("request-termination", config)]);
    let captures = Route { paths: Some(vec!["~/a/(?<own>[^/]+)".into(), "/".into()]), ..route(1, "/") };
    plugged.gateway.serve(service(1, &plugged.origin), captures);
    let request = Request::new("POST", "/a/b?q=1&q=2&r").header("X-One", "1").header("x-one", "2");
    let answer = plugged.send(&request.json(&json!({ "k": [1] }))).await.expect(200);
    assert_eq!(answer.header("content-type"), Some(JSON));
    let told = answer.json();
    assert_eq!(told["message"], "hello");
    assert!(told["kong"]["worker_pid"].is_number() && told["kong"]["hostname"].is_string());
    assert_eq!(told["kong"]["node_id"].as_str().unwrap().len(), 36);
    let request = &told["request"];
    for (name, value) in [
        ("scheme", json!("http")),
        ("host", json!("127.0.0.1")),
        ("port", json!(plugged.gateway.address().port())),
        ("method", json!("POST")),
        ("path", json!("/a/b")),
        ("query", json!({ "q": ["1", "2"], "r": true })),
        ("body", json!({ "k": [1] })),
        ("raw_body", json!("{\"k\":[1]}")),
        ("uri_captures", json!({ "unnamed": ["b"], "named": { "own": "b" } })),
    ] {
        assert_eq!(request[name], value, "{name}");
    }
    assert_eq!(request["headers"]["x-one"], json!(["1", "2"]));
    assert_eq!(told["matched_route"]["paths"], json!(["~/a/(?<own>[^/]+)", "/"]));
    assert_eq!(told["matched_route"]["service"]["id"], told["matched_service"]["id"]);
    assert_eq!(told["matched_service"]["port"], plugged.origin.address().port());
    // HTTP/2 has the host apart from the fields.
    let url = format!("http://{}/", plugged.gateway.address());
    let told: Value = serde_json::from_str(&curl(&["--http2-prior-knowledge", &url]).await.unwrap()).unwrap();
    assert_eq!(told["request"]["headers"]["host"], plugged.gateway.address().to_string());
    let large = Request::new("POST", "/").body(vec![b'x'; (1 << 20) + 1]);
    let refused = plugged.send(&large).await.expect(413);
    assert_eq!(refused.json()["message"], Value::from("Request size limit exceeded"));
}
