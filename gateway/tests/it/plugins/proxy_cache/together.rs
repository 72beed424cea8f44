//! Requests for one answer at the same time.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testkit::origin::Answer;
use tokio::time::Instant;

use super::{assert_status, kept, plugin};
use crate::plugins::Plugged;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_goes_to_the_upstream_and_the_others_get_its_answer() {
    let plugged = Plugged::start(&[plugin(&json!({}))]);
    plugged.origin.answer(kept("x").delay(Duration::from_millis(200)));
    let answers = join_all((0..32).map(|_| plugged.get("/"))).await;
    let hits = answers.iter().filter(|answer| answer.header("x-cache-status") == Some("Hit")).count();
    assert_eq!((hits, plugged.received().len()), (31, 1));
    assert!(answers.iter().all(|answer| answer.text() == "x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_the_body_of_an_answer_that_is_not_kept() {
    let plugged = Plugged::start(&[plugin(&json!({}))]);
    let private = || Answer::status(200).header("Content-Type", "text/html");
    plugged.origin.answer(
        private().size(4000).delay(Duration::from_millis(100)).slow(1000, Duration::from_millis(300)),
    );
    let begun = Instant::now();
    let answers = join_all((0..8).map(|_| plugged.get("/"))).await;
    // Two answers one after the other would be enough for all: 8 would take far longer.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    answers.iter().for_each(|answer| assert_status(answer, "Bypass"));
    assert_eq!(plugged.received().len(), 8);
    // Known by now: requests go at once.
    plugged.origin.answer(private().delay(Duration::from_millis(300)));
    let begun = Instant::now();
    join_all((0..8).map(|_| plugged.get("/"))).await;
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_upstream_delays_the_others_by_the_longest_wait() {
    let plugged = Plugged::start(&[plugin(&json!({}))]);
    plugged.origin.answer_once(Answer::hang());
    let first = plugged.get("/");
    let others = async {
        testkit::wait::eventually(Duration::from_secs(10), || async {
            if plugged.origin.count() == 0 { Err("the first has not come") } else { Ok(()) }
        })
        .await;
        plugged.origin.answer(kept("x"));
        let begun = Instant::now();
        let answers = join_all((0..4).map(|_| plugged.get("/"))).await;
        (begun.elapsed(), answers)
    };
    tokio::select! {
        answer = first => panic!("the upstream hangs: {answer:?}"),
        (waited, answers) = others => {
            assert!(waited < Duration::from_secs(6), "{waited:?}");
            assert!(answers.iter().all(|answer| answer.text() == "x"));
        }
    }
}
