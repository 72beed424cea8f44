//! Sticky sessions: the cookie names the target, which keeps the client while it can.

use gateway::table::Change;
use model::{AdminState, Algorithm, Upstream};
use testkit::http::{Request, Response};

use super::{Fleet, get, number, strict, upstream};

fn sticky(upstream: Upstream) -> Upstream {
    Upstream { algorithm: Algorithm::StickySessions, ..upstream }
}

/// The cookie that a response sets, without its attributes.
fn cookie(response: &Response) -> Option<String> {
    Some(response.header("set-cookie")?.split(';').next()?.to_owned())
}

fn with(cookie: &str) -> Request {
    get("/").header("Cookie", cookie)
}

/// A client's session: its target and its cookie.
async fn session(fleet: &Fleet) -> (usize, String) {
    let response = fleet.get().await.expect(200);
    (number(&response), cookie(&response).unwrap())
}

/// The session stays at its target, and the cookie is not set again.
async fn assert_stays(fleet: &Fleet, target: usize, cookie: &str) {
    for _ in 0..8 {
        let response = fleet.send(&with(cookie)).await.expect(200);
        assert_eq!((number(&response), response.header("set-cookie")), (target, None));
    }
}

/// The session goes to another target, whose cookie is set, and stays there.
async fn assert_moves(fleet: &Fleet, from: usize, earlier: &str) -> (usize, String) {
    let response = fleet.send(&with(earlier)).await.expect(200);
    let (target, cookie) = (number(&response), cookie(&response).unwrap());
    assert_ne!((target, &*cookie), (from, earlier));
    assert_stays(fleet, target, &cookie).await;
    (target, cookie)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_stays_at_its_target_and_others_are_spread() {
    let fleet = Fleet::start(4, sticky(upstream()));
    let response = fleet.get().await.expect(200);
    let (name, rest) = response.header("set-cookie").unwrap().split_once('=').unwrap();
    assert!(name.starts_with("gibbon-session-"), "{name}");
    assert_eq!(rest.split_once("; ").unwrap().1, "Path=/; SameSite=Lax; HttpOnly");
    let address = fleet.origins[number(&response)].address().to_string();
    assert!(!rest.contains(&address), "the cookie tells the address: {rest}");
    assert_stays(&fleet, number(&response), &cookie(&response).unwrap()).await;
    assert_eq!(fleet.serving(16).await.len(), 4);

    let named = Upstream {
        sticky_sessions_cookie: Some("own".into()),
        sticky_sessions_cookie_path: "/a".into(),
        ..sticky(upstream())
    };
    fleet.gateway.apply(vec![Change::put(named)]);
    let response = fleet.get().await.expect(200);
    let set = response.header("set-cookie").unwrap();
    assert!(set.starts_with("own=") && set.ends_with("; Path=/a; SameSite=Lax; HttpOnly"), "{set}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_or_damaged_cookie_is_replaced() {
    let fleet = Fleet::start(4, sticky(upstream()));
    let (_, good) = session(&fleet).await;
    let (name, _) = good.split_once('=').unwrap();
    let [none, short, zeros] = ["", "x", &"0".repeat(32)].map(|value| format!("{name}={value}"));
    let damaged = good[..good.len() - 1].to_owned() + if good.ends_with('0') { "1" } else { "0" };
    for wrong in [&none, &short, &zeros, &damaged] {
        let response = fleet.send(&with(wrong)).await.expect(200);
        assert_stays(&fleet, number(&response), &cookie(&response).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drained_target_keeps_its_sessions_and_gets_no_others() {
    let fleet = Fleet::start(3, sticky(upstream()));
    let (target, cookie) = session(&fleet).await;
    fleet.set_state(target as u128, AdminState::Drain);
    assert_stays(&fleet, target, &cookie).await;
    assert!(!fleet.serving(20).await.contains(&target));
    // Even if no target takes new clients any more.
    for other in 0..3 {
        fleet.set_state(other, AdminState::Drain);
    }
    assert_stays(&fleet, target, &cookie).await;
    fleet.get().await.expect(503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_leaves_a_target_that_is_in_maintenance_or_without_weight() {
    let fleet = Fleet::start(3, sticky(upstream()));
    let (target, cookie) = session(&fleet).await;
    fleet.set_state(target as u128, AdminState::Maint);
    let (other, cookie) = assert_moves(&fleet, target, &cookie).await;
    fleet.set_weight(other as u128, 0);
    assert_moves(&fleet, other, &cookie).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_leaves_a_target_that_fails() {
    let mut fleet = Fleet::start(3, sticky(strict()));
    let (target, cookie) = session(&fleet).await;
    fleet.origins[target].stop();
    let (other, cookie) = assert_moves(&fleet, target, &cookie).await;
    // The first one is unhealthy: its return changes nothing for the client.
    fleet.origins[target].restart();
    assert_stays(&fleet, other, &cookie).await;
}

/// The cookie is of one upstream, and a push of something else leaves it valid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_outlives_changes_of_other_targets() {
    let fleet = Fleet::start(3, sticky(upstream()));
    let (target, cookie) = session(&fleet).await;
    for other in (0..3).filter(|other| *other != target) {
        fleet.set_weight(other as u128, 1);
    }
    fleet.gateway.apply(super::unrelated(1));
    assert_stays(&fleet, target, &cookie).await;
}
