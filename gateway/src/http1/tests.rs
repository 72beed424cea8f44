//! Bodies over a stream in memory.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

fn pair(size: usize) -> (Connection<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(size);
    (Connection::new(near, BytesMut::new()), far)
}

async fn read_all(connection: &mut Connection<DuplexStream>) -> Result<Vec<u8>, BodyError> {
    let mut all = Vec::new();
    while let Some(part) = poll_fn(|context| connection.poll_body(context)).await? {
        all.extend_from_slice(&part);
    }
    Ok(all)
}

async fn flush(connection: &mut Connection<DuplexStream>) {
    poll_fn(|context| connection.poll_flush(context)).await.unwrap();
}

#[tokio::test]
async fn a_body_ends_where_its_framing_says() {
    for (framing, sent, body, left) in [
        (Framing::Empty, "next", "", "next"),
        (Framing::Length(5), "hellonext", "hello", "next"),
        (Framing::Chunked, "5\r\nhello\r\n0\r\n\r\nnext", "hello", "next"),
        (Framing::Close, "hello", "hello", ""),
    ] {
        let (mut near, mut far) = pair(1024);
        far.write_all(sent.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        near.begin_read(framing);
        assert_eq!(read_all(&mut near).await.unwrap(), body.as_bytes(), "{framing:?}");
        poll_fn(|context| near.poll_end(context)).await.unwrap();
        assert_eq!(near.buffered(), left.as_bytes(), "{framing:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_whole() {
    for (framing, sent) in [(Framing::Length(5), "hell"), (Framing::Chunked, "5\r\nhello\r\n0\r\n")] {
        let (mut near, mut far) = pair(1024);
        far.write_all(sent.as_bytes()).await.unwrap();
        drop(far);
        near.begin_read(framing);
        assert!(matches!(read_all(&mut near).await, Err(BodyError::Broken)), "{framing:?}");
    }
}

#[tokio::test]
async fn parts_of_every_size_arrive_in_order() {
    for (framing, size) in [(Framing::Close, 7), (Framing::Chunked, 7), (Framing::Chunked, 9000)] {
        let (mut near, far) = pair(size);
        let mut reader = tokio::task::JoinSet::new();
        reader.spawn(async move {
            let mut connection = Connection::new(far, BytesMut::new());
            connection.begin_read(framing);
            read_all(&mut connection).await.unwrap()
        });
        near.begin_write(framing);
        let mut all = Vec::new();
        for length in [1, 5000, 3, 4096, 4097, 70_000, 2] {
            let part: Bytes = (0..length).map(|at| (at % 251) as u8).collect();
            all.extend_from_slice(&part);
            near.queue(part.clone());
            // Two parts at once, too.
            all.extend_from_slice(&part);
            near.queue(part);
            flush(&mut near).await;
        }
        near.queue_end(None).unwrap();
        flush(&mut near).await;
        assert_eq!(reader.join_next().await.unwrap().unwrap(), all, "{framing:?} {size}");
    }
}

#[tokio::test]
async fn a_header_and_a_small_body_are_one_write() {
    let (mut near, mut far) = pair(1024);
    near.head().extend_from_slice(b"head\r\n\r\n");
    near.begin_write(Framing::Length(4));
    near.queue(Bytes::from_static(b"body"));
    near.queue_end(None).unwrap();
    flush(&mut near).await;
    let mut came = [0; 64];
    assert_eq!(far.read(&mut came).await.unwrap(), 12);
}

#[tokio::test]
async fn a_wrong_length_is_noticed() {
    for length in [3, 5] {
        let (mut near, _far) = pair(1024);
        near.begin_write(Framing::Length(length));
        near.queue(Bytes::from_static(b"body"));
        assert_eq!(near.queue_end(None), Err(WrongLength));
    }
    let (mut near, _far) = pair(1024);
    near.begin_write(Framing::Empty);
    near.queue(Bytes::from_static(b"body"));
    assert_eq!(near.queue_end(None), Err(WrongLength));
}

#[tokio::test]
async fn released_buffers_hold_nothing() {
    let (mut near, mut far) = pair(1024);
    far.write_all(b"abc").await.unwrap();
    poll_fn(|context| near.poll_fill(context)).await.unwrap();
    assert_eq!(&near.take_head(3)[..], b"abc");
    near.head().extend_from_slice(b"abc");
    flush(&mut near).await;
    near.release_buffers();
    assert_eq!((near.input.capacity(), near.head().capacity()), (0, 0));
}
