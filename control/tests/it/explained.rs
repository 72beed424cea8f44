//! A data plane handles each request as `/routes/match` has predicted.

use serde_json::{Value, json};
use testkit::certs;
use testkit::curl::curl;
use testkit::http::{Request, Response};
use testkit::origin::Answer;
use testkit::plane::{Database, Planes};
use testkit::ports;
use uuid::Uuid;

/// Each route has a service of its own. Among those of equal priority, the age decides, then the id.
fn routes() -> Vec<Value> {
    vec![
        json!({ "name": "all", "paths": ["/"], "strip_path": false }),
        json!({ "name": "deep", "id": Uuid::from_u128(1), "paths": ["/a/b", "/a"] }),
        json!({ "name": "deep-too", "id": Uuid::from_u128(2), "paths": ["/a/b"] }),
        json!({ "name": "regex", "paths": ["~/a/\\d+/x"], "regex_priority": 1 }),
        json!({ "name": "regex-lower", "paths": ["~/a/[0-9]+"], "path_handling": "v1" }),
        json!({ "name": "exact", "hosts": ["shop.example"], "paths": ["/a"] }),
        json!({ "name": "left", "hosts": ["*.shop.example"], "paths": ["/a"] }),
        json!({ "name": "right", "hosts": ["shop.*"], "paths": ["/a"] }),
        json!({ "name": "port", "hosts": ["shop.example:8443"], "paths": ["/a"], "methods": ["POST"] }),
        json!({ "name": "address", "hosts": ["::1"], "paths": ["/a"] }),
        json!({ "name": "method", "methods": ["PURGE", "POST"], "hosts": ["other.example"] }),
        json!({ "name": "header", "headers": { "x-v": ["2", "~*^3"] }, "paths": ["/a"] }),
        json!({ "name": "headers", "headers": { "x-v": ["2"], "x-w": ["y"] }, "hosts": ["shop.example"] }),
        json!({ "name": "tls", "protocols": ["https"], "paths": ["/tls"] }),
        json!({ "name": "moved", "protocols": ["https"], "paths": ["/moved"], "https_redirect_status_code": 301 }),
        json!({ "name": "named", "protocols": ["https"], "snis": ["*.shop.example"], "paths": ["/sni"] }),
    ]
}

const HOSTS: [&str; 7] = [
    "[0:0::1]",
    "shop.example",
    "SHOP.Example.",
    "www.shop.example",
    "shop.org",
    "shop.example:8443",
    "other.example",
];
const PATHS: [&str; 9] =
    ["/", "/a/b/c?q=%2e", "/a//b", "/%61/../a/b/", "/ab", "/a/12/x/y", "/a/12", "/tls/x", "/moved?x#y"];
const HEADERS: [&[(&str, &str)]; 3] = [&[], &[("X-V", "2"), ("x-w", "Y")], &[("x-v", "31")]];

