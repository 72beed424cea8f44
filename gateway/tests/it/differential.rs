//! Sends the same bytes to Gibbon, nginx and HAProxy, each before an origin that records its requests.
//! Compares whether a request is refused or forwarded, and in which form. Where Gibbon differs from both, the
//! table gives the reason.

mod cases;
mod peers;
mod recorder;

use std::net::SocketAddr;
use std::time::Duration;

use model::Route;
use testkit::http::Connection;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use self::cases::{CASES, Case};
use self::peers::Peer;
use self::recorder::Recorder;
use crate::support::{Gateway, at, route};

/// A proxy that has not answered by then waits for more bytes.
const TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_taken_as_by_others_or_it_is_said_why_not() {
    let (ours, nginx, haproxy) =
        tokio::join!(outcomes_of_gibbon(), outcomes_of(Peer::nginx), outcomes_of(Peer::haproxy));
    let mut wrong = Vec::new();
    for (index, case) in CASES.iter().enumerate() {
        let (ours, nginx, haproxy) = (&ours[index], &nginx[index], &haproxy[index]);
        let alone = !alike(ours, nginx) && !alike(ours, haproxy);
        if *ours != case.gibbon || alone != case.alone.is_some() {
            let name = case.name;
            wrong.push(format!(
                "{name}\n  expected {}\n  gibbon   {ours}\n  nginx    {nginx}\n  haproxy  {haproxy}",
                case.gibbon
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

/// The status of a refusal may differ; whether there is a refusal may not.
fn alike(one: &str, other: &str) -> bool {
    let refused = |outcome: &str| outcome.starts_with("refused");
    one == other || (refused(one) && refused(other))
}

async fn outcomes_of_gibbon() -> Vec<String> {
    let (gateway, recorder) = (Gateway::start(), Recorder::start());
    gateway.serve(at(1, recorder.address()), Route { preserve_host: true, ..route(1, "/") });
    outcomes(gateway.address(), &recorder).await
}

async fn outcomes_of(start: impl Fn(SocketAddr) -> Peer) -> Vec<String> {
    let recorder = Recorder::start();
    let peer = start(recorder.address());
    peer.wait_ready().await;
    recorder.take();
    outcomes(peer.address(), &recorder).await
}

async fn outcomes(proxy: SocketAddr, recorder: &Recorder) -> Vec<String> {
    let mut outcomes = Vec::new();
    for case in CASES {
        let status = send(proxy, case).await;
        let forwarded = recorder.take().join(" then ").replace(&recorder.address().to_string(), "upstream");
        outcomes.push(match status {
            Status::Is(200) => forwarded,
            // A part that a proxy forwarded before it detected the error does not count.
            Status::Is(status) => format!("refused {status}"),
            Status::Closed => "refused".to_owned(),
            Status::Waits => format!("waits {forwarded}").trim().to_owned(),
        });
    }
    outcomes
}

enum Status {
    Is(u16),
    Closed,
    Waits,
}

/// Sends the request and reads until the proxy closes.
async fn send(proxy: SocketAddr, case: &Case) -> Status {
    let mut connection = Connection::open(proxy).await.unwrap();
    // A proxy may close before it has read everything.
    connection.write(case.request.as_bytes()).await.ok();
    let mut answer = Vec::new();
    let ended = timeout(TIMEOUT, connection.stream().read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    match answer.split(' ').nth(1).and_then(|status| status.parse().ok()) {
        Some(status) => Status::Is(status),
        None if ended.is_ok() => Status::Closed,
        None => Status::Waits,
    }
}
