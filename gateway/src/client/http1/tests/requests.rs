//! Requests and answers that are as they should be.

use super::*;

/// Requests one behind the other, each with its target and body.
const REQUESTS: [(&str, &str, &str); 6] = [
    ("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n", "/1", ""),
    ("\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "/2", "hello"),
    ("POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n", "/3", "GET "),
    ("\nHEAD http://h/4 HTTP/1.1\r\nHost: h\r\n\r\n", "/4", ""),
    ("GET /5 HTTP/1.0\nConnection: keep-alive\n\n", "/5", ""),
    ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "*", ""),
];

/// Writes `sent` in pieces of `size` bytes.
async fn write_in_pieces(far: &mut DuplexStream, sent: &[u8], size: usize) {
    for piece in sent.chunks(size) {
        far.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_in_pieces_of_every_size_are_answered_in_order() {
    let sent: String = REQUESTS.iter().map(|(sent, ..)| *sent).collect();
    for size in 1..=sent.len() {
        let (mut near, mut far) = pair(1 << 20);
        let serve = async {
            for (_, target, expected) in REQUESTS {
                let request = expect_request(&mut near).await;
                assert_eq!(request.target, target.as_bytes(), "{size}");
                assert_eq!(body(&mut near).await.unwrap(), expected.as_bytes(), "{target} {size}");
                assert!(near.keeps_alive(), "{target}");
                answer(&mut near, target);
                assert!(near.finish().await);
            }
        };
        tokio::join!(serve, write_in_pieces(&mut far, sent.as_bytes(), size));
        for (_, target, _) in REQUESTS {
            assert_eq!(read_answer(&mut far, target.len()).await, target);
        }
    }
}

/// More than fit into any buffer, sent without a look at the answers.
#[tokio::test(start_paused = true)]
async fn any_number_of_requests_waits_for_answers() {
    const REQUESTS: usize = 9000;
    let (mut near, far) = pair(4096);
    let (mut answers, mut requests) = tokio::io::split(far);
    let serve = async {
        for _ in 0..REQUESTS {
            expect_request(&mut near).await;
            assert!(poll_fn(|context| Poll::Ready(near.poll_gone(context))).await.is_pending());
            answer(&mut near, "ok");
            assert!(near.finish().await);
        }
    };
    let send = async {
        for _ in 0..REQUESTS {
            requests.write_all(GET).await.unwrap();
        }
    };
    let read = async {
        let mut answer = [0; 40];
        for _ in 0..REQUESTS {
            answers.read_exact(&mut answer).await.unwrap();
            assert!(answer.ends_with(b"\r\n\r\nok"));
        }
    };
    tokio::join!(serve, send, read);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_is_noticed_behind_further_requests() {
    for pipelined in [&b""[..], GET, b"nonsense"] {
        let (mut near, mut far) = with_request(GET).await;
        far.write_all(pipelined).await.unwrap();
        assert!(poll_fn(|context| Poll::Ready(near.poll_gone(context))).await.is_pending());
        far.shutdown().await.unwrap();
        assert_eq!(poll_fn(|context| near.poll_gone(context)).await, ClientFailure::Gone);
        assert!(!near.keeps_alive());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_wrong_or_cut_off_fails() {
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let length = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
    for (header, sent, failure) in [
        (chunked, "x\r\n", ClientFailure::Malformed),
        (chunked, "5\r\nhello\r\n", ClientFailure::Gone),
        (length, "hell", ClientFailure::Gone),
    ] {
        let (mut near, mut far) = with_request(header.as_bytes()).await;
        far.write_all(sent.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(body(&mut near).await, Err(failure), "{sent}");
        assert!(!near.keeps_alive());
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_come_behind_the_body() {
    let sent = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n";
    let (mut near, _far) = with_request(sent.as_bytes()).await;
    assert_eq!(body(&mut near).await.unwrap(), b"a");
    assert_eq!(near.take_trailers().unwrap()["x"], "y");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_ends_one_direction_at_a_time() {
    let (mut near, mut far) = with_request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nearly").await;
    near.head().extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    near.begin_tunnel();
    near.queue(Bytes::from_static(b"to the client"));
    near.queue_end(None);
    flush(&mut near).await.unwrap();
    assert_eq!(read_to_end(&mut far).await, "HTTP/1.1 101 Switching Protocols\r\n\r\nto the client");
    let send = async {
        // No deadline holds for a tunnel.
        tokio::time::sleep(BODY_TIMEOUT * 100).await;
        far.write_all(b", and late").await.unwrap();
        far.shutdown().await.unwrap();
    };
    assert_eq!(tokio::join!(body(&mut near), send).0.unwrap(), b"early, and late");
    assert!(!near.finish().await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_holds_no_buffers() {
    let (mut near, mut far) = pair(4096);
    for _ in 0..2 {
        assert!(poll_fn(|context| Poll::Ready(near.poll_next(context))).await.is_pending());
        assert!(near.connection.buffered().is_empty());
        assert_eq!(near.head().capacity(), 0);
        far.write_all(GET).await.unwrap();
        expect_request(&mut near).await;
        answer(&mut near, "ok");
        assert!(near.finish().await);
    }
    assert!(size_of::<Http1>() <= 1024, "{}", size_of::<Http1>());
}
