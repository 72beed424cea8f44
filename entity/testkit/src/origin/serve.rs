//! The origin's side of its connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::{Answer, Body, Ending, Framing};
use super::{OriginState, Received};

const MAX_HEADERS: usize = 256;

/// Serves until the future is dropped, which drops all connections.
pub(super) async fn listen(listener: std::net::TcpListener, shared: Arc<OriginState>) {
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener fits the runtime");
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        connections.spawn(async move {
            // The other side sees an error here, and the test looks at that side.
            serve(stream, number, &shared).await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, connection: usize, shared: &OriginState) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    while let Some(received) = read_request(&mut stream, &mut buffer, connection).await? {
        let head_only = received.method == "HEAD";
        let answer = shared.receive(received);
        // A sleep of zero lasts until the timer's next tick, a millisecond.
        if !answer.delay.is_zero() {
            tokio::time::sleep(answer.delay).await;
        }
        if !respond(&mut stream, &answer, head_only).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends the answer. Returns whether the connection stays open.
async fn respond(stream: &mut TcpStream, answer: &Answer, head_only: bool) -> io::Result<bool> {
    match answer.ending {
        Ending::CloseUnanswered => return Ok(false),
        Ending::ResetUnanswered => return reset(stream),
        _ => {}
    }
    if let Body::Raw(bytes) = &answer.body {
        stream.write_all(bytes).await?;
        return Ok(false);
    }
    stream.write_all(&head(answer)).await?;
    if !head_only {
        write_body(stream, answer).await?;
    }
    match answer.ending {
        Ending::KeepAlive => Ok(true),
        Ending::ResetAfter(_) => {
            // A reset discards unsent bytes, at the sender and at the receiver.
            tokio::time::sleep(Duration::from_millis(50)).await;
            reset(stream)
        }
        Ending::Upgrade => {
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await?;
            Ok(false)
        }
        _ => Ok(false),
    }
}

fn head(answer: &Answer) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match answer.framing {
        _ if matches!(answer.status, 100..200 | 204) => {}
        Framing::Length => head += &format!("Content-Length: {}\r\n", answer.body_bytes().len()),
        Framing::Chunked => head += "Transfer-Encoding: chunked\r\n",
        Framing::UntilClose => {}
    }
    (head + "\r\n").into_bytes()
}

async fn write_body(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let body = answer.body_bytes();
    let (limit, truncated) = match answer.ending {
        Ending::CloseAfter(length) | Ending::ResetAfter(length) => (length.min(body.len()), true),
        _ => (body.len(), false),
    };
    let (piece, pause) = answer.pace.unwrap_or((body.len().max(1), Duration::ZERO));
    for piece in body[..limit].chunks(piece) {
        match answer.framing {
            Framing::Chunked => stream.write_all(&chunk(piece)).await?,
            Framing::Length | Framing::UntilClose => stream.write_all(piece).await?,
        }
        if answer.pace.is_some() {
            tokio::time::sleep(pause).await;
        }
    }
    if answer.framing == Framing::Chunked && !truncated {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// Closing with a linger of zero sends a reset instead of an end.
fn reset(stream: &TcpStream) -> io::Result<bool> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    Ok(false)
}

async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    connection: usize,
) -> io::Result<Option<Received>> {
    let (length, mut received) = loop {
        if let Some(parsed) = parse_head(buffer, connection)? {
            break parsed;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    buffer.advance(length);
    if received.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    received.body = read_body(stream, buffer, &received).await?;
    received.at = Instant::now();
    Ok(Some(received))
}

async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    received: &Received,
) -> io::Result<Vec<u8>> {
    if received.header("transfer-encoding").is_none() {
        let length = received.header("content-length").map_or(Ok(0), str::parse).map_err(invalid)?;
        return take(stream, buffer, length).await;
    }
    let mut body = Vec::new();
    loop {
        match httparse::parse_chunk_size(buffer).map_err(|_invalid| invalid("chunk size"))? {
            httparse::Status::Complete((start, length)) => {
                buffer.advance(start);
                let length = usize::try_from(length).map_err(invalid)?;
                let mut chunk = take(stream, buffer, length + 2).await?;
                chunk.truncate(length);
                if length == 0 {
                    return Ok(body);
                }
                body.append(&mut chunk);
            }
            httparse::Status::Partial => fill(stream, buffer).await?,
        }
    }
}

async fn take(stream: &mut TcpStream, buffer: &mut BytesMut, length: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        fill(stream, buffer).await?;
    }
    Ok(buffer.split_to(length).to_vec())
}

async fn fill(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn parse_head(buffer: &[u8], connection: usize) -> io::Result<Option<(usize, Received)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(buffer).map_err(invalid)? else {
        return Ok(None);
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let received = Received {
        connection,
        at: Instant::now(),
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: parsed.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect(),
        body: Vec::new(),
    };
    Ok(Some((length, received)))
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
