//! Requests at a steady rate, on kept connections and on new ones, with HTTP/1.1 and HTTP/2; every failure is
//! recorded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::StatusCode;
use testkit::http::Connection;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The request.
pub(crate) const REQUEST: &[u8] = b"GET /kept HTTP/1.1\r\nHost: h\r\n\r\n";
/// Clients that keep their connections, clients that do not, and those of HTTP/2. Each sends a request once
/// in `PACE`: 500 requests in a second.
const KEEPING: usize = 4;
const OPENING: usize = 3;
const STREAMING: usize = 3;
const PACE: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Load {
    clients: JoinSet<Served>,
    done: Arc<AtomicBool>,
}

/// The results of the requests.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) requests: u32,
    /// Responses that announced the end of the connection.
    pub(crate) closed: u32,
    /// HTTP/2 connections that received a GOAWAY.
    pub(crate) goaways: u32,
    pub(crate) failures: Vec<String>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (mut clients, done) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let keeping = (0..KEEPING).map(|_| Client::Keeping(None));
        let opening = (0..OPENING).map(|_| Client::Opening);
        let streaming = (0..STREAMING).map(|_| Client::Streaming(Streams::default()));
        for client in keeping.chain(opening).chain(streaming) {
            clients.spawn(load(address, client, done.clone()));
        }
        Self { clients, done }
    }

    pub(crate) async fn end(self) -> Served {
        self.done.store(true, Ordering::Relaxed);
        self.clients.join_all().await.into_iter().fold(Served::default(), |mut all, served| {
            all.requests += served.requests;
            all.closed += served.closed;
            all.goaways += served.goaways;
            all.failures.extend(served.failures);
            all
        })
    }
}

/// With the connection to continue, if there is one.
enum Client {
    Keeping(Option<Connection>),
    Opening,
    Streaming(Streams),
}

/// An HTTP/2 client, on one connection after another.
#[derive(Default)]
struct Streams {
    open: Option<SendRequest<Bytes>>,
    connections: JoinSet<()>,
}

async fn load(address: SocketAddr, mut client: Client, done: Arc<AtomicBool>) -> Served {
    let (mut served, mut pace) = (Served::default(), interval(PACE));
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !done.load(Ordering::Relaxed) {
        pace.tick().await;
        served.requests += 1;
        let asked = timeout(DEADLINE, client.ask(address, &mut served)).await.context("no answer in time");
        if let Ok(Err(error)) | Err(error) = asked {
            served.failures.push(format!("{}: {error:#}", client.name()));
        }
    }
    served
}

impl Client {
    fn name(&self) -> &'static str {
        match self {
            Self::Keeping(_) => "keeping",
            Self::Opening => "opening",
            Self::Streaming(_) => "streaming",
        }
    }

    async fn ask(&mut self, address: SocketAddr, served: &mut Served) -> Result<()> {
        match self {
            Self::Keeping(kept) => {
                let connection = match kept.take() {
                    Some(connection) => connection,
                    None => Connection::open(address).await?,
                };
                match exchange(connection).await? {
                    Some(connection) => *kept = Some(connection),
                    None => served.closed += 1,
                }
            }
            Self::Opening => {
                let kept = exchange(Connection::open(address).await?).await?;
                served.closed += u32::from(kept.is_none());
            }
            Self::Streaming(streams) => served.goaways += streams.ask(address).await?,
        }
        Ok(())
    }
}

/// Sends a request; returns the connection, unless it ends.
async fn exchange(mut connection: Connection) -> Result<Option<Connection>> {
    connection.write(REQUEST).await.context("cannot ask")?;
    let response = connection.read_response(false).await.context("cannot read the answer")?;
    ensure!(response.status == 200, "{} {}", response.status, response.text());
    let ends = response.header("connection") == Some("close");
    Ok(Some(connection).filter(|_| !ends))
}

impl Streams {
    /// Sends a request; returns how many connections answered with a GOAWAY.
    async fn ask(&mut self, address: SocketAddr) -> Result<u32> {
        let mut goaways = 0;
        loop {
            let send = match self.open.take() {
                Some(send) => send,
                None => self.connect(address).await?,
            };
            match stream(send).await {
                Ok((send, status)) => {
                    ensure!(status == 200, "{status}");
                    self.open = Some(send);
                    return Ok(goaways);
                }
                // Not processed, and to be sent again. A client may have sent its stream after its answer to
                // the ping that confirms the GOAWAY.
                Err(error) if error.is_go_away() && error.is_remote() => goaways += 1,
                Err(error) => return Err(error).context("no answer"),
            }
        }
    }

    async fn connect(&mut self, address: SocketAddr) -> Result<SendRequest<Bytes>> {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        let (send, connection) = h2::client::handshake(stream).await.context("no HTTP/2")?;
        self.connections.spawn(async {
            // The caller of the request sees the failure.
            connection.await.ok();
        });
        Ok(send)
    }
}

/// The connection, and the response.
async fn stream(send: SendRequest<Bytes>) -> Result<(SendRequest<Bytes>, StatusCode), h2::Error> {
    let mut send = send.ready().await?;
    let request = http::Request::get("http://h/kept").body(()).expect("a request");
    let response = send.send_request(request, true)?.0.await?;
    let (head, mut body) = response.into_parts();
    while let Some(bytes) = body.data().await {
        body.flow_control().release_capacity(bytes?.len())?;
    }
    Ok((send, head.status))
}
