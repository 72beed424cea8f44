//! What is remembered of a data plane, from one connection to the next.

use node::identity::Identity;
use wire::{Root, VERSIONS};

use super::*;

fn at(revision: u64) -> Position {
    Position { epoch: Uuid::from_u128(1), revision, root: Root::default() }
}

fn registry() -> Registry {
    let metrics = crate::metrics::Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
    Registry::new(Uuid::from_u128(2), metrics, watch::Sender::new(at(9)).subscribe())
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
        labels: Default::default(),
        held,
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
    registry.join(&hello(Some(at(8))), &peer()).report(&Report::Nacked(nack));
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
    registry.join(&other_program, &peer());
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
    registry.join(&strange, &peer());
    let row = registry.rows().remove(0);
    assert_eq!((row.hostname.as_str(), row.version.len()), ("edge", 1000));
    assert_eq!(row.labels, json!({ "a": "b" }));
}

#[test]
fn who_was_replaced_has_nothing_to_say() {
    let registry = registry();
    let old = registry.join(&hello(Some(at(8))), &peer());
    let new = registry.join(&hello(Some(at(9))), &peer());
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
    let one = registry.join(&hello(Some(left)), &peer());
    assert_eq!(registry.pending(5).len(), 1);
    one.report(&Report::Heard(at(5)));
    assert!(registry.pending(5).is_empty());
    assert_eq!(registry.pending(6).len(), 1);
}
