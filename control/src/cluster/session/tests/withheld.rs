//! Updates that are withheld from a data plane that lacks something.

use super::*;

pub(super) fn lacking(to: Position) -> Lacking {
    Lacking { to, kinds: vec![(wire::Kind(99), 3)], fields: Vec::new() }
}

fn withheld(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Report(Report::Withheld(_))))
}

fn fetches(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Fetch(_)))
}

#[test]
fn withheld_head_is_not_requested_again_and_the_next_one_is() {
    let mut session = session(5);
    session.step(hello(Some(position(4))), Duration::ZERO);
    let actions = session.step(Input::Withheld(lacking(position(5))), Duration::ZERO);
    assert!(withheld(&actions) && !fetches(&actions), "{actions:?}");
    let heartbeat = Input::Frame(Frame::Heartbeat(position(4)));
    assert!(!fetches(&session.step(heartbeat, seconds(1))));
    assert!(!fetches(&session.step(Input::Head(position(5)), seconds(1))));
    let actions = session.step(Input::Head(position(6)), seconds(1));
    assert_eq!(actions, [Action::Fetch(UpdateRequest::From(position(4)))]);
    session.step(Input::Update(update(Mode::Delta, 4, position(6)), 0), seconds(1));
    session.step(Input::Frame(ack(position(6))), seconds(1));
    assert_eq!(session.held, Some(position(6)));
}

#[test]
fn head_that_moves_while_an_update_is_withheld_is_looked_at() {
    // The head comes after the answer about it, and then before it.
    let mut late = session(5);
    late.step(hello(Some(position(4))), Duration::ZERO);
    late.step(Input::Withheld(lacking(position(6))), Duration::ZERO);
    assert!(!fetches(&late.step(Input::Head(position(6)), Duration::ZERO)), "it is known");
    let mut early = session(5);
    early.step(hello(Some(position(4))), Duration::ZERO);
    assert!(!fetches(&early.step(Input::Head(position(6)), Duration::ZERO)), "one is on its way");
    assert!(fetches(&early.step(Input::Withheld(lacking(position(5))), Duration::ZERO)));
    // An answer about another epoch, whose head is not here yet.
    let mut other = session(5);
    other.step(hello(Some(position(4))), Duration::ZERO);
    let to = Position { epoch: Uuid::from_u128(9), ..position(1) };
    assert!(fetches(&other.step(Input::Withheld(lacking(to)), Duration::ZERO)));
    other.step(Input::Withheld(lacking(position(5))), Duration::ZERO);
    assert!(fetches(&other.step(Input::Head(to), Duration::ZERO)));
}

#[test]
fn drift_is_not_repaired_while_updates_are_withheld() {
    let mut session = session(5);
    session.step(hello(Some(position(5))), Duration::ZERO);
    let drifted = Position { root: Root([9; 32]), ..position(5) };
    session.step(Input::Frame(Frame::Heartbeat(drifted)), seconds(1));
    session.step(Input::Frame(Frame::Buckets(5, vec![Root::default(); wire::BUCKETS])), seconds(2));
    assert!(withheld(&session.step(Input::Withheld(lacking(position(5))), seconds(2))));
    let actions = session.step(Input::Frame(Frame::Heartbeat(drifted)), seconds(3));
    assert!(
        actions.iter().all(|action| !matches!(action, Action::Report(Report::Drifted(_)))),
        "{actions:?}"
    );
}
