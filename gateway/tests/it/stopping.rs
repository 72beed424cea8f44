//! Requests, tunnels and connections when the program stops.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::http::{Client, Connection};
use testkit::origin::Answer;
use testkit::plane::DEADLINE;
use testkit::wait;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::upgrade::Stage;
use crate::upgrade::load::REQUEST;

/// Requests in flight when the program begins to stop.
const REQUESTS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_slow_requests_end_well_and_nothing_new_begins() {
    let mut stage = Stage::start(&[]).await;
    stage.origin.answer(Answer::echo().delay(Duration::from_secs(3)));
    let mut busy = Vec::new();
    for _ in 0..REQUESTS {
        let mut connection = Connection::open(stage.proxy.address()).await.unwrap();
        connection.write(REQUEST).await.unwrap();
        busy.push(connection);
    }
    let origin = &stage.origin;
    wait::until(DEADLINE, "all requests in flight", || origin.count() == REQUESTS).await;
    stage.signal(Signal::SIGTERM);
    stage.told("STOPPING=1").await;

    let address = stage.proxy.address();
    wait::eventually(DEADLINE, || async {
        let connected = tokio::net::TcpStream::connect(address).await;
        if connected.is_err() { Ok(()) } else { Err("new connections are accepted") }
    })
    .await;
    let ready = Client::new(stage.status_address()).get("/status/ready").await.unwrap().expect(503);
    assert_eq!(ready.json()["message"], "draining");
    for mut connection in busy {
        let last = connection.read_response(false).await.unwrap().expect(200);
        assert_eq!(last.header("connection"), Some("close"));
    }
    stage.exited_well().await;
}

/// Ten streams on each of ten connections, which receive a GOAWAY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_slow_streams_end_well() {
    let mut stage = Stage::start(&[]).await;
    stage.origin.answer(Answer::echo().delay(Duration::from_secs(3)));
    let mut load = Command::new("h2load");
    load.args(["-n", "100", "-c", "10", "-m", "10"]).arg(format!("http://{}/kept", stage.proxy.address()));
    let load = load.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("h2load is installed");
    let origin = &stage.origin;
    wait::until(DEADLINE, "all requests in flight", || origin.count() == REQUESTS).await;
    stage.signal(Signal::SIGTERM);
    stage.told("STOPPING=1").await;
    let said = timeout(2 * DEADLINE, load.wait_with_output()).await.unwrap().unwrap().stdout;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("100 succeeded, 0 failed, 0 errored"), "{said}");
    stage.exited_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_stands_until_the_deadline_and_is_closed_then() {
    let mut stage = Stage::start(&[("proxy.drain_timeout", "2s")]).await;
    stage.origin.answer(Answer::upgrade("websocket"));
    let mut tunnel = Connection::open(stage.proxy.address()).await.unwrap();
    let upgrade = b"GET /kept HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    tunnel.write(upgrade).await.unwrap();
    tunnel.read_response(false).await.unwrap().expect(101);
    let told = Instant::now();
    stage.signal(Signal::SIGTERM);
    stage.told("STOPPING=1").await;
    tunnel.write(b"still there").await.unwrap();
    assert_eq!(tunnel.read_exact(11).await.unwrap(), "still there");
    // How the tunnel ends does not matter, only that it does.
    tunnel.read_to_end().await.ok();
    let ended = told.elapsed();
    assert!(ended >= Duration::from_secs(2) && ended < Duration::from_secs(8), "{ended:?}");
    stage.exited_well().await;
}
