//! The origin, and the clients that ask for it through a proxy.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use benches::stage;
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Connections that are kept open, each with one request at a time.
const CONNECTIONS: usize = 64;

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
pub(crate) struct Load {
    pub(crate) peer: SocketAddr,
    pub(crate) routes: usize,
    pub(crate) body: Body,
}

impl Load {
    /// Asks for so long; how many answers came.
    pub(crate) fn run(self, time: Duration) -> usize {
        runtime().block_on(async {
            let end = Instant::now() + time;
            let mut clients = JoinSet::new();
            for _ in 0..CONNECTIONS {
                clients.spawn(self.client(end));
            }
            clients.join_all().await.into_iter().sum()
        })
    }

    async fn client(self, end: Instant) -> usize {
        let mut stream = TcpStream::connect(self.peer).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = vec![0; 64 << 10];
        let mut answers = 0;
        while Instant::now() < end {
            stream.write_all(self.request().as_bytes()).await.unwrap();
            // An answer that is under way at the end is waited for: its cost is in the sum.
            timeout_at(end + Duration::from_secs(10), self.read_response(&mut stream, &mut buffer))
                .await
                .expect("an answer");
            answers += 1;
        }
        answers
    }

    fn request(&self) -> String {
        let number = rand::rng().random_range(0..self.routes);
        let (host, path) = (stage::host(number), stage::path(number));
        format!(
            "GET {path}/{}?a=b HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n",
            self.body.name()
        )
    }

    async fn read_response(&self, stream: &mut TcpStream, buffer: &mut [u8]) {
        let mut filled = 0;
        let header = loop {
            filled += stream.read(&mut buffer[filled..]).await.unwrap();
            if let Some(end) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..header]));
        let mut body = filled - header;
        while body < self.body.len() {
            body += stream.read(buffer).await.unwrap();
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
