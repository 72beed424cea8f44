//! HTTP/2 clients without TLS, beside those of HTTP/1.

use std::process::Stdio;
use std::time::Duration;

use model::{Protocol, Route};
use testkit::curl::curl;
use testkit::http::Connection;
use testkit::origin::{Answer, Origin};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{Gateway, route, service};
use crate::tls::{Pairs, name, put};

const PRIOR: &str = "--http2-prior-knowledge";

fn url(gateway: &Gateway, path: &str) -> String {
    format!("http://{}{path}", gateway.address())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_served_on_one_port() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::echo());
    let version = ["--write-out", "%{http_version}", "--output", "/dev/null"];
    for (flag, expected) in [(PRIOR, "2"), ("--http1.1", "1.1"), ("--http1.0", "1.1")] {
        let said = curl(&[&version[..], &[flag, &url(&gateway, "/a?b=c")]].concat()).await.unwrap();
        assert_eq!(said, expected, "{flag}");
        assert_eq!(origin.last().target, "/a?b=c");
    }
    // Shorter than the HTTP/2 preface that decides on the version.
    let mut short = Connection::open(gateway.address()).await.unwrap();
    short.write(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    timeout(Duration::from_secs(5), short.read_response(false)).await.unwrap().unwrap().expect(200);
}

/// The host stands in the target, and fields of one connection are absent.
#[tokio::test(flavor = "multi_thread")]
async fn the_host_goes_upstream_if_asked_for() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    let host = ["--header", "Host: Shop.Example:81", PRIOR];
    for (preserve, received) in [(true, "shop.example:81"), (false, &*origin.address().to_string())] {
        gateway.serve(service(1, &origin), Route { preserve_host: preserve, ..route(1, "/") });
        curl(&[&host[..], &["--fail", &url(&gateway, "/")]].concat()).await.unwrap();
        assert_eq!(origin.last().header_values("host").collect::<Vec<_>>(), [received]);
    }
    gateway.serve(service(1, &origin), Route { protocols: vec![Protocol::Https], ..route(1, "/") });
    let head = curl(&["--head", PRIOR, &url(&gateway, "/")]).await.unwrap();
    assert!(head.starts_with("HTTP/2 426") && !head.contains("\nconnection") && !head.contains("\nupgrade"));
}

/// A body of unknown length, which once ended in two last chunks and broke the upstream's connection.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_any_length_arrive_whole() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::echo());
    let folder = tempfile::tempdir().unwrap();
    for len in [0, 1, 70_000, 3_000_000] {
        let file = folder.path().join(len.to_string());
        std::fs::write(&file, vec![b'x'; len]).unwrap();
        let (file, target) = (file.display().to_string(), url(&gateway, "/"));
        let known = format!("@{file}");
        curl(&[PRIOR, "--data-binary", &known, &target, "--fail", "-o", "/dev/null"]).await.unwrap();
        assert_eq!(origin.last().body.len(), len);
        let unknown = format!("curl -sS --fail {PRIOR} -X POST -T - {target} -o /dev/null < {file}");
        let status = Command::new("sh").args(["-c", &unknown]).status().await.unwrap();
        assert!(status.success(), "{len}");
        assert_eq!(origin.last().body.len(), len);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_within_a_body_has_an_end() {
    let (gateway, origin) = (Gateway::with(&[("proxy.body_timeout", "300ms")]), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let mut client = Command::new("curl")
        .args(["-sS", PRIOR, "--fail", "-X", "POST", "-T", ".", &url(&gateway, "/")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut body = client.stdin.take().unwrap();
    body.write_all(b"some").await.unwrap();
    gateway.wait_metric("gibbon_http_errors_total{reason=\"request_timeout\"}", 1.0).await;
    drop(body);
    let ended = timeout(Duration::from_secs(10), client.wait()).await.expect("an end").unwrap();
    assert!(!ended.success());
}

/// A browser sends a field for each cookie.
#[tokio::test(flavor = "multi_thread")]
async fn crumbs_of_cookies_are_one_field() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    let headers = [("cookie".to_owned(), vec!["~*c0=0; c1=1; .*c119=119$".to_owned()])];
    gateway.serve(service(1, &origin), Route { headers: Some(headers.into()), ..route(1, "/") });
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = http::Request::get("http://h/").body(()).unwrap();
    for n in 0..120 {
        request.headers_mut().append("cookie", format!("c{n}={n}").parse().unwrap());
    }
    let (answer, _) = client.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let all: Vec<_> = (0..120).map(|n| format!("c{n}={n}")).collect();
    assert_eq!(origin.last().header_values("cookie").collect::<Vec<_>>(), [all.join("; ")]);
    drop(driver);
}

/// Each byte comes in time, and all of them never.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_ended() {
    let keys = [("proxy.body_timeout", "1s"), ("proxy.min_body_rate", "100")];
    let (gateway, origin) = (Gateway::with(&keys), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = http::Request::post("http://h/").body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    let drip = async {
        while body.send_data("x".into(), false).is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let answer = timeout(Duration::from_secs(20), async {
        tokio::select! { answer = answer => Some(answer), () = drip => None }
    });
    let ended = answer.await.expect("an end");
    assert!(ended.is_none_or(|answer| answer.is_err() || answer.is_ok_and(|answer| answer.status() == 408)));
    gateway.wait_metric("gibbon_http_errors_total{reason=\"request_timeout\"}", 1.0).await;
    drop(driver);
}

/// Many streams on few connections, without TLS and with it.
#[tokio::test(flavor = "multi_thread")]
async fn h2load_counts_no_failure() {
    let (gateway, origin, pairs) = (Gateway::start(), Origin::start(), Pairs::new());
    gateway.serve(service(1, &origin), route(1, "/"));
    gateway.apply(vec![put(1, &pairs.make("any", &["any.example"])), name(1, "*", 1)]);
    for url in [url(&gateway, "/"), format!("https://{}/", gateway.tls_address)] {
        let mut load = Command::new("h2load");
        load.args(["-n", "2000", "-c", "5", "-m", "20", &url]).kill_on_drop(true);
        let output = timeout(Duration::from_secs(60), load.output()).await.unwrap();
        let output = output.expect("h2load is installed");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("2000 succeeded, 0 failed, 0 errored"), "{said}");
        assert!(said.contains("status codes: 2000 2xx"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends() {
    let gateway = Gateway::with(&[("proxy.keepalive_timeout", "500ms")]);
    gateway.apply(vec![]);
    let mut idle = Connection::open(gateway.address()).await.unwrap();
    idle.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    timeout(Duration::from_secs(10), idle.read_to_end()).await.expect("an end").unwrap();
}
