//! The status listener: it answers under any load, and only permitted clients.

use std::time::Duration;

use node::tokens::{TokenRole, create};
use testkit::http::{Client, Connection, Request};
use testkit::wait;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Node, SOON};

async fn counted(status: &Client, series: &str) -> f64 {
    let text = status.get("/metrics").await.unwrap().expect(200).text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.expect("the series is there").parse().unwrap()
}

#[tokio::test]
async fn silent_connections_stop_nothing() {
    let node = Node::new();
    let (_running, status) = node.run().await;
    let mut silent = Vec::new();
    for _ in 0..800 {
        silent.push(TcpStream::connect(status.address()).await.unwrap());
    }
    Client::new(status.address()).get("/status").await.unwrap().expect(200);
    assert!(counted(&status, "gibbon_status_refused_total{reason=\"connections\"}").await > 700.0);
    Client::new(node.proxy.address()).get("/").await.unwrap().expect(503);
}

/// Connections to the proxy use all free descriptors; the status listener has its own.
#[tokio::test]
async fn without_descriptors_the_status_listener_answers() {
    let node = Node::new();
    let (running, status) = node.run().await;
    let pid = running.0.id();
    let held = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let limit = held() + 20;
    let nofile = format!("--nofile={limit}:{limit}");
    let lowered = std::process::Command::new("prlimit").args(["--pid", &pid.to_string(), &nofile]).status();
    assert!(lowered.unwrap().success());
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(node.proxy.address()).await.unwrap());
    }
    wait::until(SOON, "no descriptor is left", || held() >= limit).await;
    for _ in 0..3 {
        let mut fresh = Connection::open(status.address()).await.unwrap();
        fresh.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        timeout(SOON, fresh.read_response(false)).await.expect("it answers").unwrap().expect(200);
    }
}

#[tokio::test]
async fn token_is_needed_for_all_but_readiness() {
    let node = Node::new();
    let (file, token) = (node.folder.path().join("tokens"), create("prometheus", TokenRole::Read).unwrap());
    std::fs::write(&file, token.line).unwrap();
    let (_running, status) = node.run_with(&[("GIBBON_STATUS__TOKENS", file.to_str().unwrap())]).await;
    let answer = status.get("/status").await.unwrap().expect(401);
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    status.get("/metrics").await.unwrap().expect(401);
    status.get("/status/ready").await.unwrap().expect(503);
    let bearer = format!("Bearer {}", token.secret);
    let with = |path: &str| Request::new("GET", path).header("Authorization", &bearer);
    status.send(&with("/metrics")).await.unwrap().expect(200);

    // An unusable file changes nothing; one without tokens admits no client.
    std::fs::write(&file, "half a li").unwrap();
    wait::eventually(SOON, || async {
        let text = status.send(&with("/metrics")).await.unwrap().expect(200).text();
        let refused = text.contains("gibbon_token_reloads_total{result=\"refused\"} 1");
        if refused { Ok(()) } else { Err("not read") }
    })
    .await;
    std::fs::write(&file, "").unwrap();
    wait::eventually(SOON, || async {
        let status = status.send(&with("/metrics")).await.unwrap().status;
        if status == 401 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn slow_header_is_cut_off() {
    let node = Node::new();
    let keys = [("GIBBON_STATUS__HEADER_TIMEOUT", "300ms"), ("GIBBON_STATUS__IDLE_TIMEOUT", "300ms")];
    let (_running, status) = node.run_with(&keys).await;
    for (begin, answer) in
        [("", ""), ("GET /st", ""), ("GET /status HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ")]
    {
        let mut slow = Connection::open(status.address()).await.unwrap();
        slow.write(begin.as_bytes()).await.unwrap();
        let end = timeout(Duration::from_secs(20), slow.read_to_end()).await.expect("the connection ends");
        assert!(end.unwrap_or_default().starts_with(answer.as_bytes()));
    }
    assert!(counted(&status, "gibbon_status_refused_total{reason=\"header_timeout\"}").await >= 2.0);
}
