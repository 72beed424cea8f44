//! Bodies of any length pass at flat memory, measured on the real program. `GIBBON_TEST_BODY_MB` sets their
//! length; figures are taken with 1024.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::http2::{self, Client};
use super::raw::{Peer, Upstream};
use super::{Program, noise, number};

/// The most that the program may grow by.
const GROWTH: u64 = 8 << 20;
/// Bytes of one write.
const PIECE: usize = 256 << 10;
/// The deadline of a transfer, for 1 GiB in a build without optimisation.
const TRANSFER: Duration = Duration::from_secs(300);

fn length() -> usize {
    number("GIBBON_TEST_BODY_MB", 256) << 20
}

/// The program and its upstream, after an exchange: what is allocated once does not count.
async fn warm() -> (Program, Upstream) {
    let upstream = Upstream::start().await;
    let program = Program::start(upstream.address, &[]).await;
    let mut client = Peer::connect(program.address()).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {PIECE}\r\n\r\n")).await;
    let (mut peer, _) = upstream.accept_request().await;
    client.send(noise(PIECE)).await;
    peer.exact(PIECE).await;
    peer.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {PIECE}\r\n\r\n")).await;
    peer.send(noise(PIECE)).await;
    client.status(200).await;
    client.exact(PIECE).await;
    (program, upstream)
}

/// Runs a transfer, prints its figures, and checks the growth.
async fn measure(program: &Program, what: &str, transfer: impl Future<Output = ()>) {
    program.forget_peak();
    let (before, started) = (program.peak(), Instant::now());
    timeout(TRANSFER, transfer).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    let grown = program.peak().saturating_sub(before);
    eprintln!("{what} of {} bytes: {grown} bytes more at most, in {:?}", length(), started.elapsed());
    assert!(grown <= GROWTH, "{what}: grown by {grown} bytes");
}

async fn write(peer: &mut Peer, length: usize) {
    let piece = noise(PIECE);
    for _ in 0..length / PIECE {
        peer.stream().write_all(&piece).await.unwrap();
    }
}

async fn read(peer: &mut Peer, length: usize) {
    let mut left = length;
    while left > 0 {
        left -= peer.some().await.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_bodies_pass_at_flat_memory() {
    let ((program, upstream), length) = (warm().await, length());
    let mut client = Peer::connect(program.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    client.status(200).await;
    let download = async {
        tokio::join!(write(&mut peer, length), read(&mut client, length));
    };
    measure(&program, "a response over HTTP/1.1", download).await;

    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")).await;
    peer.head().await;
    let upload = async {
        tokio::join!(write(&mut client, length), read(&mut peer, length));
    };
    measure(&program, "an upload over HTTP/1.1", upload).await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_bodies_pass_at_flat_memory() {
    let ((program, upstream), length) = (warm().await, length());
    let mut client = Client::connect(program.address()).await;
    let (answer, _) = client.send(http2::get("/"), true).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    let mut body = super::raw::soon("an answer", answer).await.unwrap().into_body();
    let read_body = async {
        let mut left = length;
        while left > 0 {
            left -= http2::part(&mut body).await.unwrap().unwrap().len();
        }
    };
    let download = async {
        tokio::join!(write(&mut peer, length), read_body);
    };
    measure(&program, "a response over HTTP/2", download).await;

    let mut request = http2::post("/");
    request.headers_mut().insert("content-length", length.into());
    let (_answer, mut body) = client.send(request, false).await;
    peer.head().await;
    let write_body = async {
        let piece = noise(PIECE);
        for _ in 0..length / PIECE {
            assert!(http2::send_part(&mut body, piece.clone()).await);
        }
        body.send_data(Bytes::new(), true).unwrap();
    };
    let upload = async {
        tokio::join!(write_body, read(&mut peer, length));
    };
    measure(&program, "an upload over HTTP/2", upload).await;
}

/// Neither side takes a byte: what is sent waits at the sender, not in the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_nobody_reads_do_not_gather() {
    let (program, upstream) = warm().await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000000\r\n\r\n";
    let mut client = Peer::connect(program.address()).await;
    client.send(head).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n").await;
    let both = async {
        tokio::join!(fill(&mut client), fill(&mut peer));
    };
    measure(&program, "no reader, both ways", both).await;
}

/// Writes until no byte is accepted for a while.
async fn fill(peer: &mut Peer) {
    let piece = noise(PIECE);
    while timeout(Duration::from_millis(500), peer.stream().write(&piece)).await.is_ok() {}
}
