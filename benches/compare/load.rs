//! The origin, and the clients that send requests to it through a proxy.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use benches::{stage, usage};
use bytes::Bytes;
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::Work;
use crate::client::{self, Ask, Client};
use crate::identity::Identity;
use crate::peers::Peer;
use crate::plugins;

/// Requests at a time.
const REQUESTS: usize = 64;

/// The bodies of a request and its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// An answer of 128 bytes.
    Small,
    /// An answer of 1 MiB.
    Large,
    /// A request of 64 KiB, and an answer of 128 bytes.
    Upload,
}

/// All bodies.
pub(crate) const BODIES: [Body; 3] = [Body::Small, Body::Large, Body::Upload];

impl Body {
    /// Length of the request's body in bytes, if it has one.
    fn asked(self) -> Option<usize> {
        (self == Self::Upload).then_some(64 << 10)
    }

    /// Length of the answer's body in bytes.
    fn answered(self) -> usize {
        if self == Self::Large { 1 << 20 } else { 128 }
    }

    /// The end of the path, by which the origin selects the answer.
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Upload => "upload",
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Small => "answers of 128 bytes",
            Self::Large => "answers of 1 MiB",
            Self::Upload => "requests of 64 KiB",
        })
    }
}

/// An origin that does as little as possible: it does not even parse.
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
    let responses = Arc::new(BODIES.map(|body| (body, response(body))));
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        connections.spawn(answer(stream, responses.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, responses: Arc<[(Body, Vec<u8>); BODIES.len()]>) {
    let mut buffer = vec![0; 128 << 10];
    // Requests come one at a time, and one read gets the whole header.
    while let Ok(mut read @ 1..) = stream.read(&mut buffer).await {
        let line = buffer[..read].split(|byte| *byte == b'\r').next().unwrap_or_default();
        let is_for = |body: Body| line.windows(body.name().len()).any(|part| part == body.name().as_bytes());
        let (body, response) = responses.iter().find(|(body, _)| is_for(*body)).unwrap_or(&responses[0]);
        let header = buffer[..read].windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a header") + 4;
        while read < header + body.asked().unwrap_or_default() {
            match stream.read(&mut buffer[read..]).await {
                Ok(more @ 1..) => read += more,
                _ => return,
            }
        }
        if stream.write_all(response).await.is_err() {
            return;
        }
    }
}

fn response(body: Body) -> Vec<u8> {
    let length = body.answered();
    let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: text/plain\r\n\r\n");
    [header.into_bytes(), vec![b'x'; length]].concat()
}

/// Clients of one proxy.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) identity: &'a Identity,
    pub(crate) work: Work,
}

impl Load<'_> {
    /// Sends requests for `time`. Returns the processor time of a request in microseconds. Connections are
    /// opened before.
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
    let body = work.body.asked().map(|length| Bytes::from(vec![b'x'; length]));
    while Instant::now() < end {
        let number = rand::rng().random_range(0..work.routes);
        let path = work.guarded.map_or_else(|| stage::path(number), plugins::path);
        let request = Ask {
            host: stage::host(number),
            target: format!("{path}/{}?a=b", work.body.name()),
            key: work.guarded.map(|_| plugins::key(rand::rng().random_range(0..plugins::CONSUMERS))),
            body: body.clone(),
            answer: work.body.answered(),
        };
        // Waits for an answer that is in progress at the end: its cost is in the sum.
        timeout_at(end + Duration::from_secs(10), client.ask(&request)).await.expect("an answer");
        answers += 1;
    }
    answers
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
