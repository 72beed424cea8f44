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
