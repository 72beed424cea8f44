//! A WebSocket server that echoes messages and records what it saw, and a client that plays a case to it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use testkit::http::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

use super::frames::Case;

const TIMEOUT: Duration = Duration::from_secs(20);

/// The server. Ends when it is dropped.
pub(super) struct Echo {
    pub(super) address: SocketAddr,
    /// The records of one connection after the other.
    seen: Mutex<UnboundedReceiver<Vec<String>>>,
    _tasks: JoinSet<()>,
}

/// The result of a case.
#[derive(Debug, PartialEq)]
pub(super) struct Fate {
    /// The server's record.
    seen: Vec<String>,
    answered: Answered,
    /// Whether the client saw an end, and not a reset.
    ended: bool,
}

/// The bytes that came back.
#[derive(PartialEq)]
struct Answered(Bytes);

impl Echo {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &tell).await;
            }
        });
        Self { address, seen: Mutex::new(seen), _tasks: tasks }
    }

    /// Plays `case` to the listener at `address`, which leads to this server.
    pub(super) async fn play(&self, address: SocketAddr, case: &Case) -> Fate {
        let played = timeout(TIMEOUT, play(address, case)).await;
        let (answered, ended) = played.unwrap_or_else(|_| panic!("{}: no end in time", case.name));
        let seen = timeout(TIMEOUT, async { self.seen.lock().await.recv().await }).await;
        let seen = seen.unwrap_or_else(|_| panic!("{}: the server sees no end", case.name)).unwrap();
        Fate { seen, answered: Answered(answered), ended }
    }
}

impl Fate {
    /// Whether the server has echoed this number of messages and ended with a close frame of this code.
    pub(super) fn is(&self, (messages, code): (usize, Option<u16>)) -> bool {
        let frames = self.answered.frames();
        let echoed = frames.iter().filter(|(opcode, _)| matches!(opcode, 1 | 2)).count();
        let closed = frames
            .last()
            .filter(|(opcode, _)| *opcode == 8)
            .and_then(|(_, payload)| Some(u16::from_be_bytes(payload.get(..2)?.try_into().ok()?)));
        (echoed, closed) == (messages, code)
    }
}

impl Answered {
    /// Opcode and payload of each frame; a server's have no mask.
    fn frames(&self) -> Vec<(u8, Bytes)> {
        let (mut rest, mut frames) = (self.0.clone(), Vec::new());
        while !rest.is_empty() {
            let first = rest[0];
            let (header, length) = match rest[1] {
                126 => (4, u64::from(u16::from_be_bytes([rest[2], rest[3]]))),
                127 => (10, u64::from_be_bytes(rest[2..10].try_into().unwrap())),
                length => (2, u64::from(length)),
            };
            let mut frame = rest.split_to(header + usize::try_from(length).unwrap());
            frames.push((first & 15, frame.split_off(header)));
        }
        frames
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = self.0.get(..self.0.len().min(40)).unwrap_or_default();
        write!(f, "{} bytes, {}", self.0.len(), begin.escape_ascii())
    }
}

/// Upgrades, writes the pieces, and reads to the end.
async fn play(address: SocketAddr, case: &Case) -> (Bytes, bool) {
    let mut connection = upgraded(address).await;
    for piece in &case.pieces {
        connection.write(piece).await.unwrap();
    }
    if case.half_close {
        connection.stream().shutdown().await.unwrap();
    }
    match connection.read_to_end().await {
        Ok(bytes) => (bytes, true),
        Err(_) => (Bytes::new(), false),
    }
}

/// A connection that has become a tunnel.
pub(super) async fn upgraded(address: SocketAddr) -> Connection {
    let mut connection = Connection::open(address).await.unwrap();
    let upgrade = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    connection.write(upgrade.as_bytes()).await.unwrap();
    let response = connection.read_response(false).await.unwrap().expect(101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    connection
}

async fn serve(stream: TcpStream, tell: &UnboundedSender<Vec<String>>) {
    let mut socket = accept_async(stream).await.unwrap();
    let mut seen = Vec::new();
    while let Some(message) = socket.next().await {
        match message {
            Ok(message) => {
                seen.push(account(&message));
                if (message.is_text() || message.is_binary())
                    && let Err(error) = socket.send(message).await
                {
                    seen.push(format!("it cannot be echoed: {error}"));
                    break;
                }
            }
            Err(error) => {
                seen.push(error.to_string());
                if let Some(code) = refusal(&error) {
                    socket.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await.ok();
                }
                break;
            }
        }
    }
    // If a server closed with unread bytes, that would reset the connection and lose its last frames.
    let mut stream = socket.into_inner();
    stream.shutdown().await.ok();
    let rest = async { while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} };
    timeout(TIMEOUT, rest).await.ok();
    // The test has failed, and no longer listens.
    tell.send(seen).ok();
}

fn account(message: &Message) -> String {
    let kind = match message {
        Message::Text(_) => "text",
        Message::Binary(_) => "binary",
        Message::Ping(_) => "ping",
        Message::Pong(_) => "pong",
        Message::Close(frame) => return format!("close, {frame:?}"),
        Message::Frame(_) => "frame",
    };
    let data = message.clone().into_data();
    let begin = data.get(..data.len().min(40)).unwrap_or_default();
    format!("{kind} of {} bytes, {}", data.len(), begin.escape_ascii())
}

/// The code of the refusal; `None` when the client could not receive it.
fn refusal(error: &Error) -> Option<u16> {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => None,
        Error::Utf8(_) => Some(1007),
        Error::Capacity(_) => Some(1009),
        _ => Some(1002),
    }
}
