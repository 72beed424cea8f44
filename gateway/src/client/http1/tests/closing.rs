//! Refusals, and the end of connections.

use super::*;
use crate::error::RequestFailure;

async fn refused(near: &mut Http1) -> Refusal {
    match near.next().await {
        Next::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_header_is_answered_and_counted() {
    for (sent, status, text) in [
        ("GET /a b HTTP/1.1\r\n", 400, "Bad request"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "Bad request"),
        ("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400, "Bad request"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n", 400, "Bad request"),
        (&format!("GET /{}", "a".repeat(200)), 414, "URI too long"),
        (&format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(6)), 431, "Request header or cookie too large"),
        (&format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(5300)), 431, "Request header or cookie too large"),
    ] {
        for size in [1, sent.len()] {
            let (mut near, mut far) = pair(16 * 1024);
            for piece in sent.as_bytes().chunks(size) {
                far.write_all(piece).await.unwrap();
            }
            let refusal = refused(&mut near).await;
            let terms = near.terms.clone();
            let reason = refusal.failure.answer().reason;
            let (_, received) = tokio::join!(near.refuse(refusal, |_| {}), read_to_end(&mut far));
            let (header, body) = received.split_once("\r\n\r\n").unwrap();
            assert!(header.starts_with(&format!("HTTP/1.1 {status} ")), "{sent}: {header}");
            for field in ["Server: gibbon/", "Date: ", "X-Kong-Response-Latency: 0", "Connection: close"] {
                assert!(header.contains(&format!("\r\n{field}")), "{field}: {header}");
            }
            assert!(header.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{header}");
            let id = header.split_once("X-Kong-Request-Id: ").unwrap().1.get(..32).unwrap();
            assert_eq!(body, format!("{text}\nrequest_id: {id}\n"));
            assert_eq!(terms.metrics.errors.with_label_values(&[reason]).get(), 1);
            assert_eq!(terms.metrics.requests.total(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_request_gets_no_body() {
    let (mut near, mut far) = pair(4096);
    far.write_all(b"HEAD / HTTP/1.1\r\n\r\n").await.unwrap();
    let refusal = refused(&mut near).await;
    assert_eq!(refusal.failure, RequestFailure::BadRequest);
    let (_, received) = tokio::join!(near.refuse(refusal, |_| {}), read_to_end(&mut far));
    assert!(received.ends_with("\r\n\r\n"), "{received}");
    assert!(!received.contains("Content-Length: 0"), "{received}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_to_half_a_header() {
    let (mut near, mut far) = pair(4096);
    far.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    far.shutdown().await.unwrap();
    expect_end(&mut near).await;
    near.end().await;
    assert_eq!(read_to_end(&mut far).await, "");
}

/// The client sends all of its body before it reads.
#[tokio::test(start_paused = true)]
async fn a_client_that_still_sends_gets_the_answer() {
    let (mut near, mut far) = with_request(POST).await;
    assert!(!near.keeps_alive());
    answer(&mut near, "no");
    let send = async {
        far.write_all(&vec![0; 1_000_000]).await.unwrap();
        read_answer(&mut far, 2).await
    };
    let (kept, answer) = tokio::join!(near.finish(), send);
    assert_eq!((kept, answer.as_str()), (false, "no"));

    let (mut near, mut far) = pair(4096);
    far.write_all(b"GET / HTTP/9.9\r\n\r\n").await.unwrap();
    let refusal = refused(&mut near).await;
    let send = async {
        far.write_all(&[0; 60_000]).await.unwrap();
        read_to_end(&mut far).await
    };
    let (_, received) = tokio::join!(near.refuse(refusal, |_| {}), send);
    assert!(received.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{received}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_for_ever_is_left() {
    for unread_body in [false, true] {
        let (mut near, mut far) = pair(4096);
        far.write_all(if unread_body { POST } else { b"GET\r\n" }).await.unwrap();
        let begun = Instant::now();
        let close = async {
            match near.next().await {
                Next::Request(_) => {
                    answer(&mut near, "no");
                    assert!(!near.finish().await);
                    drop(near);
                }
                Next::Refused(refusal) => near.refuse(refusal, |_| {}).await,
                Next::Ended => panic!("it has not ended"),
            }
            begun.elapsed()
        };
        let send = async {
            while far.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SECOND / 10).await;
            }
        };
        let (took, ()) = tokio::join!(close, send);
        assert_eq!(took, if unread_body { 5 * SECOND } else { SECOND });
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_client_that_sends_more_is_waited_for() {
    for (more, waited) in [(&b""[..], Duration::ZERO), (GET, SECOND)] {
        let (mut near, mut far) = with_request(GET).await;
        near.close();
        answer(&mut near, "last");
        far.write_all(more).await.unwrap();
        let begun = Instant::now();
        assert!(!near.finish().await);
        assert_eq!(begun.elapsed(), waited);
        assert_eq!(read_answer(&mut far, 4).await, "last");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_complete_is_not_ended() {
    let (mut near, mut far) = with_request(GET).await;
    near.head().extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    near.begin_write(Framing::Chunked);
    near.queue(Bytes::from_static(b"begin"));
    flush(&mut near).await.unwrap();
    assert!(!near.finish().await);
    drop(near);
    assert!(read_to_end(&mut far).await.ends_with("5\r\nbegin\r\n"));

    let (mut near, mut far) = with_request(GET).await;
    near.head().extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    near.begin_write(Framing::Length(5));
    near.queue(Bytes::from_static(b"hell"));
    near.queue_end(None);
    assert!(!near.finish().await);
    drop(near);
    far.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_only_where_it_may_be() {
    let no_keepalive = || {
        let mut terms = terms();
        terms.limits.keepalive_timeout = Duration::ZERO;
        terms
    };
    let draining = || {
        let terms = terms();
        terms.draining.begin();
        terms
    };
    let close = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let old = b"GET / HTTP/1.0\r\nHost: h\r\n\r\n";
    for (terms, request, kept) in [
        (terms(), GET, true),
        (terms(), close, false),
        (terms(), old, false),
        (terms(), POST, false),
        (no_keepalive(), GET, false),
        (draining(), GET, false),
    ] {
        let (mut near, mut far) = pair_with(4096, terms);
        far.write_all(request).await.unwrap();
        expect_request(&mut near).await;
        assert_eq!(near.keeps_alive(), kept, "{}", request.escape_ascii());
        answer(&mut near, "ok");
        let read = async {
            read_answer(&mut far, 2).await;
            if !kept {
                assert_eq!(read_to_end(&mut far).await, "");
                drop(far);
            }
        };
        assert_eq!(tokio::join!(near.finish(), read).0, kept);
    }
    let (mut near, _far) = with_request(GET).await;
    near.begin_write(Framing::Close);
    assert!(!near.keeps_alive());
    let (mut near, _far) = with_request(GET).await;
    near.close();
    assert!(!near.keeps_alive());
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_a_last_request() {
    let (mut near, mut far) = pair(4096);
    for request in 1..=MOST_REQUESTS {
        far.write_all(GET).await.unwrap();
        expect_request(&mut near).await;
        assert_eq!(near.keeps_alive(), request < MOST_REQUESTS, "{request}");
        answer(&mut near, "ok");
        if request < MOST_REQUESTS {
            assert!(near.finish().await);
            read_answer(&mut far, 2).await;
        }
    }
}
