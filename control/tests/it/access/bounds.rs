//! One client takes nothing from the others, however many connections it holds.

use std::time::Duration;

use testkit::http::{Connection, Request};
use testkit::plane::DEADLINE;
use testkit::wait;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Stage;

/// Ten times the connections that the listener accepts; `GIBBON_TEST_SILENT` raises it.
fn silent_connections() -> usize {
    std::env::var("GIBBON_TEST_SILENT").ok().and_then(|text| text.parse().ok()).unwrap_or(2500)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_stop_nothing() {
    node::descriptors::raise_limit();
    let count = silent_connections();
    let stage = Stage::start(&[]).await;
    let (admin, status) = (stage.control.admin(), stage.control.node.status());
    for (address, connections) in [(admin.address(), count), (status.address(), 500)] {
        let mut silent = Vec::new();
        for _ in 0..connections {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begun = Instant::now();
        admin.get("/services").await.unwrap().expect(200);
        status.get("/status").await.unwrap().expect(200);
        TcpStream::connect(stage.control.cluster().address()).await.unwrap();
        assert!(begun.elapsed() < DEADLINE);
        let held = std::fs::read_dir(format!("/proc/{}/fd", stage.control.node.pid())).unwrap().count();
        assert!(held < 700, "{held} descriptors");
    }
    let replaced = stage.control.node.metric("gibbon_admin_refused_total{reason=\"connections\"}").await;
    // Others have ended by the timeout of their header.
    assert!(replaced > 0.0, "{replaced}");
    stage.stop().await;
}

/// Silent connections to the Admin API take all descriptors that are left; the status listener has its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_the_status_listener_answers() {
    let stage = Stage::start(&[]).await;
    let (admin, status, pid) = (stage.control.admin(), stage.control.node.status(), stage.control.node.pid());
    let held = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let limit = held() + 20;
    let nofile = format!("--nofile={limit}:{limit}");
    let lowered = std::process::Command::new("prlimit").args(["--pid", &pid.to_string(), &nofile]).status();
    assert!(lowered.unwrap().success());
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(admin.address()).await.unwrap());
    }
    wait::until(DEADLINE, "no descriptor is left", || held() >= limit).await;
    for _ in 0..3 {
        let mut fresh = Connection::open(status.address()).await.unwrap();
        fresh.write(b"GET /status/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let answer = timeout(DEADLINE, fresh.read_response(false)).await.expect("it answers");
        answer.unwrap().expect(200);
    }
    drop(silent);
    stage.stop().await;
}

