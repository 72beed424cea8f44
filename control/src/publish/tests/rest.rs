//! Updates that were cut off: what goes on, and what begins again.

use wire::{Assembly, Frame};

use super::*;

/// Services whose snapshot takes several frames.
const MANY: u128 = 4000;

/// Publishes services whose snapshot takes several frames.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    grow(&stage, 100).await;
    stage
}

/// Adds services from this id on.
async fn grow(stage: &Stage, first: u128) {
    let host = || Uuid::new_v4().to_string();
    let many = (first..first + MANY).map(|id| put(id, &Service { host: host(), ..service(id) }));
    stage.store.write(&Author::default(), many.collect()).await.unwrap();
    stage.publisher.shared.look().await.unwrap();
}

/// The part of an update that its first two frames are.
fn begun(update: &PublishedUpdate) -> Partial {
    assert!(update.frames.len() > 3);
    let Frame::Update(header, first) = Frame::decode(&update.frames[0]).unwrap() else { panic!() };
    let mut assembly = Assembly::begin(header, first).unwrap();
    let Frame::More(second) = Frame::decode(&update.frames[1]).unwrap() else { panic!() };
    assembly.push(second).unwrap();
    assembly.partial().unwrap()
}

#[tokio::test]
async fn snapshot_goes_on_although_the_head_has_moved() {
    let stage = stage().await;
    let publisher = &stage.publisher;
    let snapshot = publisher.update_from(None).await.unwrap();
    let partial = begun(&snapshot);
    publisher.cut_off(Arc::clone(&snapshot));
    grow(&stage, 100_000).await;
    publisher.shared.tidy();
    let (rest, from) = publisher.rest_of(partial.clone(), None).await.unwrap();
    assert!(Arc::ptr_eq(&rest, &snapshot));
    assert_eq!(from, partial.received);
    // A data plane that holds a later revision meanwhile is not led back.
    let later = Some(stage.head());
    assert!(publisher.rest_of(partial.clone(), later).await.is_none());

    publisher.shared.encoder.clear();
    let (whole, from) = publisher.rest_of(partial, None).await.unwrap();
    assert_eq!((whole.header.position(), from), (stage.head(), 0), "it is not kept any more");
}

#[tokio::test]
async fn forged_part_begins_again() {
    let stage = stage().await;
    let snapshot = stage.publisher.update_from(None).await.unwrap();
    let partial = begun(&snapshot);
    for forged in [
        Partial { hash: Root([1; 32]), ..partial.clone() },
        Partial { received: partial.received + 1, ..partial.clone() },
        Partial { encoded_len: partial.encoded_len + 1, ..partial.clone() },
        Partial { mode: "other".into(), ..partial.clone() },
    ] {
        let (whole, from) = stage.publisher.rest_of(forged, None).await.unwrap();
        assert_eq!((whole.header, from), (snapshot.header, 0));
    }
    let (_, from) = stage.publisher.rest_of(partial.clone(), None).await.unwrap();
    assert_eq!(from, partial.received);
}

#[tokio::test]
async fn delta_goes_on_for_who_holds_its_beginning_alone() {
    let stage = Stage::new().await;
    let held = stage.head();
    grow(&stage, 100).await;
    let delta = stage.publisher.update_from(Some(held)).await.unwrap();
    assert_eq!(delta.header.mode, Mode::Delta);
    let partial = begun(&delta);
    let (rest, from) = stage.publisher.rest_of(partial.clone(), Some(held)).await.unwrap();
    assert_eq!((rest.header, from), (delta.header, partial.received));
    let (other, from) = stage.publisher.rest_of(partial, None).await.unwrap();
    assert_eq!((other.header.mode, from), (Mode::Snapshot, 0), "its disk has lost what it held");
}

#[tokio::test(start_paused = true)]
async fn update_that_was_cut_off_is_not_kept_for_ever() {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
    let encoder = Encoder::new(metrics);
    let to = Position { revision: 1, ..Position::default() };
    let payload: Vec<u8> =
        std::iter::repeat_with(Uuid::new_v4).take(9000).flat_map(Uuid::into_bytes).collect();
    let update = wire::EncodedUpdate::new(&wire::Update::new(Mode::Snapshot, 0, to, payload.into()));
    let update = Arc::new(PublishedUpdate::from(update));
    let partial = begun(&update);
    encoder.cut_off(update);
    encoder.tidy(to);
    assert!(encoder.begun(&partial).is_some());
    tokio::time::advance(Duration::from_secs(601)).await;
    encoder.tidy(to);
    assert!(encoder.begun(&partial).is_none());
}
