//! The gateway's own log of requests.

use model::Route;
use serde_json::{Value, json};
use testkit::http::Request;
use testkit::wait;

use super::{Plugged, SOON};
use crate::support::{route, service};

async fn lines(path: &std::path::Path, count: usize) -> Vec<String> {
    let read = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    wait::until(SOON, "the lines are written", || read().len() >= count).await;
    read()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access");
    let plugged = Plugged::with(&[("access_log.path", path.to_str().unwrap())], &[]);
    let request = Request::new("GET", "/a?apikey=secret&b=c").header("User-Agent", "x\u{1f600}\"\\");
    plugged.send(&request).await.expect(200);
    plugged.gateway.apply(vec![]);
    let line: Value = serde_json::from_str(&lines(&path, 1).await[0]).unwrap();
    assert_eq!((&line["status"], &line["source"]), (&200.into(), &"upstream".into()));
    assert_eq!(line["uri"], "/a?apikey=REDACTED&b=c");
    assert_eq!((&line["method"], &line["client"]), (&"GET".into(), &"127.0.0.1".into()));
    assert_eq!(line["target"], plugged.origin.address().to_string());
    assert!(line["duration"].as_f64().unwrap() >= line["upstream"].as_f64().unwrap());
    for known in ["route", "service", "id", "time", "revision", "user_agent"] {
        assert!(line.get(known).is_some(), "{line}");
    }
}

/// Every plugin of the route sees such an answer, as it does any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_preflight_has_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access");
    let plugged = Plugged::with(
        &[("access_log.path", path.to_str().unwrap())],
        &[
            json!({ "name": "cors" }),
            json!({ "name": "response-transformer", "config": { "add": { "headers": ["X-Add:1"] } } }),
        ],
    );
    let only_put = Route { methods: Some(vec!["PUT".into()]), ..route(1, "/") };
    plugged.gateway.serve(service(1, &plugged.origin), only_put);
    let preflight = Request::new("OPTIONS", "/a").header("Origin", "https://a.test");
    let answer = plugged.send(&preflight.header("Access-Control-Request-Method", "PUT")).await.expect(200);
    assert_eq!(answer.header("x-add"), Some("1"));
    let line: Value = serde_json::from_str(&lines(&path, 1).await[0]).unwrap();
    assert_eq!(
        (&line["status"], &line["method"], &line["uri"]),
        (&200.into(), &"OPTIONS".into(), &"/a".into())
    );
    assert!(line.get("route").is_some(), "{line}");
}

/// The query may hold a credential, and so may the fields.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_cannot_be_read_has_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in [("json", "j"), ("combined", "c")] {
        let path = folder.path().join(name);
        let keys = [("access_log.path", path.to_str().unwrap()), ("access_log.format", format)];
        let plugged = Plugged::with(&keys, &[]);
        let proxy = &plugged.gateway.client;
        let answer =
            proxy.raw(b"GET /a?apikey=secret HTTP/1.1\r\nHost: h\r\nA : secret\r\n\r\n").await.unwrap();
        let target = format!("/{}", "b".repeat(70_000));
        assert_eq!((answer.status, proxy.get(&target).await.unwrap().status), (400, 414));
        let url = format!("http://{}/c?secret={}", proxy.address(), "c".repeat(20_000));
        let ask = [
            "--silent",
            "--http2-prior-knowledge",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            &url,
        ];
        assert_eq!(testkit::curl::curl(&ask).await.unwrap(), "414");
        let lines = lines(&path, 3).await;
        assert!(!lines.concat().contains("secret"), "{lines:?}");
        if format == "combined" {
            assert!(
                lines[0].starts_with("127.0.0.1 - - [") && lines[0].contains("] \"GET /a\" 400 "),
                "{lines:?}"
            );
            continue;
        }
        let read = |at: usize| serde_json::from_str::<Value>(&lines[at]).unwrap();
        let (first, second, third) = (read(0), read(1), read(2));
        assert_eq!((&first["status"], &first["request"]), (&400.into(), &"GET /a".into()));
        assert_eq!((&first["client"], &first["source"]), (&"127.0.0.1".into(), &"gateway".into()));
        assert_eq!(first["id"], answer.header("x-kong-request-id").unwrap());
        assert_eq!(first["response_bytes"], answer.body.len());
        assert_eq!(second["status"], 414);
        assert!(second["request"].as_str().unwrap().len() <= 1024, "{second}");
        assert_eq!(third["status"], 414);
        assert_eq!(third["request"], "GET /c");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn combined_format_and_sample() {
    let folder = tempfile::tempdir().unwrap();
    let (path, none) = (folder.path().join("access"), folder.path().join("none"));
    let keys = [("access_log.path", path.to_str().unwrap()), ("access_log.format", "combined")];
    let plugged = Plugged::with(&keys, &[]);
    plugged.send(&Request::new("GET", "/a").header("Referer", "r\"x")).await.expect(200);
    let line = lines(&path, 1).await.remove(0);
    assert!(line.starts_with("127.0.0.1 - - [") && line.contains("] \"GET /a HTTP/1.1\" 200 "), "{line}");
    assert!(line.ends_with("\"r\\\"x\" \"-\""), "{line}");

    let keys = [("access_log.path", none.to_str().unwrap()), ("access_log.sample", "0")];
    let plugged = Plugged::with(&keys, &[]);
    plugged.get("/").await.expect(200);
    assert!(!none.exists());
}
