//! What is too slow.

use tokio::time::sleep;

use super::*;

/// Bytes that come within three days.
const BYTES: u32 = 3 * 24 * 3600 / 50;

#[tokio::test(start_paused = true)]
async fn the_first_header_has_its_time_from_the_beginning() {
    let (mut near, _far) = pair(4096);
    let begun = Instant::now();
    expect_end(&mut near).await;
    assert_eq!((begun.elapsed(), near.terms.missed.get()), (HEADER_TIME, 1));
}

#[tokio::test(start_paused = true)]
async fn a_header_that_drips_has_its_time_from_its_first_byte() {
    let (mut near, mut far) = with_request(GET).await;
    answer(&mut near, "ok");
    assert!(near.finish().await);
    let begun = Instant::now();
    let drip = async {
        sleep(20 * SECOND).await;
        for byte in GET {
            far.write_all(&[*byte]).await.ok();
            sleep(SECOND).await;
        }
    };
    let read = async {
        expect_end(&mut near).await;
        begun.elapsed()
    };
    let (took, ()) = tokio::join!(read, drip);
    assert_eq!((took, near.terms.missed.get()), (20 * SECOND + HEADER_TIME, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends() {
    let (mut near, _far) = with_request(GET).await;
    answer(&mut near, "ok");
    assert!(near.finish().await);
    let begun = Instant::now();
    expect_end(&mut near).await;
    assert_eq!((begun.elapsed(), near.terms.missed.get()), (KEEPALIVE_TIMEOUT, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_times_out() {
    let (mut near, mut far) = with_request(POST).await;
    // The gateway may take its time.
    sleep(BODY_TIMEOUT * 2).await;
    let begun = Instant::now();
    let send = async {
        sleep(50 * SECOND).await;
        far.write_all(&[0; 4000]).await.unwrap();
    };
    let (failed, ()) = tokio::join!(body(&mut near), send);
    assert_eq!(failed, Err(ClientFailure::TimedOut));
    assert_eq!(begun.elapsed(), 50 * SECOND + BODY_TIMEOUT);
    assert!(!near.keeps_alive());
}

#[tokio::test(start_paused = true)]
async fn a_dripping_body_times_out_unless_it_may_drip() {
    for any_rate in [false, true] {
        let (mut near, mut far) = with_request(POST).await;
        if any_rate {
            near.allow_any_rate();
        }
        let drip = async {
            for _ in 0..10 {
                sleep(50 * SECOND).await;
                far.write_all(b"x").await.unwrap();
            }
            drop(far);
        };
        let (failed, ()) = tokio::join!(body(&mut near), drip);
        assert_eq!(failed, Err(if any_rate { ClientFailure::Gone } else { ClientFailure::TimedOut }));
    }
}

/// Chunks are no excuse: their lines are no part of the body.
#[tokio::test(start_paused = true)]
async fn a_dripping_line_of_a_chunk_times_out() {
    let header = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;";
    let (mut near, mut far) = with_request(header).await;
    let begun = Instant::now();
    let drip = async {
        loop {
            sleep(SECOND).await;
            far.write_all(b"x").await.unwrap();
        }
    };
    tokio::select! {
        failed = body(&mut near) => assert_eq!(failed, Err(ClientFailure::TimedOut)),
        () = drip => {}
    }
    assert_eq!(begun.elapsed(), BODY_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_gone() {
    let (mut near, mut far) = with_request(GET).await;
    near.begin_write(Framing::Length(1 << 20));
    near.queue(vec![0; 1 << 20].into());
    let begun = Instant::now();
    let read = async {
        // Each byte that it takes gives it more time.
        for _ in 0..3 {
            sleep(50 * SECOND).await;
            far.read_u8().await.unwrap();
        }
    };
    let (gone, ()) = tokio::join!(flush(&mut near), read);
    assert_eq!(gone, Err(ClientFailure::Gone));
    assert_eq!(begun.elapsed(), 150 * SECOND + BODY_TIMEOUT);
}

/// Each byte costs a turn that takes it, one that waits, one of the timer, and one of this test's own clock.
#[tokio::test(start_paused = true)]
async fn days_of_waiting_cost_few_turns() {
    let (mut near, mut far) = with_request(POST).await;
    near.allow_any_rate();
    let mut turns = 0;
    let drip = async {
        for _ in 0..BYTES {
            sleep(50 * SECOND).await;
            far.write_all(b"x").await.unwrap();
        }
    };
    let read = async {
        for _ in 0..BYTES {
            poll_fn(|context| {
                turns += 1;
                near.poll_body(context)
            })
            .await
            .unwrap();
        }
    };
    tokio::join!(read, drip);
    assert!(turns <= 4 * BYTES, "{turns} turns for {BYTES} bytes");

    let (mut near, far) = with_request(GET).await;
    let mut turns = 0;
    let leave = async {
        sleep(3 * 24 * 3600 * SECOND).await;
        drop(far);
    };
    let wait = poll_fn(|context| {
        turns += 1;
        near.poll_gone(context)
    });
    tokio::join!(wait, leave);
    assert!(turns <= 4, "{turns} turns: no deadline holds while the answer is awaited");
}
