//! An origin that records each request as a strict reader frames it, and answers 200.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Precedes a framing that two readers may read differently.
const UNCLEAR: &str = "UNCLEAR";

pub(super) struct Recorder {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, mut tasks) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        let noted = requests.clone();
        tasks.spawn(async move {
            let (listener, mut connections) = (TcpListener::from_std(listener).unwrap(), JoinSet::new());
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(record(stream, noted.clone()));
            }
        });
        Self { address, requests, _tasks: tasks }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes the records since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

async fn record(mut stream: TcpStream, requests: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            read_more(&mut stream, &mut buffer).await?;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let (framing, body) = read_body(&mut stream, &mut buffer, &head).await?;
        requests.lock().unwrap().push(describe(&head, &framing, &body));
        if framing.starts_with(UNCLEAR) {
            return None;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.ok()?;
    }
}

/// The parts in which proxies must not differ.
fn describe(head: &str, framing: &str, body: &str) -> String {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (host, test) = (values(head, "host"), values(head, "x-test"));
    format!("{method} {target} host={host} test={test} {framing} {body:?}")
}

async fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &str) -> Option<(String, String)> {
    let (length, coding) = (values(head, "content-length"), values(head, "transfer-encoding"));
    match (length.as_str(), coding.as_str()) {
        ("-", "-") => Some(("no body".to_owned(), String::new())),
        ("-", coding) if coding.eq_ignore_ascii_case("chunked") => {
            let end = loop {
                if let Some(at) = buffer.windows(5).position(|bytes| bytes == b"0\r\n\r\n") {
                    break at + 5;
                }
                read_more(stream, buffer).await?;
            };
            Some(("chunked".to_owned(), chunks(&buffer.drain(..end).collect::<Vec<_>>())))
        }
        (length, "-") => {
            let Ok(wanted) = length.parse::<usize>() else {
                return Some((format!("{UNCLEAR} length {length}"), String::new()));
            };
            while buffer.len() < wanted {
                read_more(stream, buffer).await?;
            }
            let body = String::from_utf8_lossy(&buffer.drain(..wanted).collect::<Vec<_>>()).into_owned();
            Some((format!("length {length}"), body))
        }
        _ => Some((format!("{UNCLEAR} length {length}, coding {coding}"), String::new())),
    }
}

/// All chunks joined. Those of the test contain no line breaks.
fn chunks(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split("\r\n").skip(1).step_by(2).collect()
}

/// The values of the fields with this name; `-`: there are none.
fn values(head: &str, name: &str) -> String {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let values: Vec<_> = fields
        .filter(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect();
    if values.is_empty() { "-".to_owned() } else { values.join(" and ") }
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}
