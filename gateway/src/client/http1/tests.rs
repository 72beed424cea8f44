//! Connections over a stream in memory, with a clock of their own.

mod closing;
mod deadlines;
mod requests;

use std::time::Duration;

use prometheus::{IntCounter, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::client::{HeaderLimits, PaceTerms};
use crate::metrics::Metrics;

const HEADER_TIME: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";

fn terms() -> Terms {
    let header = HeaderLimits { time: HEADER_TIME, target_bytes: 100, bytes: 1000, fields: 5 };
    let pace = PaceTerms { body_timeout: BODY_TIMEOUT, min_rate: 100 };
    Terms {
        limits: ClientLimits { header, pace, keepalive_timeout: KEEPALIVE_TIMEOUT },
        draining: Draining::new(),
        missed: IntCounter::new("m", "m").unwrap(),
        metrics: Metrics::new(&Registry::new()).unwrap().http,
    }
}

/// A connection with a buffer of `size` bytes, and its client's end.
fn pair(size: usize) -> (Box<Http1>, DuplexStream) {
    pair_with(size, terms())
}

fn pair_with(size: usize, terms: Terms) -> (Box<Http1>, DuplexStream) {
    let (near, far) = duplex(size);
    let near = Http1::new(Box::new(near), BytesMut::new(), Instant::now(), Arc::new(terms));
    (Box::new(near), far)
}

/// A connection with a request that has been read.
async fn with_request(request: &[u8]) -> (Box<Http1>, DuplexStream) {
    let (mut near, mut far) = pair(4096);
    far.write_all(request).await.unwrap();
    expect_request(&mut near).await;
    (near, far)
}

async fn expect_request(near: &mut Http1) -> Request {
    match near.next().await {
        Next::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

async fn expect_end(near: &mut Http1) {
    let next = near.next().await;
    assert!(matches!(next, Next::Ended), "{next:?}");
}

async fn body(near: &mut Http1) -> Result<Vec<u8>, ClientFailure> {
    let mut all = Vec::new();
    while let Some(part) = poll_fn(|context| near.poll_body(context)).await? {
        all.extend_from_slice(&part);
    }
    Ok(all)
}

async fn flush(near: &mut Http1) -> Result<(), ClientFailure> {
    poll_fn(|context| near.poll_flush(context)).await
}

/// Queues an answer with `text` as its body.
fn answer(near: &mut Http1, text: &str) {
    let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
    near.head().extend_from_slice(header.as_bytes());
    near.begin_write(Framing::Length(text.len() as u64));
    near.queue(Bytes::copy_from_slice(text.as_bytes()));
    near.queue_end(None);
}

/// Reads an answer with a body of `length` bytes.
async fn read_answer(far: &mut DuplexStream, length: usize) -> String {
    let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let mut all = vec![0; header.len() + length];
    far.read_exact(&mut all).await.unwrap();
    let all = String::from_utf8(all).unwrap();
    all.strip_prefix(&header).expect("the header of an answer").to_owned()
}

async fn read_to_end(far: &mut DuplexStream) -> String {
    let mut all = String::new();
    far.read_to_string(&mut all).await.unwrap();
    all
}
