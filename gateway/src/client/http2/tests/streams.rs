//! One stream: both bodies, deadlines and ends.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::stage::{SETTINGS, Stage, body, flush, get, gone, post, read, reply, reset, whole_body};
use crate::client::{ClientFailure, Http2, Request};
use crate::message::Framing;

const WINDOW: u32 = 65_535;

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-end".parse().unwrap(), "yes".parse().unwrap())])
}

fn interim(status: StatusCode) -> Response<()> {
    Response::builder().status(status).header("link", "</style.css>").body(()).unwrap()
}

#[tokio::test]
async fn interim_answers_arrive_before_the_answer() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |_, mut client: Http2| async move {
        client.send_interim(interim(StatusCode::CONTINUE));
        client.send_interim(interim(StatusCode::EARLY_HINTS));
        flush(&mut client).await.unwrap();
        assert_eq!(whole_body(&mut client).await.unwrap(), b"body");
        client.send_interim(interim(StatusCode::EARLY_HINTS));
        reply(&mut client, b"text", None).await;
    };
    let mut client = stage.connect(WINDOW, serve).await;
    let (mut answer, mut sent) = client.send_request(post(), false).unwrap();
    for status in [StatusCode::CONTINUE, StatusCode::EARLY_HINTS] {
        let hint = poll_fn(|context| answer.poll_informational(context)).await.unwrap().unwrap();
        assert_eq!((hint.status(), &hint.headers()["link"]), (status, &"</style.css>".parse().unwrap()));
    }
    sent.send_data("body".into(), true).unwrap();
    let hint = poll_fn(|context| answer.poll_informational(context)).await.unwrap().unwrap();
    assert_eq!(hint.status(), StatusCode::EARLY_HINTS);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(read(answer.into_body()).await.unwrap(), b"text");
}

#[tokio::test]
async fn interim_answers_are_bounded() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |_, mut client: Http2| async move {
        for _ in 0..1000 {
            client.send_interim(interim(StatusCode::EARLY_HINTS));
        }
        reply(&mut client, b"text", None).await;
    };
    let mut client = stage.connect(WINDOW, serve).await;
    let (mut answer, _) = client.send_request(get(), true).unwrap();
    let mut hints = 0;
    while let Some(hint) = poll_fn(|context| answer.poll_informational(context)).await {
        hint.unwrap();
        hints += 1;
    }
    assert_eq!(hints, 100);
    assert_eq!(read(answer.await.unwrap().into_body()).await.unwrap(), b"text");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |request: Request, mut client: Http2| async move {
        assert_eq!(request.framing, Framing::Close);
        assert_eq!(whole_body(&mut client).await.unwrap(), b"body");
        let received = client.take_trailers();
        assert!(body(&mut client).await.unwrap().is_none(), "the end stays");
        reply(&mut client, b"text", received).await;
    };
    let mut client = stage.connect(WINDOW, serve).await;
    let (answer, mut sent) = client.send_request(post(), false).unwrap();
    sent.send_data("body".into(), false).unwrap();
    sent.send_trailers(trailers()).unwrap();
    let mut received = answer.await.unwrap().into_body();
    assert_eq!(received.data().await.unwrap().unwrap(), "text");
    assert!(!received.is_end_stream());
    assert!(received.data().await.is_none());
    assert_eq!(received.trailers().await.unwrap(), Some(trailers()));
}

#[tokio::test]
async fn the_last_frame_ends_the_stream() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |request: Request, mut client: Http2| async move {
        match &*request.target {
            b"/header" => client.send_head(Response::new(()), true),
            b"/empty" => reply(&mut client, b"", None).await,
            _ => reply(&mut client, b"text", Some(HeaderMap::new())).await,
        }
        flush(&mut client).await.unwrap();
    };
    let mut client = stage.connect(WINDOW, serve).await;
    for (target, at_once, text) in [("header", true, ""), ("empty", false, ""), ("text", false, "text")] {
        let request = http::Request::get(format!("http://h/{target}")).body(()).unwrap();
        let mut received = client.send_request(request, true).unwrap().0.await.unwrap().into_body();
        assert_eq!(received.is_end_stream(), at_once, "{target}");
        if !at_once {
            assert_eq!(received.data().await.unwrap().unwrap(), text);
            assert!(received.is_end_stream(), "{target}");
        }
    }
}