/// The answer names the other readings of a path, and the data plane rejects the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_path_is_explained_and_refused() {
    let planes = configured(Planes::start(Database::Sqlite).await).await;
    let (admin, proxy) = (planes.control.admin(), planes.gateway.proxy());
    for (path, readings) in [
        ("/a%2fb", json!(null)),
        ("/%2fa/b", json!([{ "path": "/a/b", "route": "deep" }])),
        ("/moved;x/y", json!(null)),
        ("/x%2f..%3b/a", json!([{ "path": "/a", "route": "deep" }])),
    ] {
        let question = json!({ "host": "h", "path": path, "port": proxy.address().port() });
        let said = admin.post("/routes/match", &question).await.unwrap().expect(200).json();
        let told = said["ambiguous"]["readings"].as_array().map(|readings| {
            let name =
                |reading: &Value| json!({ "path": reading["path"], "route": reading["route"]["name"] });
            readings.iter().map(name).collect::<Vec<_>>()
        });
        assert_eq!(json!(told), readings, "{path}: {said}");
        let answer = proxy.send(&Request::new("GET", path).header("Host", "h")).await.unwrap();
        assert_eq!(answer.status == 400, told.is_some(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_does_what_was_said() {
    let planes = configured(Planes::start(Database::Sqlite).await).await;
    let (admin, proxy) = (planes.control.admin(), planes.gateway.proxy());
    let mut taken = std::collections::BTreeSet::new();
    for method in ["GET", "POST"] {
        for (host, path) in HOSTS.iter().flat_map(|host| PATHS.map(|path| (host, path))) {
            for headers in HEADERS {
                let question = json!({
                    "method": method, "host": host, "path": path, "port": proxy.address().port(),
                    "headers": headers.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
                });
                let said = admin.post("/routes/match", &question).await.unwrap().expect(200).json();
                let request = Request::new(method, path).header("Host", host);
                let request =
                    headers.iter().fold(request, |request, (name, value)| request.header(name, value));
                let response = proxy.send(&request).await.unwrap();
                assert_eq!(done(&response), promised(&said), "{question} {said}");
                taken.insert(said["match"]["route"]["name"].to_string());
            }
        }
    }
    assert_eq!(
        taken.len(),
        routes().len() - 2,
        "all but the younger and the one for a server name: {taken:?}"
    );
    stop(planes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_matches_server_names_as_was_said() {
    let mut planes = Planes::start(Database::Sqlite).await;
    let port = ports::reserve();
    planes.gateway.node.set("proxy.listen_tls", &port);
    planes.gateway.node.stop().await;
    planes.gateway.node.start().await;
    let planes = configured(planes).await;
    let admin = planes.control.admin();
    for (host, name, route) in [
        ("shop.example", "www.shop.example", "named"),
        ("www.shop.example", "shop.example", "all"),
        ("other.example", "x.y.shop.example", "named"),
    ] {
        let question = json!({ "scheme": "https", "host": host, "path": "/sni/b", "sni": name });
        let said = admin.post("/routes/match", &question).await.unwrap().expect(200).json();
        assert_eq!(said["match"]["route"]["name"], route, "{said}");
        let authority = format!("{name}:{}", port.address().port());
        let (resolve, url) = (format!("{authority}:127.0.0.1"), format!("https://{authority}/sni/b"));
        let host = format!("Host: {host}");
        let body = curl(&["--insecure", "--resolve", &resolve, "-H", &host, &url]).await.unwrap();
        assert_eq!(said["match"]["upstream_url"], Value::from(body), "{question}");
    }
    stop(planes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_refuses_what_was_refused() {
    let planes = configured(Planes::start(Database::Sqlite).await).await;
    let (admin, proxy) = (planes.control.admin(), planes.gateway.proxy());
    for (field, host, path) in [
        ("host", "shop.example/a", "/a"),
        ("host", "u@shop.example", "/a"),
        ("host", "%73hop.example", "/a"),
        ("host", "shop.example:http", "/a"),
        ("path", "shop.example", "/a/..%2Fb"),
        ("path", "shop.example", "/a/..;/b"),
        ("path", "shop.example", "/a%00"),
        ("path", "shop.example", "a"),
    ] {
        let question = json!({ "host": host, "path": path });
        let refused = admin.post("/routes/match", &question).await.unwrap().expect(400).json();
        assert!(!refused["fields"][field].is_null(), "{refused}");
        proxy.send(&Request::new("GET", path).header("Host", host)).await.unwrap().expect(400);
    }
    stop(planes).await;
}

/// Runs a test with the routes above live, and an origin that answers with the requested URL.
async fn configured(planes: Planes) -> Planes {
    let admin = planes.control.admin();
    let own = planes.origin.url();
    planes.origin.answer_with(move |received| Answer::status(200).body(format!("{own}{}", received.target)));
    for route in routes() {
        let name = route["name"].as_str().unwrap();
        let service = json!({ "name": name, "url": format!("{}/{name}", planes.origin.url()) });
        admin.post("/services", &service).await.unwrap().expect(201);
        admin.post(&format!("/services/{name}/routes"), &route).await.unwrap().expect(201);
    }
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::server(folder.path(), "any", &["shop.example"]);
    let text = |path| std::fs::read_to_string(path).unwrap();
    let body = json!({ "cert": text(&pair.cert), "key": text(&pair.key), "snis": ["*"] });
    let applied = admin.post("/certificates?wait=applied", &body).await.unwrap().expect(201);
    assert_eq!(applied.header("gibbon-applied"), Some("true"));
    planes
}

/// Returns the URL that the origin received, or the status with which the data plane answered by itself.
fn done(response: &Response) -> Value {
    match response.header("x-kong-upstream-latency") {
        Some(_) => Value::from(response.text()),
        None => Value::from(response.status),
    }
}

fn promised(said: &Value) -> Value {
    let said = &said["match"];
    match &said["upstream_url"] {
        Value::Null if said.is_null() => Value::from(404),
        Value::Null => said["status"].clone(),
        url => url.clone(),
    }
}

async fn stop(mut planes: Planes) {
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}
