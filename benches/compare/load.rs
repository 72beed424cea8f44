//! The origin, and the clients that ask for it through a proxy.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use benches::{stage, usage};
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::Work;
use crate::client::{self, Ask, Client};
use crate::identity::Identity;
use crate::peers::Peer;

/// Requests at a time.
const REQUESTS: usize = 64;

/// The size of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// 128 bytes.
    Small,
    /// 1 MiB.
    Large,
}

impl Body {
    fn len(self) -> usize {
        match self {
            Self::Small => 128,
            Self::Large => 1 << 20,
        }
    }

    /// The end of the path by which the origin tells which is wanted.
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Small => "128 bytes",
            Self::Large => "1 MiB",
        })
    }
}

/// An origin that does as little as an origin can: it does not even parse.
pub(crate) struct Origin(SocketAddr);

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || runtime().block_on(serve(listener)));
        Self(address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }
}

async fn serve(listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    let responses: Arc<[Vec<u8>; 2]> = Arc::new([Body::Small, Body::Large].map(response));
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        connections.spawn(answer(stream, responses.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, responses: Arc<[Vec<u8>; 2]>) {
    let mut buffer = vec![0; 4096];
    // Requests are small and come one at a time: one read is one request.
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let line = buffer[..read].split(|byte| *byte == b'\r').next().unwrap_or_default();
        let is_large = line.windows(5).any(|part| part == b"large");
        if stream.write_all(&responses[usize::from(is_large)]).await.is_err() {
            return;
        }
    }
}

fn response(body: Body) -> Vec<u8> {
    let header =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\r\n", body.len());
    [header.into_bytes(), vec![b'x'; body.len()]].concat()
}

/// Clients of one proxy.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) identity: &'a Identity,
    pub(crate) work: Work,
}

impl Load<'_> {
    /// Asks for so long; the processor time of a request in microseconds. Connections are opened before.
    pub(crate) fn run(self, time: Duration) -> f64 {
        runtime().block_on(async {
            let Work { protocol, .. } = self.work;
            let to = self.peer.address(protocol);
            let mut drivers = JoinSet::new();
            let connections = client::connect(protocol, to, self.identity, REQUESTS, &mut drivers).await;
            let before = usage::cpu_us(self.peer.pid());
            let end = Instant::now() + time;
            let mut clients = JoinSet::new();
            for connection in connections {
                clients.spawn(ask(connection, self.work, end));
            }
            let requests: usize = clients.join_all().await.into_iter().sum();
            (usage::cpu_us(self.peer.pid()) - before) / requests as f64
        })
    }
}

async fn ask(mut client: Client, work: Work, end: Instant) -> usize {
    let mut answers = 0;
    while Instant::now() < end {
        let number = rand::rng().random_range(0..work.routes);
        let target = format!("{}/{}?a=b", stage::path(number), work.body.name());
        let request = Ask { host: stage::host(number), target, answer: work.body.len() };
        // An answer that is under way at the end is waited for: its cost is in the sum.
        timeout_at(end + Duration::from_secs(10), client.ask(&request)).await.expect("an answer");
        answers += 1;
    }
    answers
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