#[tokio::test]
async fn bodies_beyond_all_windows_arrive_whole() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |_, mut client: Http2| async move {
        client.send_head(Response::new(()), false);
        while let Some(part) = body(&mut client).await.unwrap() {
            client.queue(part);
            flush(&mut client).await.unwrap();
        }
        client.queue_end(None);
        flush(&mut client).await.unwrap();
    };
    let mut client = stage.connect(1000, serve).await;
    let (answer, mut sent) = client.send_request(post(), false).unwrap();
    let whole: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let send = async {
        let mut rest = Bytes::from(whole.clone());
        while !rest.is_empty() {
            sent.reserve_capacity(rest.len());
            let room = poll_fn(|context| sent.poll_capacity(context)).await.unwrap().unwrap();
            sent.send_data(rest.split_to(room), false).unwrap();
        }
        sent.send_data(Bytes::new(), true).unwrap();
    };
    let receive = async { read(answer.await.unwrap().into_body()).await.unwrap() };
    assert!(tokio::join!(send, receive).1 == whole);
}

/// Serves streams by reading their bodies. Returns how they ended.
async fn ends_of_bodies(
    stage: &mut Stage,
    free: bool,
) -> (h2::client::SendRequest<Bytes>, mpsc::UnboundedReceiver<Result<usize, ClientFailure>>) {
    let (told, ends) = mpsc::unbounded_channel();
    let client = stage.connect(WINDOW, move |_, mut client: Http2| {
        let told = told.clone();
        async move {
            if free {
                client.allow_any_rate();
            }
            let end = whole_body(&mut client).await.map(|body| body.len());
            assert_eq!(whole_body(&mut client).await.err(), end.err(), "a failure stays");
            told.send(end).unwrap();
        }
    });
    (client.await, ends)
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_times_out() {
    let mut stage = Stage::new(SETTINGS);
    let (mut client, mut ends) = ends_of_bodies(&mut stage, true).await;
    let (_answer, mut sent) = client.send_request(post(), false).unwrap();
    for _ in 0..10 {
        sent.send_data("x".into(), false).unwrap();
        sleep(Duration::from_secs(9)).await;
    }
    // Empty frames are silence, too.
    let begun = Instant::now();
    sent.send_data("x".into(), false).unwrap();
    sleep(Duration::from_secs(9)).await;
    sent.send_data("".into(), false).unwrap();
    assert_eq!(ends.recv().await, Some(Err(ClientFailure::TimedOut)));
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_times_out() {
    for (free, end) in [(false, Some(Err(ClientFailure::TimedOut))), (true, None)] {
        let mut stage = Stage::new(SETTINGS);
        let (mut client, mut ends) = ends_of_bodies(&mut stage, free).await;
        let (_answer, mut sent) = client.send_request(post(), false).unwrap();
        let begun = Instant::now();
        let drip = async {
            for _ in 0..100 {
                sent.send_data("x".into(), false).unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            ended = ends.recv() => assert_eq!(ended, end),
            () = drip => assert_eq!(end, None),
        }
        assert!(free || begun.elapsed().as_secs() <= 12);
    }
}

#[tokio::test]
async fn broken_bodies_are_told_from_ended_ones() {
    let mut stage = Stage::new(SETTINGS);
    let (mut client, mut ends) = ends_of_bodies(&mut stage, false).await;
    let long = || http::Request::post("http://h/").header("content-length", "5").body(()).unwrap();
    let (_answer, mut sent) = client.send_request(long(), false).unwrap();
    sent.send_data("abcde".into(), true).unwrap();
    assert_eq!(ends.recv().await, Some(Ok(5)));
    let (_answer, mut sent) = client.send_request(long(), false).unwrap();
    sent.send_data("abc".into(), true).unwrap();
    assert_eq!(ends.recv().await, Some(Err(ClientFailure::Malformed)));
    let (_answer, mut sent) = client.send_request(long(), false).unwrap();
    sent.send_data("abc".into(), false).unwrap();
    sent.send_reset(Reason::CANCEL);
    assert_eq!(ends.recv().await, Some(Err(ClientFailure::Gone)));
}

/// A client that opens no window holds a stream for the timeout, and the connection goes on.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_times_out() {
    let mut stage = Stage::new(SETTINGS);
    let ended = Arc::new(Mutex::new(None));
    let note = ended.clone();
    let serve = move |request: Request, mut client: Http2| {
        let note = note.clone();
        async move {
            if &*request.target == b"/none" {
                return client.send_head(Response::new(()), true);
            }
            let begun = Instant::now();
            client.send_head(Response::new(()), false);
            client.queue(Bytes::from_static(b"text"));
            client.queue_end(None);
            let failure = flush(&mut client).await;
            assert_eq!(flush(&mut client).await, failure, "a failure stays");
            *note.lock() = Some((failure, begun.elapsed().as_secs()));
        }
    };
    let mut client = stage.connect(0, serve).await;
    let received = client.send_request(get(), true).unwrap().0.await.unwrap().into_body();
    assert_eq!(reset(read(received).await), Some(Reason::INTERNAL_ERROR));
    assert_eq!(*ended.lock(), Some((Err(ClientFailure::Gone), 10)));
    let other = http::Request::get("http://h/none").body(()).unwrap();
    assert_eq!(client.send_request(other, true).unwrap().0.await.unwrap().status(), StatusCode::OK);
}

/// A client that takes a little now and then is not stuck.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_served() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |_, mut client: Http2| async move { reply(&mut client, &[b'x'; 1000], None).await };
    let mut client = stage.connect(100, serve).await;
    let mut received = client.send_request(get(), true).unwrap().0.await.unwrap().into_body();
    let mut whole = 0;
    while let Some(part) = received.data().await {
        let part = part.unwrap();
        whole += part.len();
        sleep(Duration::from_secs(9)).await;
        received.flow_control().release_capacity(part.len()).unwrap();
    }
    assert_eq!(whole, 1000);
}

#[tokio::test]
async fn the_end_of_a_client_is_noticed() {
    let (told, mut ends) = mpsc::unbounded_channel();
    let mut stage = Stage::new(SETTINGS);
    let serve = move |request: Request, mut client: Http2| {
        let told = told.clone();
        async move {
            if &*request.target == b"/answered" {
                client.send_head(Response::new(()), false);
            }
            told.send(None).unwrap();
            told.send(Some(gone(&mut client).await)).unwrap();
        }
    };
    let mut client = stage.connect(WINDOW, serve).await;
    for target in ["awaited", "answered"] {
        let request = http::Request::get(format!("http://h/{target}")).body(()).unwrap();
        let (_answer, mut sent) = client.send_request(request, true).unwrap();
        assert_eq!(ends.recv().await, Some(None));
        sent.send_reset(Reason::CANCEL);
        assert_eq!(ends.recv().await, Some(Some(ClientFailure::Gone)), "{target}");
    }
    let _answer = client.send_request(get(), true).unwrap();
    assert_eq!(ends.recv().await, Some(None));
    // With the client's connection.
    stage.end_client().await;
    assert_eq!(ends.recv().await, Some(Some(ClientFailure::Gone)));
}

#[tokio::test]
async fn an_unfinished_answer_is_reset() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |request: Request, mut client: Http2| async move {
        let begun = &*request.target != b"/nothing";
        if begun {
            client.send_head(Response::new(()), false);
            client.queue(Bytes::from_static(b"te"));
            flush(&mut client).await.unwrap();
        }
        if &*request.target == b"/queued" {
            client.queue_end(None);
        }
    };
    let mut client = stage.connect(WINDOW, serve).await;
    for target in ["nothing", "header", "queued"] {
        let request = http::Request::get(format!("http://h/{target}")).body(()).unwrap();
        let answer = client.send_request(request, true).unwrap().0.await;
        let ended = match answer {
            Ok(answer) => reset(read(answer.into_body()).await),
            Err(error) => reset(Err::<(), _>(error)),
        };
        assert_eq!(ended, Some(Reason::INTERNAL_ERROR), "{target}");
    }
}

