//! The record of a data plane, from one connection to the next.

mod hours;
mod versions;

use node::identity::Identity;
use wire::{Nack, NackReason, Root, VERSIONS};

use super::*;
use crate::cluster::session::Report;

fn at(revision: u64) -> Position {
    Position { epoch: Uuid::from_u128(1), revision, root: Root::default() }
}

fn registry() -> Registry {
    let metrics = crate::metrics::Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
    Registry::new(Uuid::from_u128(2), Duration::from_secs(30), metrics, watch::Sender::new(at(9)).subscribe())
}

fn peer() -> Peer {
    let folder = tempfile::tempdir().unwrap();
    let pair = testkit::certs::valid(folder.path(), "a");
    let certificate = Identity::load(&pair.cert, &pair.key).unwrap().leaf().clone();
    Peer { address: ([127, 0, 0, 1], 1).into(), certificate, uri: "/".parse().unwrap() }
}

fn hello(held: Option<Position>) -> Hello {
    Hello {
        versions: VERSIONS,
        node_id: Uuid::from_u128(3),
        hostname: "edge".into(),
        version: "0.1.0".into(),
        kinds: Vec::new(),
        fields: Vec::new(),
        labels: Default::default(),
        held,
        instance: None,
        partial: None,
    }
}

fn refuse(registry: &Registry, reason: NackReason) {
    let nack = Nack {
        epoch: at(9).epoch,
        revision: 9,
        reason,
        message: "no".into(),
        collection: None,
        id: None,
        field: None,
    };
    registry.join(&hello(Some(at(8))), &peer()).unwrap().report(&Report::Nacked(nack));
}

#[test]
fn a_refusal_outlives_the_connection_until_there_is_a_reason_to_try_again() {
    let registry = registry();
    refuse(&registry, NackReason::Invalid);
    let again = hello(Some(at(8)));
    assert_eq!(registry.refused(&again).map(|to| to.revision), Some(9));
    let other_program = Hello { version: "0.2.0".into(), ..again.clone() };
    assert_eq!(registry.refused(&other_program), None);
    assert_eq!(registry.refused(&hello(None)), None, "a new disk");
    registry.join(&other_program, &peer()).unwrap();
    assert_eq!(registry.refused(&other_program), None, "it was forgotten");
    assert_eq!(registry.refused(&again), None);

    refuse(&registry, NackReason::Internal);
    assert_eq!(registry.refused(&again), None, "the fault was the data plane's own");
}

#[test]
fn what_a_data_plane_says_of_itself_can_be_stored() {
    let registry = registry();
    let strange = Hello {
        hostname: "ed\0ge".into(),
        version: "0".repeat(100_000),
        labels: [("a\0".to_owned(), "\0b".to_owned())].into(),
        ..hello(None)
    };
    registry.join(&strange, &peer()).unwrap();
    let row = registry.rows().remove(0);
    assert_eq!((row.hostname.as_str(), row.version.chars().count()), (r"ed\u{0}ge", 1001));
    assert_eq!(row.labels, json!({ r"a\u{0}": r"\u{0}b" }));
}

#[test]
fn who_was_replaced_has_nothing_to_say() {
    let registry = registry();
    let old = registry.join(&hello(Some(at(8))), &peer()).unwrap();
    let new = registry.join(&hello(Some(at(9))), &peer()).unwrap();
    old.report(&Report::Heard(at(7)));
    drop(old);
    let row = &registry.rows()[0];
    assert_eq!((row.applied_revision, row.connected), (Some(9), true));
    new.report(&Report::Heard(at(7)));
    assert_eq!(registry.rows()[0].applied_revision, Some(7));
}

#[test]
fn a_higher_revision_of_another_history_is_not_what_is_waited_for() {
    let registry = registry();
    let left = Position { epoch: Uuid::from_u128(7), ..at(100) };
    let one = registry.join(&hello(Some(left)), &peer()).unwrap();
    assert_eq!(registry.pending(5).len(), 1);
    assert!(registry.pending(5)[0].other_epoch);
    one.report(&Report::Heard(at(5)));
    assert!(registry.pending(5).is_empty());
    assert_eq!(registry.pending(6).len(), 1);
    assert!(!registry.pending(6)[0].other_epoch, "no guard holds it back from this one");
}

fn process(instance: u128) -> Hello {
    Hello { instance: Some(Uuid::from_u128(instance)), ..hello(Some(at(9))) }
}

