//! Data planes that lack something that they must understand.

use wire::Kind;

use super::*;
use crate::publish::Lacking;

fn lacking(revision: u64, kinds: &[u8]) -> Lacking {
    Lacking {
        to: at(revision),
        kinds: kinds.iter().map(|kind| (Kind(*kind), 3)).collect(),
        fields: Vec::new(),
    }
}

#[test]
fn data_plane_is_incompatible_until_it_applies_an_update() {
    let registry = registry();
    let member = registry.join(&hello(Some(at(8))), &peer()).unwrap();
    member.report(&Report::Withheld(lacking(9, &[99])));
    let row = registry.rows().remove(0);
    assert_eq!((row.state.as_str(), row.connected), ("incompatible", true));
    let error = row.last_error.unwrap();
    assert_eq!((&error["reason"], &error["kinds"]), (&json!("unsupported"), &json!(["kind 99"])));
    let message = "does not know kind 99, of which the configuration has 3";
    assert_eq!(error["message"], message);
    // A write need not wait for it, and is not applied.
    assert_eq!(registry.pending(9)[0].refused.as_deref(), Some(message));
    assert!(registry.pending(8).is_empty());
    registry.measure();
    assert_eq!(registry.shared.metrics.data_planes_incompatible.get(), 1);

    member.report(&Report::Heard(at(8)));
    assert_eq!(registry.rows()[0].state, "incompatible");
    member.report(&Report::Acked(wire::Ack { held: at(9), decode_us: 1, apply_us: 1 }));
    let row = registry.rows().remove(0);
    assert_eq!((row.state.as_str(), row.last_error), ("synced", None));
    registry.measure();
    assert_eq!(registry.shared.metrics.data_planes_incompatible.get(), 0);
}

#[test]
fn incompatible_data_plane_that_disconnects_is_not_counted() {
    let registry = registry();
    let member = registry.join(&hello(Some(at(8))), &peer()).unwrap();
    member.report(&Report::Withheld(lacking(9, &[99])));
    drop(member);
    registry.measure();
    assert_eq!(registry.shared.metrics.data_planes_incompatible.get(), 0);
    // Another program may know the kind.
    let _member = registry.join(&hello(Some(at(8))), &peer()).unwrap();
    let row = registry.rows().remove(0);
    assert_eq!((row.state.as_str(), row.last_error), ("syncing", None));
}

#[test]
fn data_plane_that_rejects_an_update_as_unsupported_is_incompatible() {
    let registry = registry();
    refuse(&registry, NackReason::Unsupported);
    let _member = registry.join(&hello(Some(at(8))), &peer()).unwrap();
    let row = registry.rows().remove(0);
    assert_eq!(row.state, "incompatible", "it would reject it again");
    assert_eq!(row.last_error.unwrap()["reason"], "unsupported");
}