/// Some clients lose the answer if their body is stopped.
#[tokio::test(start_paused = true)]
async fn a_body_may_end_after_an_early_answer() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |_, mut client: Http2| async move {
        reply(&mut client, b"text", None).await;
        client.finish().await;
    };
    let mut client = stage.connect(WINDOW, serve).await;
    for (target, is_endless) in [("", false), ("", true), ("a".repeat(9000).as_str(), true)] {
        let request = http::Request::post(format!("http://h/{target}")).body(()).unwrap();
        let (answer, mut sent) = client.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), if target.is_empty() { 200 } else { 414 });
        read(answer.into_body()).await.unwrap();
        let begun = Instant::now();
        let reason = loop {
            sent.reserve_capacity(50_000);
            let mut sleep = pin!(sleep(Duration::from_secs(1)));
            tokio::select! {
                reason = poll_fn(|context| sent.poll_reset(context)) => break Some(reason.unwrap()),
                () = &mut sleep => {}
            }
            assert!(sent.capacity() >= 50_000);
            let end = !is_endless && begun.elapsed().as_secs() == 4;
            sent.send_data(vec![0; 50_000].into(), end).unwrap();
            if end {
                break None;
            }
        };
        assert_eq!(reason, is_endless.then_some(Reason::NO_ERROR));
        assert_eq!(begun.elapsed().as_secs(), if is_endless { 5 } else { 4 });
    }
}

/// The client is asked to stop a body that nobody reads (RFC 9113, section 8.1).
#[tokio::test]
async fn an_early_answer_stops_the_body() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |_, mut client: Http2| async move { reply(&mut client, b"text", None).await };
    let mut client = stage.connect(WINDOW, serve).await;
    let (answer, mut sent) = client.send_request(post(), false).unwrap();
    assert_eq!(read(answer.await.unwrap().into_body()).await.unwrap(), b"text");
    let reason = poll_fn(|context| sent.poll_reset(context)).await.unwrap();
    assert_eq!(reason, Reason::NO_ERROR);
}
