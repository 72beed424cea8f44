//! HTTP/2 on either side of the gateway, stream by stream, with each step in the hands of the test.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::raw::soon;

/// A client's connection. Ends when it is dropped.
pub(super) struct Client {
    requests: SendRequest<Bytes>,
    driver: JoinSet<()>,
}

/// An upstream that hands each stream to the test.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    end: watch::Sender<()>,
    streams: mpsc::UnboundedReceiver<Stream>,
    _tasks: JoinSet<()>,
}

/// A stream at the upstream.
pub(super) struct Stream {
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::with(&h2::client::Builder::new(), address).await
    }

    pub(super) async fn with(settings: &h2::client::Builder, address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (requests, connection) = soon("a handshake", settings.handshake(socket)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async { connection.await.unwrap_or_default() });
        Self { requests, driver }
    }

    /// Sends a request, which a body follows unless this is the `end`.
    pub(super) async fn send(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = soon("room for a stream", self.requests.clone().ready()).await.unwrap();
        ready.send_request(request, end).unwrap()
    }

    /// Closes the connection at once.
    pub(super) fn abort(&mut self) {
        self.driver.abort_all();
    }

    /// Sends a request without a body, and returns the header of the answer and its body.
    pub(super) async fn get(&mut self, path: &str) -> Response<RecvStream> {
        let (answer, _) = self.send(get(path), true).await;
        soon("an answer", answer).await.unwrap()
    }
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, streams) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (accepted, end) = (Arc::clone(&connections), watch::Sender::new(()));
        let ended = end.subscribe();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                serving.spawn(serve(socket, tell.clone(), ended.clone()));
            }
        });
        Self { address, connections, end, streams, _tasks: tasks }
    }

    /// The next stream of the gateway.
    pub(super) async fn accept(&mut self) -> Stream {
        soon("a stream to the upstream", self.streams.recv()).await.unwrap()
    }

    /// Closes all connections at once.
    pub(super) fn abort_connections(&self) {
        self.end.send_replace(());
    }

    /// How many connections were accepted.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Hands on the streams of one connection, until it ends, is ended, or the test has.
async fn serve(socket: TcpStream, tell: mpsc::UnboundedSender<Stream>, mut ended: watch::Receiver<()>) {
    socket.set_nodelay(true).unwrap();
    ended.mark_unchanged();
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    loop {
        let stream = tokio::select! {
            stream = connection.accept() => stream,
            _ = ended.changed() => return,
        };
        let Some(Ok((request, respond))) = stream else { return };
        if tell.send(Stream { request, respond }).is_err() {
            return;
        }
    }
}

impl Stream {
    /// Answers with this status, and a body follows.
    pub(super) fn begin(&mut self, status: u16) -> SendStream<Bytes> {
        self.respond.send_response(response(status), false).unwrap()
    }

    /// Sends an interim answer with these fields.
    pub(super) fn interim(&mut self, status: u16, fields: &[(&'static str, &str)]) {
        let mut interim = response(status);
        for (name, value) in fields {
            interim.headers_mut().append(*name, value.parse().unwrap());
        }
        self.respond.send_informational(interim).unwrap();
    }

    /// Waits until the gateway resets the stream.
    pub(super) async fn was_reset(mut self) {
        drop(self.request);
        soon("a reset of the stream", poll_fn(|context| self.respond.poll_reset(context))).await.unwrap();
    }
}

pub(super) fn response(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

pub(super) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://h{path}")).body(()).unwrap()
}

pub(super) fn post(path: &str) -> Request<()> {
    Request::post(format!("http://h{path}")).body(()).unwrap()
}

/// The next interim answer; `None` if the final one comes first.
pub(super) async fn interim(answer: &mut ResponseFuture) -> Option<Response<()>> {
    let next = poll_fn(|context| answer.poll_informational(context));
    soon("an interim answer", next).await.map(Result::unwrap)
}

/// The next part of a body, which the sender may replace; `None` behind its end.
pub(super) async fn part(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let part = soon("a part of a body", body.data()).await;
    if let Some(Ok(part)) = &part {
        body.flow_control().release_capacity(part.len()).unwrap();
    }
    part
}

/// A body with its trailers.
pub(super) async fn whole(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(part) = part(body).await {
        bytes.extend(part.unwrap());
    }
    (bytes, soon("trailers", body.trailers()).await.unwrap())
}

/// Sends a part of a body as the receiver makes room for it. Returns whether all was taken.
pub(super) async fn send_part(body: &mut SendStream<Bytes>, mut part: Bytes) -> bool {
    while !part.is_empty() {
        body.reserve_capacity(part.len());
        // The poll is ready only when there is more room than before.
        let mut room = body.capacity();
        while room == 0 {
            match soon("room for a part", poll_fn(|context| body.poll_capacity(context))).await {
                Some(Ok(more)) => room = more,
                Some(Err(_)) | None => return false,
            }
        }
        let now = part.split_to(room.min(part.len()));
        if body.send_data(now, false).is_err() {
            return false;
        }
    }
    true
}
