use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::Request;
use testkit::origin::{Answer, Origin};
use tokio::time::Instant;

use super::*;
use crate::plugins::Plugged;

/// A gateway that asks a service.
fn start(service: &Origin, config: &Value) -> Plugged {
    let mut all = json!({ "url": format!("{}/check?a=b", service.url()) });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    Plugged::start(&[json!({ "name": "forward-auth", "config": all })])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_is_asked_about_the_request() {
    let service = Origin::start();
    let plugged = start(&service, &json!({}));
    let fields = [
        ("authorization", "Bearer a"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-user", "root"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("range", "bytes=0-1"),
    ];
    let request = with(Request::new("PUT", "/x%20y?z=1"), &fields).body("a body");
    plugged.send(&request).await.expect(200);
    let asked = service.last();
    assert_eq!((asked.method.as_str(), asked.target.as_str(), asked.body.len()), ("GET", "/check?a=b", 0));
    let (host, gateway) = (service.address().to_string(), plugged.gateway.address().to_string());
    for (name, value) in [
        ("host", Some(&*host)),
        ("authorization", Some("Bearer a")),
        ("cookie", Some("a=b")),
        ("x-forwarded-method", Some("PUT")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some(&*gateway)),
        ("x-forwarded-uri", Some("/x%20y?z=1")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-user", None),
        ("x-hop", None),
        ("range", None),
        ("content-length", None),
    ] {
        assert_eq!(asked.header_values(name).collect::<Vec<_>>(), Vec::from_iter(value), "{name}");
    }
    let received = plugged.origin.last();
    assert_eq!((received.method.as_str(), received.body.as_slice()), ("PUT", b"a body".as_slice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listed_headers_are_passed_both_ways() {
    let service = Origin::start();
    service.answer(
        Answer::status(204)
            .header("X-User", "u1")
            .header("X-Other", "o")
            .header("X-Role", "a")
            .header("X-Role", "b"),
    );
    let lists = json!({
        "request_headers": ["authorization"],
        "response_headers": ["x-user", "x-role", "x-none"],
        "method": "HEAD",
    });
    let plugged = start(&service, &lists);
    let fields = [
        ("authorization", "a"),
        ("x-other", "b"),
        ("X-User", "root"),
        ("x-none", "root"),
        ("X_User", "root"),
        ("x_none", "root"),
    ];
    plugged.send(&get("/", &fields)).await.expect(200);
    let asked = service.last();
    assert_eq!((asked.method.as_str(), asked.header("authorization")), ("HEAD", Some("a")));
    assert_eq!(asked.header("x-other"), None);
    let received = plugged.origin.last();
    assert_eq!(received.header_values("x-user").collect::<Vec<_>>(), ["u1"]);
    assert_eq!(received.header_values("x-role").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((received.header("x-none"), received.header("x-other")), (None, Some("b")));
    assert_eq!((received.header("x_user"), received.header("x_none")), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_answers_of_the_service_are_those_to_the_client() {
    let service = Origin::start();
    let plugged = start(&service, &json!({}));
    let answer = |status: u16| {
        Answer::status(status)
            .header("Content-Type", "text/plain")
            .header("WWW-Authenticate", "Own")
            .header("Location", "/login")
            .header("Set-Cookie", "a=1")
            .header("Set-Cookie", "b=2")
            .header("X-Internal", "secret")
            .body("no")
    };
    for status in [401, 403, 302, 429] {
        service.answer(answer(status));
        let response = plugged.get("/").await.expect(status);
        assert_eq!(response.text(), "no");
        for (name, values) in [
            ("content-type", &["text/plain"][..]),
            ("www-authenticate", &["Own"]),
            ("location", &["/login"]),
            ("set-cookie", &["a=1", "b=2"]),
            ("x-internal", &[]),
        ] {
            assert_eq!(response.header_values(name).collect::<Vec<_>>(), values, "{name}");
        }
    }
    assert_eq!(plugged.origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_service_closes_or_opens_the_way() {
    let mut service = Origin::start();
    let config =
        |fail_open: bool| json!({ "timeout": 300, "fail_open": fail_open, "response_headers": ["x-user"] });
    let (closed, open) = (start(&service, &config(false)), start(&service, &config(true)));
    for answer in [
        Answer::status(500),
        Answer::hang(),
        Answer::close(),
        Answer::status(200).size(65 * 1024),
        Answer::raw("no HTTP\r\n\r\n"),
    ] {
        service.answer(answer);
        let before = Instant::now();
        let response = closed.get("/").await.expect(503);
        assert_eq!(response.json()["message"], "The authorization service is unavailable");
        open.send(&get("/", &[("x-user", "root")])).await.expect(200);
        assert_eq!(open.origin.last().header("x-user"), None);
        assert!(before.elapsed() < Duration::from_secs(5));
    }
    service.stop();
    closed.get("/").await.expect(503);
    open.get("/").await.expect(200);
    assert_eq!(closed.origin.count(), 0);
    service.answer(Answer::status(200));
    service.restart();
    closed.get("/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_addresses_are_not_asked() {
    for url in ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/"] {
        let config = json!({ "url": url, "timeout": 2000 });
        let plugged = Plugged::start(&[json!({ "name": "forward-auth", "config": config })]);
        let before = Instant::now();
        plugged.get("/").await.expect(503);
        assert!(before.elapsed() < Duration::from_secs(1), "{url}");
    }
}