#[tokio::test]
async fn slow_and_large_requests_end_by_the_keys() {
    let stage = Stage::start(&[
        ("admin.header_timeout", "300ms"),
        ("admin.idle_timeout", "300ms"),
        ("admin.body_timeout", "300ms"),
        ("admin.max_header_bytes", "8192"),
    ])
    .await;
    let address = stage.control.admin().address();
    let open = async |bytes: &[u8]| {
        let mut connection = Connection::open(address).await.unwrap();
        connection.write(bytes).await.unwrap();
        let end = timeout(DEADLINE, connection.read_to_end()).await.expect("the connection ends");
        end.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    assert_eq!(open(b"").await, "");
    assert_eq!(open(b"GET /services HTTP/1.1\r\n").await, "");
    assert!(open(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    let body = b"POST /services HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    assert!(open(body).await.starts_with("HTTP/1.1 408 "));
    let large = format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n", "a".repeat(9000));
    assert!(open(large.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    stage.stop().await;
}

/// An answer that nobody reads holds its connection no longer than `write_timeout`.
#[tokio::test]
async fn reader_that_never_reads_loses_its_connection() {
    let stage = Stage::start(&[("admin.write_timeout", "1s")]).await;
    let admin = stage.control.admin();
    let tags: Vec<_> = (0..40).map(|n| format!("{n:0100}")).collect();
    for n in 0..200 {
        let service = serde_json::json!({ "name": format!("s{n}"), "host": "a", "tags": tags });
        admin.post("/services", &service).await.unwrap().expect(201);
    }
    let mut connection = Connection::open(admin.address()).await.unwrap();
    let request = Request::new("GET", "/services?size=1000").encode("localhost");
    let cut = "gibbon_admin_refused_total{reason=\"write_timeout\"}";
    // Pipelined until no buffer of either side takes more.
    let filled = timeout(Duration::from_secs(60), async {
        loop {
            if connection.write(&request).await.is_err() || stage.control.node.metric(cut).await >= 1.0 {
                return;
            }
        }
    });
    filled.await.expect("the connection is cut off");
    admin.get("/services?size=1").await.unwrap().expect(200);
    stage.stop().await;
}

/// 503 at once, rather than a queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_the_cap_are_answered_503() {
    let stage = Stage::start(&[("admin.max_in_flight", "1")]).await;
    let admin = stage.control.admin();
    let mut slow = Connection::open(admin.address()).await.unwrap();
    let head = b"POST /services HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 29\r\n\r\n";
    slow.write(head).await.unwrap();
    // From here on it is in flight.
    assert_eq!(&slow.read_exact(25).await.unwrap()[..], b"HTTP/1.1 100 Continue\r\n\r\n");
    stage.wait_for(&Request::new("GET", "/status"), 503).await;
    slow.write(b"{\"name\":\"a\",\"host\":\"b.local\"}").await.unwrap();
    slow.read_response(false).await.unwrap().expect(201);
    stage.wait_for(&Request::new("GET", "/status"), 200).await;
    stage.stop().await;
}

/// The client asks before it sends the body, and need not send it.
#[tokio::test]
async fn body_that_is_announced_too_large_is_refused_before_it_is_sent() {
    let stage = Stage::start(&[]).await;
    let admin = stage.control.admin();
    for (length, status) in [(10 * 1024 * 1024 + 1, "413"), (u64::MAX / 2, "413"), (10 * 1024 * 1024, "100")]
    {
        let mut connection = Connection::open(admin.address()).await.unwrap();
        let head = format!(
            "POST /services HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.write(head.as_bytes()).await.unwrap();
        let answered = timeout(DEADLINE, connection.read_exact(12)).await.expect("an answer").unwrap();
        assert_eq!(String::from_utf8_lossy(&answered), format!("HTTP/1.1 {status}"), "{length} bytes");
        if status == "413" {
            // No body follows: the next request would be taken for it.
            timeout(DEADLINE, connection.read_to_end()).await.expect("the connection ends").unwrap();
        }
    }
    stage.stop().await;
}

/// A body that is not complete holds all memory but less than the other one needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_beyond_the_memory_of_all_is_refused_until_others_end() {
    const BODY: usize = 10 * 1024 * 1024;
    let stage = Stage::start(&[("admin.max_body_memory", &(BODY + 1000).to_string())]).await;
    let admin = stage.control.admin();
    let head = format!(
        "POST /services HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {BODY}\r\n\r\n"
    );
    let tags = ["t", "u", "v"].map(|letter| letter.repeat(400));
    let service = serde_json::json!({ "host": "x", "tags": tags });
    // A body that is still being read would be the one without room. Then it is tried again, with more time.
    let pause = std::cell::Cell::new(Duration::from_millis(50));
    let (held, refused) = wait::eventually(DEADLINE, || async {
        let mut held = Connection::open(admin.address()).await?;
        held.write(head.as_bytes()).await?;
        held.write(&vec![b' '; BODY - 1]).await?;
        tokio::time::sleep(pause.replace(2 * pause.get())).await;
        let answer = admin.post("/services", &service).await?;
        anyhow::ensure!(answer.status == 503, "{}", answer.text());
        anyhow::Ok((held, answer.text()))
    })
    .await;
    assert!(refused.contains("10486760 bytes (admin.max_body_memory)"), "{refused}");
    // A short one has room, and so has this one as soon as the other has ended.
    admin.post("/services", &serde_json::json!({ "host": "x" })).await.unwrap().expect(201);
    drop(held);
    wait::eventually(DEADLINE, || async {
        let answer = admin.post("/services", &service).await?;
        anyhow::ensure!(answer.status == 201, "{}", answer.text());
        Ok(())
    })
    .await;
    stage.stop().await;
}