#[tokio::test(start_paused = true)]
async fn second_process_with_one_node_id_is_refused_and_shown() {
    let registry = registry();
    let first = registry.join(&process(1), &peer()).unwrap();
    assert!(registry.pending(9).is_empty());
    let refused = registry.join(&process(2), &peer()).unwrap_err();
    assert!(refused.contains("127.0.0.1") && refused.len() <= 123, "{refused}");
    let (replaced, probe) = first.signals();
    assert!(!replaced.is_cancelled());
    probe.notified().await;
    let row = &registry.rows()[0];
    assert_eq!((row.state.as_str(), row.connected), ("conflict", true));
    assert_eq!(row.last_error.as_ref().unwrap()["reason"], rejections::IN_USE);
    assert!(registry.pending(9)[0].refused.is_some(), "it lacks what comes");

    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(registry.rows()[0].state, "synced", "the second has not come again");
    assert!(registry.pending(9).is_empty());
    registry.join(&process(2), &peer()).unwrap_err();
    drop(first);
    let _second = registry.join(&process(2), &peer()).unwrap();
    assert_eq!(registry.rows()[0].state, "synced");
}

/// The row of a process at another control plane.
fn row_elsewhere(hello: &Hello, last_seen: i64) -> data_plane::Model {
    data_plane::Model { last_seen, ..row(Uuid::from_u128(5), hello, &peer()) }
}

#[tokio::test(start_paused = true)]
async fn second_process_at_another_control_plane_is_shown_once_its_row_changes() {
    let registry = registry();
    let _first = registry.join(&process(1), &peer()).unwrap();
    registry.note_elsewhere(row_elsewhere(&process(2), 100));
    assert_eq!(registry.rows()[0].state, "synced", "it may have moved here");
    let pending = registry.pending(9).remove(0);
    assert_eq!(pending.refused, None, "and may still be there");
    registry.note_elsewhere(row_elsewhere(&process(2), 101));
    let row = registry.rows().remove(0);
    assert_eq!((row.state.as_str(), row.connected), ("conflict", true));
    assert_eq!(row.last_error.as_ref().unwrap()["reason"], rejections::IN_USE);
    assert!(registry.pending(9)[0].refused.as_ref().unwrap().contains("another process"));
    // A third control plane has only the row.
    assert!(Pending::of(&row, at(9), 9).unwrap().refused.is_some());

    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(registry.rows()[0].state, "synced", "its row has not changed again");
    assert!(registry.pending(9).is_empty());
}

#[tokio::test(start_paused = true)]
async fn row_that_a_moved_data_plane_left_behind_proves_nothing() {
    let registry = registry();
    let _moved = registry.join(&process(2), &peer()).unwrap();
    for _ in 0..120 {
        registry.note_elsewhere(row_elsewhere(&process(1), 100));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(registry.rows()[0].state, "synced");
    }
    for last_seen in 100..200 {
        registry.note_elsewhere(row_elsewhere(&process(2), last_seen));
    }
    assert_eq!(registry.rows()[0].state, "synced", "it is the same process");
}

#[test]
fn process_that_reconnects_replaces_its_own_session() {
    let registry = registry();
    let first = registry.join(&process(1), &peer()).unwrap();
    registry.join(&process(1), &peer()).unwrap();
    assert!(first.signals().0.is_cancelled());
}

#[test]
fn incompatible_data_plane_is_shown_until_it_is_replaced() {
    let registry = registry();
    registry.incompatible(&hello(Some(at(8))), &peer(), "versions 7 to 9");
    let row = &registry.rows()[0];
    assert_eq!((row.state.as_str(), row.connected), ("incompatible", false));
    assert_eq!(row.last_error.as_ref().unwrap()["message"], "versions 7 to 9");
    let _membership = registry.join(&hello(Some(at(9))), &peer()).unwrap();
    let row = &registry.rows()[0];
    assert_eq!((row.state.as_str(), row.last_error.as_ref()), ("synced", None));
}

#[tokio::test(start_paused = true)]
async fn row_of_another_control_plane_is_believed_by_its_moves_not_by_its_clock() {
    let (registry, other) = (registry(), registry());
    let _membership = other.join(&hello(Some(at(9))), &peer()).unwrap();
    let mut row = other.rows().remove(0);
    let silence = Duration::from_secs(61);
    assert!(registry.is_moving(&row));
    // Its clock is set back by a day, and goes on.
    row.last_seen -= 86_400;
    assert!(registry.is_moving(&row));
    tokio::time::advance(silence).await;
    assert!(registry.is_moving(&row));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!registry.is_moving(&row));
}

#[test]
fn rows_that_another_control_plane_deleted_are_not_kept() {
    let (registry, other) = (registry(), registry());
    let _membership = other.join(&hello(Some(at(9))), &peer()).unwrap();
    let row = other.rows().remove(0);
    assert!(registry.is_moving(&row));
    registry.retain_moved(&[row.id].into());
    assert_eq!(registry.shared.moved.lock().len(), 1);
    registry.retain_moved(&[].into());
    assert!(registry.shared.moved.lock().is_empty());
}
