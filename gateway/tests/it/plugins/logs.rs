//! Plugins that log: their entries, where these go, and what a collector that is away costs.

mod access;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::curl;
use testkit::http::{Connection, Request};
use testkit::origin::{Answer, Origin};
use testkit::wait;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use model::Service;

use super::{Plugged, consumer_id, entity};
use crate::support::{at, route};
use crate::tls::{Pairs, name, put};

pub(super) const SOON: Duration = Duration::from_secs(20);

/// The entries of a file, once there are so many.
async fn entries(path: &std::path::Path, count: usize) -> Vec<Value> {
    let read = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>()
    };
    wait::until(SOON, "the entries are written", || read().len() >= count).await;
    read()
}

fn file_log(path: &std::path::Path, more: Value) -> Value {
    let mut config = json!({ "path": path.to_str().unwrap() });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "name": "file-log", "config": config })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_has_the_form_of_kong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let plugged = Plugged::start(&[file_log(&path, json!({}))]);
    plugged.origin.answer(Answer::status(201).header("X-A", "1").header("x-a", "2").body("hello"));
    let request = Request::new("POST", "/a/b?q=1&q=2&flag&e=%20x&apikey=secret")
        .header("Authorization", "Basic c2VjcmV0")
        .header("X-Many", "1")
        .header("x-many", "2")
        .body("body");
    plugged.send(&request).await.expect(201);
    let entry = entries(&path, 1).await.remove(0);

    let text = entry.to_string();
    assert!(!text.contains("secret") && !text.contains("c2VjcmV0"), "{text}");
    let request = &entry["request"];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["uri"], "/a/b?q=1&q=2&flag&e=%20x&apikey=REDACTED");
    let port = plugged.gateway.address().port();
    assert_eq!(request["url"], format!("http://127.0.0.1:{port}/a/b?q=1&q=2&flag&e=%20x&apikey=REDACTED"));
    let arguments = json!({ "q": ["1", "2"], "flag": true, "e": " x", "apikey": "REDACTED" });
    assert_eq!(request["querystring"], arguments);
    assert_eq!(request["headers"]["x-many"], json!(["1", "2"]));
    assert_eq!(request["headers"]["authorization"], "REDACTED");
    assert_eq!(request["id"].as_str().unwrap().len(), 32);
    assert!(request["size"].as_u64().unwrap() > 100 && request.get("tls").is_none());
    assert_eq!(entry["upstream_uri"], "/a/b?q=1&q=2&flag&e=%20x&apikey=REDACTED");
    assert_eq!(entry["upstream_status"], "201");
    assert_eq!(entry["response"]["status"], 201);
    assert_eq!(entry["response"]["headers"]["x-a"], json!(["1", "2"]));
    assert!(entry["response"]["headers"]["x-kong-proxy-latency"].is_string());
    assert!(entry["response"]["size"].as_u64().unwrap() > 5);
    for latency in ["kong", "proxy", "request", "receive"] {
        assert!(entry["latencies"][latency].as_u64().is_some(), "{entry}");
    }
    let one = &entry["tries"][0];
    assert_eq!((&one["ip"], &one["port"]), (&json!("127.0.0.1"), &json!(plugged.origin.address().port())));
    assert!(
        one["balancer_start_ns"].as_u64().unwrap() > 1_700_000_000_000_000_000 && one.get("state").is_none()
    );
    assert_eq!((&entry["client_ip"], &entry["source"]), (&json!("127.0.0.1"), &json!("upstream")));
    assert!(entry["started_at"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!((&entry["route"]["paths"], &entry["workspace_name"]), (&json!(["/"]), &json!("default")));
    assert_eq!(entry["route"]["service"]["id"], entry["service"]["id"]);
    assert_eq!(entry["service"]["port"], plugged.origin.address().port());
    assert!(entry.get("consumer").is_none() && entry.get("authenticated_entity").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_plugins_look_for_are_in_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let (path, access) = (folder.path().join("log"), folder.path().join("access"));
    let plugins = [
        file_log(&path, json!({})),
        json!({ "name": "key-auth", "config": { "key_names": ["x_own"] } }),
        json!({ "name": "jwt", "config": { "cookie_names": ["session"], "header_names": ["x_token"] } }),
    ];
    let plugged = Plugged::with(&[("access_log.path", access.to_str().unwrap())], &plugins);
    let request = Request::new("GET", "/a?jwt=s3cr3t&x_own=s3cr3t&b=c")
        .header("Cookie", "a=b; session=s3cr3t")
        .header("X-Token", "Bearer s3cr3t")
        .header("X-Own", "s3cr3t");
    plugged.send(&request).await.expect(401);
    let entry = entries(&path, 1).await.remove(0);
    assert_eq!(entry["request"]["uri"], "/a?jwt=REDACTED&x_own=REDACTED&b=c");
    assert_eq!(entry["request"]["headers"]["cookie"], "a=b; session=REDACTED");
    let line = entries(&access, 1).await.remove(0);
    assert_eq!(line["uri"], "/a?jwt=REDACTED&x_own=REDACTED&b=c");
    for text in [entry.to_string(), line.to_string()] {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_fail_have_entries_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut plugged = Plugged::start(&[file_log(&path, json!({}))]);
    plugged.origin.stop();
    plugged.get("/").await.expect(502);
    plugged.put([]);
    let entry = entries(&path, 1).await.remove(0);
    assert_eq!((&entry["source"], &entry["response"]["status"]), (&json!("kong"), &json!(502)));
    let tries = entry["tries"].as_array().unwrap();
    assert_eq!(tries.len(), 6, "{entry}");
    assert!(tries.iter().all(|one| one["state"] == "failed" && one["code"] == 502), "{entry}");
    assert_eq!(entry["upstream_status"], "502, 502, 502, 502, 502, 502");
    // The upstream was asked, and failed after this time.
    assert!(entry["latencies"]["proxy"].as_u64().is_some(), "{entry}");
    let headers = &entry["response"]["headers"];
    assert!(headers["via"].is_string() && headers["x-kong-upstream-latency"].is_string(), "{entry}");
    assert!(headers.get("x-kong-response-latency").is_none(), "{entry}");

    // No route: the plugin for all requests sees it.
    plugged.gateway.apply(vec![gateway::table::Change::remove(wire::Key {
        kind: model::kind::ROUTE,
        id: crate::support::route(1, "/").id,
    })]);
    plugged.get("/nowhere").await.expect(404);
    let entry = entries(&path, 2).await.remove(1);
    assert_eq!((&entry["request"]["uri"], &entry["response"]["status"]), (&json!("/nowhere"), &json!(404)));
    for absent in ["route", "service", "tries"] {
        assert!(entry.get(absent).is_none(), "{entry}");
    }
    assert_eq!((&entry["upstream_uri"], &entry["upstream_status"]), (&json!(""), &json!("")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_has_the_attempts_that_asked_somebody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let plugged = Plugged::start(&[file_log(&path, json!({}))]);
    plugged.origin.answer(Answer::status(503));
    let service = at(1, plugged.origin.address());
    for (service, tries, statuses) in [
        (Service { host: "nobody.invalid".into(), ..service.clone() }, json!([]), ""),
        // The last one that may be made.
        (Service { retries: 0, ..service.clone() }, json!([["failed", 503]]), "503"),
        (service, json!([[null, null]]), "503"),
    ] {
        plugged.gateway.serve(service, route(1, "/"));
        let count = std::fs::read_to_string(&path).unwrap_or_default().lines().count();
        plugged.get("/").await.expect(503);
        let entry = entries(&path, count + 1).await.remove(count);
        let found: Value =
            entry["tries"].as_array().unwrap().iter().map(|one| json!([one["state"], one["code"]])).collect();
        assert_eq!((found, &entry["upstream_status"]), (tries, &json!(statuses)), "{entry}");
    }
}

/// Whatever plugins add and remove, the sizes are those of the bytes that came and went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_are_those_of_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let added = format!("x-added:{}", "a".repeat(500));
    let plugged = Plugged::start(&[
        file_log(&path, json!({})),
        json!({ "name": "request-transformer", "config": { "add": { "headers": [added] }, "remove": { "headers": ["x-big"] } } }),
    ]);
    plugged.origin.answer(Answer::status(200).body("hello"));
    let big = "b".repeat(1000);
    let request = format!("POST /a HTTP/1.1\r\nHost: h\r\nX-Big: {big}\r\nContent-Length: 4\r\n\r\nbody");
    let mut client = Connection::open(plugged.gateway.address()).await.unwrap();
    client.write(request.as_bytes()).await.unwrap();
    client.read_response(false).await.unwrap().expect(200);
    let close = "GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    client.write(close.as_bytes()).await.unwrap();
    let answer = client.read_to_end().await.unwrap();
    let all = entries(&path, 2).await;
    assert_eq!(all[0]["request"]["size"], request.len());
    assert_eq!(
        (&all[1]["request"]["size"], &all[1]["response"]["size"]),
        (&json!(close.len()), &json!(answer.len()))
    );
    for (entry, connection) in all.iter().zip(["keep-alive", "close"]) {
        let headers = &entry["response"]["headers"];
        assert_eq!((&headers["content-length"], &headers["connection"]), (&json!("5"), &json!(connection)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnel_has_an_entry_with_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let plugged = Plugged::start(&[file_log(&path, json!({}))]);
    plugged.origin.answer(Answer::upgrade("websocket"));
    let mut client = Connection::open(plugged.gateway.address()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write(request.as_bytes()).await.unwrap();
    client.read_response(true).await.unwrap().expect(101);
    let sent = vec![b'x'; 50_000];
    client.write(&sent).await.unwrap();
    assert_eq!(client.read_exact(sent.len()).await.unwrap(), sent);
    drop(client);
    let entry = entries(&path, 1).await.remove(0);
    assert_eq!(entry["request"]["size"], request.len() + sent.len());
    assert!(entry["response"]["size"].as_u64().unwrap() > sent.len() as u64 + 100, "{entry}");
    let headers = &entry["response"]["headers"];
    assert_eq!((&headers["connection"], &headers["upgrade"]), (&json!("Upgrade"), &json!("websocket")));
    assert!(headers["via"].is_string(), "{entry}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_leaves_is_no_failure_of_the_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let plugged = Plugged::start(&[file_log(&path, json!({}))]);
    plugged.origin.answer(Answer::status(200).delay(SOON * 3));
    let mut client = Connection::open(plugged.gateway.address()).await.unwrap();
    client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    wait::until(SOON, "the origin is asked", || plugged.origin.count() == 1).await;
    drop(client);
    let entry = entries(&path, 1).await.remove(0);
    assert_eq!((&entry["response"]["status"], &entry["upstream_status"]), (&json!(499), &json!("")));
    assert!(entry["tries"][0]["ip"].is_string() && entry["tries"][0].get("state").is_none(), "{entry}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_of_a_refused_request_has_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let plugged = Plugged::start(&[file_log(&path, json!({}))]);
    plugged.send(&Request::new("GET", "/r/%00").header("Host", "shop.example:80")).await.expect(400);
    let entry = entries(&path, 1).await.remove(0);
    let port = plugged.gateway.address().port();
    assert_eq!(entry["request"]["url"], format!("http://shop.example:{port}/r/%00"));
}

/// A plugin answers, or has changed the request: the entry has the request as it is then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_has_what_plugins_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let fields = json!({ "custom_fields_by_lua": { "added": "return kong.request.get_query_arg('added')" } });
    let plugged = Plugged::start(&[
        file_log(&path, fields),
        json!({ "name": "key-auth", "config": { "key_names": ["own"], "hide_credentials": true } }),
        json!({ "name": "request-transformer", "config": { "add": { "querystring": ["added:x"] } } }),
    ]);
    plugged.put_consumer(1);
    plugged.put_keys(&[(1, "k")]);
    plugged.get("/a?q=1").await.expect(401);
    plugged.get("/a?q=1&own=k").await.expect(200);
    let all = entries(&path, 2).await;
    let (refused, passed) = (&all[0], &all[1]);
    assert_eq!((&refused["tries"], &refused["upstream_uri"]), (&json!([]), &json!("/a?q=1")));
    assert_eq!((&refused["source"], &refused["upstream_status"]), (&json!("kong"), &json!("")));
    assert_eq!(passed["request"]["querystring"], json!({ "q": "1", "added": "x" }));
    assert_eq!((&passed["request"]["uri"], &passed["added"]), (&json!("/a?q=1&own=REDACTED"), &json!("x")));
    assert_eq!(passed["upstream_uri"], "/a?q=1&added=x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entities_are_in_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let plugged = Plugged::start(&[file_log(&path, json!({}))]);
    let (own, headers) = (crate::support::service(1, &plugged.origin), [("x-own", ["a", "~*^b"])]);
    let headers = headers.map(|(name, values)| (name.to_owned(), values.map(str::to_owned).to_vec()));
    let (protocol, tls_verify) = (model::Protocol::Https, Some(false));
    plugged.gateway.serve(
        model::Service { path: Some("/".into()), protocol, tls_verify, tls_verify_depth: Some(1), ..own },
        model::Route {
            headers: Some(headers.into()),
            snis: Some(vec!["*.a.test".into()]),
            request_buffering: false,
            ..crate::support::route(1, "/")
        },
    );
    // The origin has no TLS.
    plugged.send(&Request::new("GET", "/").header("x-own", "BC")).await.expect(502);
    let entry = entries(&path, 1).await.remove(0);
    for (entity, name, value) in [
        ("service", "path", json!("/")),
        ("service", "tls_verify", json!(false)),
        ("service", "tls_verify_depth", json!(1)),
        ("route", "headers", json!({ "x-own": ["a", "~*^b"] })),
        ("route", "snis", json!(["*.a.test"])),
        ("route", "request_buffering", json!(false)),
        ("route", "response_buffering", json!(true)),
    ] {
        assert_eq!(entry[entity][name], value, "{entity} {name}: {entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumer_and_custom_fields_are_in_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let fields = json!({ "custom_fields_by_lua": {
        "team": "return 'a'",
        "request.headers.user-agent": "return nil",
        "extra.who": "return kong.client.get_consumer().username",
        "extra.agent": "return kong.request.get_header('user-agent')",
        "latencies": "return nil",
    } });
    let auth = json!({ "name": "key-auth", "config": { "anonymous": "c1" } });
    let id = json!({ "name": "correlation-id" });
    let plugged = Plugged::start(&[file_log(&path, fields), auth, id]);
    plugged.put_consumer(1);
    plugged.send(&Request::new("GET", "/").header("User-Agent", "x")).await.expect(200);
    let entry = entries(&path, 1).await.remove(0);
    assert_eq!(entry["consumer"]["id"], consumer_id(1).to_string());
    assert_eq!(entry["consumer"]["ws_id"], entry["workspace"]);
    assert_eq!(entry["correlation_id"], entry["request"]["headers"]["kong-request-id"]);
    assert_eq!((&entry["team"], &entry["extra"]), (&json!("a"), &json!({ "who": "c1", "agent": "x" })));
    assert!(entry.get("latencies").is_none() && entry["request"]["headers"].get("user-agent").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_has_what_the_upstream_learns_of_the_consumer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let field =
        json!({ "custom_fields_by_lua": { "who": "return kong.request.get_header('x-consumer-username')" } });
    let limit = json!({ "name": "rate-limiting", "config": { "year": 1 } });
    let plugged = Plugged::start(&[file_log(&path, field), json!({ "name": "key-auth" }), limit]);
    plugged.put_consumer(1);
    plugged.put_keys(&[(1, "key-1")]);
    for status in [200, 429] {
        plugged.send(&Request::new("GET", "/").header("apikey", "key-1")).await.expect(status);
    }
    for entry in entries(&path, 2).await {
        assert_eq!(
            (&entry["who"], &entry["request"]["headers"]["x-consumer-username"]),
            (&json!("c1"), &json!("c1"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_log_gathers_sends_and_tries_again() {
    let collector = Origin::start();
    let endpoint = format!("http://u:p@{}/in?secret=1", collector.address());
    let config = json!({
        "http_endpoint": endpoint, "method": "PUT", "headers": { "X-Key": "k" },
        "queue": { "max_batch_size": 3, "max_coalescing_delay": 30 },
    });
    let plugged = Plugged::start(&[json!({ "name": "http-log", "config": config })]);
    collector.answer_once(Answer::status(500));
    collector.answer_once(Answer::reset());
    for number in 0..3 {
        plugged.get(&format!("/{number}")).await.expect(200);
    }
    wait::until(SOON, "the batch is sent", || collector.count() >= 2).await;
    plugged.gateway.wait_metric("gibbon_log_entries_sent_total{plugin=\"http-log\"}", 3.0).await;
    let received = collector.last();
    assert_eq!((&*received.method, &*received.target), ("PUT", "/in"));
    assert_eq!(received.header("authorization"), Some("Basic dTpw"));
    assert_eq!(
        (received.header("x-key"), received.header("content-type")),
        (Some("k"), Some("application/json"))
    );
    let batch: Vec<Value> = serde_json::from_slice(&received.body).unwrap();
    let uris: Vec<_> = batch.iter().map(|entry| entry["request"]["uri"].as_str().unwrap()).collect();
    assert_eq!(uris, ["/0", "/1", "/2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collector_that_hangs_or_is_denied_changes_no_answer() {
    let collector = Origin::start();
    collector.answer(Answer::hang());
    let to = |endpoint: String, entries: u32| {
        let queue = json!({ "max_entries": entries, "max_retry_time": -1 });
        json!({ "name": "http-log", "config": { "http_endpoint": endpoint, "queue": queue } })
    };
    let plugged = Plugged::start(&[to(collector.url(), 5)]);
    for _ in 0..20 {
        plugged.get("/").await.expect(200);
    }
    let full = "gibbon_log_entries_dropped_total{plugin=\"http-log\",reason=\"full\"}";
    plugged.gateway.wait_metric(full, 14.0).await;

    plugged.put_plugins(&[to("http://169.254.169.254/latest".to_owned(), 5)]);
    plugged.get("/").await.expect(200);
    let failed = "gibbon_log_entries_dropped_total{plugin=\"http-log\",reason=\"failed\"}";
    plugged.gateway.wait_metric(failed, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_and_datagrams_reach_their_collectors() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (udp, statsd) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let port = |address: std::net::SocketAddr| address.port();
    let plugged = Plugged::start(&[
        json!({ "name": "tcp-log", "config": { "host": "127.0.0.1", "port": port(tcp.local_addr().unwrap()) } }),
        json!({ "name": "udp-log", "config": { "host": "127.0.0.1", "port": port(udp.local_addr().unwrap()) } }),
        json!({ "name": "statsd", "config": {
            "host": "127.0.0.1", "port": port(statsd.local_addr().unwrap()),
            "metrics": [
                { "name": "request_count", "stat_type": "counter", "sample_rate": 1 },
                { "name": "response_size", "stat_type": "counter", "sample_rate": 1 },
                { "name": "status_count", "stat_type": "counter", "sample_rate": 1 },
                { "name": "latency", "stat_type": "timer" },
                { "name": "request_per_user", "stat_type": "counter", "sample_rate": 1 },
            ],
        } }),
    ]);
    for target in ["/1", "/2"] {
        plugged.get(target).await.expect(200);
    }
    let (stream, _) = timeout(SOON, tcp.accept()).await.unwrap().unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut space = [0; 65_536];
    for target in ["/1", "/2"] {
        let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
        let length = timeout(SOON, udp.recv(&mut space)).await.unwrap().unwrap();
        for entry in [line.as_bytes(), &space[..length]] {
            assert_eq!(serde_json::from_slice::<Value>(entry).unwrap()["request"]["uri"], target);
        }
    }
    let mut packets = Vec::new();
    while packets.len() < 8 {
        let length = timeout(SOON, statsd.recv(&mut space)).await.unwrap().unwrap();
        packets.push(String::from_utf8(space[..length].to_vec()).unwrap());
    }
    let name = "kong.service.127_0_0_1";
    assert_eq!(packets[0], format!("{name}.request.count:1|c"));
    assert!(packets[1].starts_with(&format!("{name}.response.size:")) && packets[1].ends_with("|c"));
    assert_eq!(packets[2], format!("{name}.status.200:1|c"));
    assert!(packets[3].starts_with(&format!("{name}.latency:")) && packets[3].ends_with("|ms"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_statsd_are_named_and_joined_as_configured() {
    let statsd = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let plugin = |more: Value| {
        let mut config = json!({
            "host": "127.0.0.1", "port": statsd.local_addr().unwrap().port(),
            "udp_packet_size": 1000, "consumer_identifier_default": "username",
            "metrics": [
                { "name": "request_count", "stat_type": "counter", "sample_rate": 1 },
                { "name": "request_per_user", "stat_type": "gauge", "sample_rate": 1 },
            ],
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "name": "statsd", "config": config })
    };
    let plugged = Plugged::start(&[]);
    let user = "alice@a.test";
    plugged.put([entity(model::kind::CONSUMER, consumer_id(1), &json!({ "username": user }))]);
    let host = plugged.gateway.shared.plugins.reports.hostname.replace('.', "_");
    let (route, workspace) = (crate::support::route(1, "/").id, uuid::Uuid::nil());
    let about = format!("route:{route},consumer:{user},workspace:{workspace},node:{host},status:200");
    let counted = |scope: &str| format!("{scope}.request.count:1|c\n{scope}.user.{user}.request.count:1|c");
    for (more, packet) in [
        (json!({}), counted("kong.service.127_0_0_1")),
        (
            json!({ "hostname_in_prefix": true, "service_identifier_default": "service_name" }),
            counted(&format!("kong.node.{host}.service.unnamed")),
        ),
        (
            json!({ "hostname_in_prefix": true, "tag_style": "dogstatsd" }),
            format!("kong.request.count:1|c|#service:127.0.0.1,{about}"),
        ),
        (
            json!({ "service_identifier_default": "service_name", "tag_style": "influxdb" }),
            "kong.request.count:1|c".to_owned(),
        ),
    ] {
        let auth = json!({ "name": "key-auth", "config": { "anonymous": user } });
        plugged.put_plugins(&[plugin(more.clone()), auth]);
        plugged.get("/").await.expect(200);
        let mut space = [0; 1000];
        let length = timeout(SOON, statsd.recv(&mut space)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&space[..length]), packet, "{more}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_of_a_request_over_tls_says_how() {
    let (folder, pairs) = (tempfile::tempdir().unwrap(), Pairs::new());
    let path = folder.path().join("log");
    let plugged = Plugged::start(&[file_log(&path, json!({}))]);
    let pair = pairs.make("a", &["a.test"]);
    plugged.gateway.apply(vec![put(1, &pair), name(1, "a.test", 1)]);
    for (number, version) in [(1, "--http1.1"), (2, "--http2")] {
        curl::https(plugged.gateway.tls_address, "a.test", &pair, &[version]).await.unwrap();
        let entry = entries(&path, number).await.remove(number - 1);
        let tls = &entry["request"]["tls"];
        assert!(tls["cipher"].as_str().unwrap().starts_with("TLS_"), "{tls}");
        assert_eq!((&tls["version"], tls.get("server_name")), (&json!("TLSv1.3"), None));
        assert!(entry["request"]["url"].as_str().unwrap().starts_with("https://a.test:"), "{entry}");
        let host = entry["request"]["headers"]["host"].as_str();
        assert!(host.is_some_and(|host| host.starts_with("a.test")), "{version} {entry}");
    }
}
