//! A raw connection on either side of the gateway. Tests decide on each byte and on its turn, so nothing here
//! is read or written ahead, and each wait has a deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// The deadline of one step, on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Waits for one step.
#[track_caller]
pub(super) fn soon<F: Future>(what: &str, step: F) -> impl Future<Output = F::Output> {
    let at = std::panic::Location::caller();
    async move {
        let done = timeout(SOON, step).await;
        done.unwrap_or_else(|_| panic!("{at}: not in time: {what}"))
    }
}

/// An upstream whose connections are driven by the test. It never accepts by itself.
pub(super) struct Upstream {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

/// One end of a connection, or its reading half.
#[derive(Debug)]
pub(super) struct Peer<S = TcpStream> {
    stream: S,
    buffer: BytesMut,
}

/// A header section: its start line and its fields, without the empty line.
pub(super) struct Head(Bytes);

/// What came before the end of a connection, and whether the end was a clean one.
#[derive(Debug, PartialEq)]
pub(super) struct Rest {
    pub(super) bytes: Bytes,
    pub(super) clean: bool,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { address: listener.local_addr().unwrap(), listener }
    }

    /// The next connection of the gateway.
    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = soon("a connection to the upstream", self.listener.accept()).await.unwrap();
        Peer::of(stream)
    }

    /// The next connection and the header of its first request.
    pub(super) async fn accept_request(&self) -> (Peer, Head) {
        let mut peer = self.accept().await;
        let head = peer.head().await;
        (peer, head)
    }

    /// Whether a connection waits to be accepted.
    pub(super) async fn has_waiting(&self) -> bool {
        timeout(Duration::from_millis(50), self.listener.accept()).await.is_ok()
    }
}

impl Peer {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.unwrap())
    }

    pub(super) fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: BytesMut::new() }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends these bytes.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("a write", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Ends the direction away from here.
    pub(super) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Closes with a reset.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// The reading half, with what was read ahead, and the writing half.
    pub(super) fn split(self) -> (Peer<OwnedReadHalf>, OwnedWriteHalf) {
        let (stream, writer) = self.stream.into_split();
        (Peer { stream, buffer: self.buffer }, writer)
    }
}

impl<S: AsyncRead + Unpin> Peer<S> {
    /// Reads a header section.
    pub(super) async fn head(&mut self) -> Head {
        let head = soon("a header", self.until(b"\r\n\r\n")).await;
        Head(head)
    }

    /// Reads a header section. Returns whether there was one before the end, which may take its time.
    pub(super) async fn try_head(&mut self) -> bool {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                self.buffer.advance(at + 4);
                return true;
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return false;
            }
        }
    }

    /// Reads a header section of this status.
    pub(super) async fn status(&mut self, status: u16) -> Head {
        let head = self.head().await;
        assert_eq!(head.status(), status, "{}", head.text());
        head
    }

    /// Reads this many bytes.
    pub(super) async fn exact(&mut self, length: usize) -> Bytes {
        let read = async {
            while self.buffer.len() < length {
                self.fill().await;
            }
        };
        soon("bytes", read).await;
        self.buffer.split_to(length).freeze()
    }

    /// Reads what is there, at least one byte.
    pub(super) async fn some(&mut self) -> Bytes {
        if self.buffer.is_empty() {
            soon("bytes", self.fill()).await;
        }
        self.buffer.split().freeze()
    }

    /// Reads one chunk; an empty one is the last, and its trailers follow.
    pub(super) async fn chunk(&mut self) -> Bytes {
        let line = soon("the size of a chunk", self.until(b"\r\n")).await;
        let size = std::str::from_utf8(&line).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("not a chunk: {size}"));
        if size == 0 {
            return Bytes::new();
        }
        let chunk = self.exact(size).await;
        assert_eq!(self.exact(2).await, "\r\n");
        chunk
    }

    /// Reads a chunked body; returns it and its trailers.
    pub(super) async fn chunked(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                return (body, self.trailers().await);
            }
            body.extend(chunk);
        }
    }

    async fn trailers(&mut self) -> Vec<String> {
        let mut trailers = Vec::new();
        loop {
            let line = soon("trailers", self.until(b"\r\n")).await;
            if line.is_empty() {
                return trailers;
            }
            trailers.push(String::from_utf8(line.into()).unwrap());
        }
    }

    /// Reads up to the end.
    pub(super) async fn rest(&mut self) -> Rest {
        let read = async {
            loop {
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        let clean = soon("the end", read).await;
        Rest { bytes: self.buffer.split().freeze(), clean }
    }

    /// Waits until the other side has closed, in any way, and reads what came before.
    pub(super) async fn closed(&mut self) -> Bytes {
        self.rest().await.bytes
    }

    async fn until(&mut self, end: &[u8]) -> Bytes {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let before = self.buffer.split_to(at).freeze();
                self.buffer.advance(end.len());
                return before;
            }
            self.fill().await;
        }
    }

    async fn fill(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await;
        let so_far = self.buffer.escape_ascii();
        assert!(matches!(read, Ok(1..)), "the connection ended ({read:?}) after: {so_far}");
    }
}

impl Head {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The status of a response.
    pub(super) fn status(&self) -> u16 {
        let text = self.text();
        let status = text.split(' ').nth(1).and_then(|status| status.get(..3)?.parse().ok());
        status.unwrap_or_else(|| panic!("not a response: {text}"))
    }

    /// The values of the fields of this name.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let fields = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// The value of the only field of this name.
    #[track_caller]
    pub(super) fn value(&self, name: &str) -> String {
        let values = self.values(name);
        let [value] = &values[..] else { panic!("{} of {name}: {}", values.len(), self.text()) };
        value.clone()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}
