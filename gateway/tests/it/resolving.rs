//! Upstreams by name, with a fake name server that is silent for all names but one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use testkit::http::Client;
use testkit::origin::{Answer, Origin};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Gateway, at, route, service};

/// A name server. Ends when it is dropped.
struct NameServer {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl NameServer {
    /// Starts a name server that knows the address of this name, and is silent for others.
    async fn start(known: &'static str, address: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (bound, mut task) = (socket.local_addr().unwrap(), JoinSet::new());
        task.spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                if let Some(answer) = answer(&query[..length], known, address) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        Self { address: bound, _task: task }
    }
}

/// An answer with the address (RFC 1035, section 4.1); an empty one to a question of another type.
fn answer(query: &[u8], known: &str, address: Ipv4Addr) -> Option<Vec<u8>> {
    let name: Vec<u8> =
        known.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat()).collect();
    let question = query.get(12..12 + name.len() + 5)?;
    if !question[..name.len()].eq_ignore_ascii_case(&name) {
        return None;
    }
    let is_a = question[name.len()..] == [0, 0, 1, 0, 1];
    let counts = [0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
    let mut answer = [&query[..2], &[0x81, 0x80], &counts, question].concat();
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// Of 160 requests 20 may wait for one name: all requests of the good name, and half of those of the silent
/// one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_name_costs_its_own_requests_only() {
    let (origin, server) = (Origin::start(), NameServer::start("good.test", Ipv4Addr::LOCALHOST).await);
    origin.answer(Answer::status(200));
    let gateway = Gateway::with(&[
        ("upstream.name_servers", &server.address.to_string()),
        ("upstream.resolve_timeout", "1s"),
        ("proxy.max_in_flight", "160"),
    ]);
    gateway.apply(vec![]);
    let silent = model::Service { host: "silent.test".into(), ..at(1, origin.address()) };
    let good = model::Service { host: "good.test".into(), ..service(2, &origin) };
    gateway.serve(silent, route(1, "/silent"));
    gateway.serve(good, route(2, "/good"));
    let (address, begun) = (gateway.address(), Instant::now());
    let mut requests = JoinSet::new();
    for number in 0..60 {
        requests.spawn(async move {
            let (path, client) = (if number % 3 == 0 { "/good" } else { "/silent" }, Client::new(address));
            let mut answers = Vec::new();
            for _ in 0..8 {
                let asked = Instant::now();
                let status = client.get(path).await.unwrap().status;
                answers.push((path, status, asked.elapsed()));
            }
            answers
        });
    }
    let answers = requests.join_all().await.concat();
    for (path, status, took) in &answers {
        let wanted = if *path == "/good" { 200 } else { 503 };
        assert_eq!(*status, wanted, "{path} after {took:?}");
    }
    // Eight requests one after the other: at most those that begin a look-up wait.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(gateway.metric("gibbon_http_errors_total{reason=\"overloaded\"}"), 0.0);
}

/// The hosts file is used before any name server, and whatever the search domains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_file_comes_first() {
    let (origin, server) = (Origin::start(), NameServer::start("good.test", Ipv4Addr::LOCALHOST).await);
    origin.answer(Answer::status(200));
    let gateway = Gateway::with(&[("upstream.name_servers", &server.address.to_string())]);
    gateway.apply(vec![]);
    gateway.serve(model::Service { host: "localhost".into(), ..service(1, &origin) }, route(1, "/"));
    gateway.get("/").await.expect(200);
}
