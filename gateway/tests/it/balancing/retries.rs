//! Further attempts: to another target, within the bounds of service and policy, and never where a target may
//! have acted on the first one.

use std::time::Duration;

use gateway::table::Change;
use model::policy::{Policy, Retry, RetryMethods, RetryOn};
use model::{Service, Upstream};
use testkit::http::{Connection, Request};
use testkit::origin::Answer;
use testkit::unreachable::Blackhole;
use tokio::time::{Instant, timeout};

use super::{AT_ONCE, Fleet, SOON, get, number, numbered, post, service, target, upstream};

/// The timeout of a service whose targets are silent, in milliseconds.
const SHORT: u32 = 300;
const PAUSE: Duration = Duration::from_millis(400);

fn with(retry: Retry) -> Upstream {
    Upstream { policy: Box::new(Policy { retry, ..Policy::default() }), ..upstream() }
}

fn retrying(retries: u16) -> Service {
    Service { retries, ..service() }
}

fn method(method: &str) -> Request {
    Request::new(method, "/")
}

/// Each target has got a request at most, and all of them so many.
#[track_caller]
fn assert_each_once(fleet: &Fleet, attempts: usize) {
    let counts = fleet.counts();
    assert_eq!(counts.iter().sum::<usize>(), attempts, "{counts:?}");
    assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_connection_fails_no_request() {
    let mut fleet = Fleet::start(2, upstream());
    fleet.origins[0].stop();
    for turn in 0..50 {
        for request in [get("/"), post()] {
            assert_eq!(fleet.served(&request).await, 1, "{turn}");
        }
    }
    assert_eq!(fleet.origins[1].last().body, b"a body");
    assert_eq!(fleet.origins[1].count(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_that_does_not_come_fails_no_request() {
    let fleet = Fleet::of_service(1, upstream(), Service { connect_timeout: SHORT, ..service() });
    let hole = Blackhole::start();
    fleet.gateway.apply(vec![Change::put(target(1, hole.address()))]);
    for request in [get("/"), post(), get("/"), post()] {
        assert_eq!(fleet.served(&request).await, 0);
    }
}

/// A target that closes or resets may have acted: only a request that may be repeated goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connection_repeats_idempotent_requests_alone() {
    for broken in [Answer::reset(), Answer::close(), Answer::raw("HTTP/1.1 20")] {
        let fleet = Fleet::start(2, upstream());
        fleet.origins[0].answer(broken);
        for name in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            for _ in 0..4 {
                assert_eq!(fleet.served(&method(name)).await, 1, "{name}");
            }
        }
        let before: usize = fleet.counts().iter().sum();
        let mut failed = 0;
        for name in ["POST", "PATCH"] {
            for _ in 0..4 {
                failed += usize::from(fleet.send(&method(name)).await.status == 502);
            }
        }
        let after: usize = fleet.counts().iter().sum();
        assert_eq!((after - before, failed > 0), (8, true), "a request was repeated, or none failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_target_repeats_idempotent_requests_alone() {
    let silent = Service { read_timeout: SHORT, ..service() };
    let fleet = Fleet::of_service(2, upstream(), silent);
    fleet.origins[0].answer(Answer::hang());
    for _ in 0..4 {
        assert_eq!(fleet.served(&get("/")).await, 1);
    }
    let before: usize = fleet.counts().iter().sum();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(fleet.send(&post()).await.status);
    }
    let after: usize = fleet.counts().iter().sum();
    assert_eq!(after - before, 4, "{statuses:?}");
    assert!(statuses.contains(&504) && statuses.iter().all(|status| matches!(status, 200 | 504)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_may_allow_every_method() {
    let on = vec![RetryOn::Connect, RetryOn::Reset];
    let fleet = Fleet::start(2, with(Retry { methods: RetryMethods::All, on, ..Retry::default() }));
    fleet.origins[0].answer(Answer::reset());
    for _ in 0..6 {
        assert_eq!(fleet.served(&post()).await, 1);
        assert_eq!(fleet.origins[1].last().body, b"a body");
    }
}

/// `reset_before_sent` is no reset of a request that a target may have acted on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_was_sent_is_not_repeated_before_sent() {
    let on = vec![RetryOn::Connect, RetryOn::ResetBeforeSent];
    let fleet = Fleet::start(2, with(Retry { methods: RetryMethods::All, on, ..Retry::default() }));
    fleet.origins.iter().for_each(|origin| origin.answer(Answer::reset()));
    fleet.send(&post()).await.expect(502);
    assert_eq!(fleet.origins.iter().map(|origin| origin.count()).sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_chooses_the_failures() {
    for (on, status) in [(vec![], 502), (vec![RetryOn::Timeout], 502), (vec![RetryOn::Connect], 200)] {
        let mut fleet = Fleet::start(2, with(Retry { on: on.clone(), ..Retry::default() }));
        fleet.origins[0].stop();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..6 {
            seen.insert(fleet.get().await.status);
        }
        assert_eq!(seen.contains(&502), status == 502, "{on:?}: {seen:?}");
    }
    for (on, repeats) in [(vec![RetryOn::Connect], false), (vec![RetryOn::Reset], true)] {
        let fleet = Fleet::start(2, with(Retry { on: on.clone(), ..Retry::default() }));
        fleet.origins[0].answer(Answer::reset());
        let mut failed = 0;
        for _ in 0..6 {
            failed += usize::from(fleet.get().await.status == 502);
        }
        assert_eq!(failed == 0, repeats, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_of_the_policy_is_answered_by_another_target() {
    let statuses = vec![503];
    let fleet = Fleet::start(2, with(Retry { statuses: statuses.clone(), ..Retry::default() }));
    fleet.origins[0].answer(numbered(0, 503));
    for _ in 0..6 {
        assert_eq!(fleet.served(&get("/")).await, 1);
    }
    // A request that may not be repeated gets the answer as it is.
    let mut answers = Vec::new();
    for _ in 0..4 {
        let response = fleet.send(&post()).await;
        answers.push((number(&response), response.status));
    }
    assert!(answers.contains(&(0, 503)) && answers.contains(&(1, 200)), "{answers:?}");
    // Other statuses are not in the policy.
    fleet.origins[0].answer(numbered(0, 500));
    let answered = async { while number(&fleet.get().await) != 0 {} };
    timeout(SOON, answered).await.unwrap();
    let all = Retry { statuses, methods: RetryMethods::All, ..Retry::default() };
    fleet.gateway.apply(vec![Change::put(with(all))]);
    fleet.origins[0].answer(numbered(0, 503));
    for _ in 0..4 {
        assert_eq!(fleet.served(&post()).await, 1);
    }
}

/// The last answer reaches the client, whatever its status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_answer_is_passed_on_when_retries_are_used_up() {
    let upstream = with(Retry { statuses: vec![503], ..Retry::default() });
    let fleet = Fleet::of_service(5, upstream, retrying(2));
    for (number, origin) in fleet.origins.iter().enumerate() {
        origin.answer(numbered(number, 503).body("own words"));
    }
    let response = fleet.get().await.expect(503);
    assert_eq!(response.text(), "own words");
    assert_each_once(&fleet, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_never_exceed_the_retries_of_the_service() {
    for retries in [0, 1, 4] {
        let fleet = Fleet::of_service(6, upstream(), retrying(retries));
        fleet.origins.iter().for_each(|origin| origin.answer(Answer::reset()));
        fleet.get().await.expect(502);
        assert_each_once(&fleet, usize::from(retries) + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_target_is_tried_twice_while_another_is_left() {
    use model::Algorithm::{ConsistentHashing, Latency, LeastConnections, RoundRobin, StickySessions};
    for algorithm in [RoundRobin, LeastConnections, Latency, StickySessions, ConsistentHashing] {
        let hash_on = match algorithm {
            ConsistentHashing => model::HashInput::Path,
            _ => model::HashInput::None,
        };
        let fleet = Fleet::of_service(4, Upstream { algorithm, hash_on, ..upstream() }, retrying(3));
        fleet.origins.iter().for_each(|origin| origin.answer(Answer::reset()));
        fleet.get().await.expect(502);
        assert_eq!(fleet.counts(), [1; 4], "{algorithm:?}");
        fleet.origins.iter().for_each(testkit::origin::Origin::forget);
        // Only then one of them again.
        fleet.gateway.serve(retrying(5), super::route(1, "/"));
        fleet.get().await.expect(502);
        let counts = fleet.counts();
        assert_eq!(counts.iter().sum::<usize>(), 6, "{algorithm:?}");
        assert!(!counts.contains(&0), "{algorithm:?}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_target_is_tried_again_when_it_is_the_only_one() {
    let fleet = Fleet::start(1, upstream());
    fleet.origins[0].answer_once(Answer::reset());
    fleet.origins[0].answer_once(Answer::reset());
    fleet.served(&get("/")).await;
    assert_eq!(fleet.counts(), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempt_has_its_own_timeout() {
    let fleet = Fleet::start(2, with(Retry { per_try_timeout: super::seconds(0.2), ..Retry::default() }));
    fleet.origins[0].answer(Answer::hang());
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(fleet.served(&get("/")).await, 1);
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // The next byte always comes in time, but the header never ends.
    fleet.origins[0].answer(Answer::raw("HTTP/1.1 200 OK\r\nX: y").slow(1, Duration::from_millis(100)));
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(fleet.served(&get("/")).await, 1);
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// The timeouts of attempts are about the header; a body may pause as long as the service allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_of_attempts_spare_the_body() {
    let each = Retry { per_try_timeout: super::seconds(0.2), ..Retry::default() };
    let all = Retry { total_timeout: super::seconds(0.2), ..Retry::default() };
    for retry in [each, all] {
        let fleet = Fleet::start(1, with(retry));
        fleet.origins[0].answer(numbered(0, 200).size(3).slow(1, PAUSE));
        assert_eq!(fleet.get().await.expect(200).body.len(), 3);
    }
}

/// A client that sends slowly is no fault of the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_of_attempts_spare_a_slow_client() {
    let fleet = Fleet::start(2, with(Retry { per_try_timeout: super::seconds(0.2), ..Retry::default() }));
    let mut client = Connection::open(fleet.gateway.address()).await.unwrap();
    client.write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(PAUSE).await;
        client.write(b"x").await.unwrap();
    }
    client.read_response(false).await.unwrap().expect(200);
    assert_eq!(fleet.counts().iter().sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_end_with_their_total_time() {
    let retry = Retry {
        per_try_timeout: super::seconds(0.2),
        total_timeout: super::seconds(0.5),
        ..Retry::default()
    };
    let fleet = Fleet::of_service(6, with(retry), retrying(100));
    fleet.origins.iter().for_each(|origin| origin.answer(Answer::hang()));
    let begun = Instant::now();
    fleet.get().await.expect(504);
    assert!(begun.elapsed() < AT_ONCE + Duration::from_secs(1), "{:?}", begun.elapsed());
    let attempts: usize = fleet.counts().iter().sum();
    assert!((1..=3).contains(&attempts), "{attempts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budget_bounds_the_retries() {
    let budget = |budget_min| Retry { budget_percent: 1, budget_min, ..Retry::default() };
    let mut fleet = Fleet::start(2, with(budget(0)));
    fleet.origins[0].stop();
    let mut failed = 0;
    for _ in 0..10 {
        failed += usize::from(fleet.get().await.status == 502);
    }
    assert!(failed > 0, "a retry without a budget");
    fleet.gateway.apply(vec![Change::put(with(budget(1)))]);
    for _ in 0..10 {
        assert_eq!(fleet.served(&get("/")).await, 1);
    }
}
