//! Tests a session against a model of a control plane, by seeds.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;
use wire::{EncodedUpdate, Mode, Root, Welcome};

use super::*;

const TIMING: Timing = Timing { heartbeat: Duration::from_secs(30), welcome: Duration::from_secs(10) };

fn position(revision: u64) -> Position {
    Position { epoch: Uuid::from_u128(1), revision, root: Root::default() }
}

fn welcome() -> Input {
    welcome_of_one_that_beats_every(60_000)
}

fn welcome_of_one_that_beats_every(heartbeat_ms: u64) -> Input {
    Input::Frame(Frame::Welcome(Welcome {
        version: 1,
        node_id: Uuid::from_u128(2),
        program: "0.1.0".into(),
        head: position(1),
        heartbeat_ms,
    }))
}

fn welcomed() -> Session {
    let mut session = Session::new(None, None, TIMING, Duration::ZERO);
    let actions = session.step(welcome(), Duration::ZERO);
    assert!(matches!(&actions[..], [Action::Welcomed, Action::Head(head)] if *head == position(1)));
    session
}

/// Random bytes, so that a payload takes as many frames as its length says.
fn payload(rng: &mut StdRng) -> Bytes {
    let mut bytes = vec![0; rng.random_range(0..3 * wire::MAX_FRAME)];
    rng.fill(&mut bytes[..]);
    bytes.into()
}

fn frames(update: &Update) -> Vec<Frame> {
    EncodedUpdate::new(update).frames.iter().map(|frame| Frame::decode(frame).unwrap()).collect()
}

#[test]
fn updates_arrive_whole_whatever_comes_between() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut session = welcomed();
        for revision in 1..4 {
            let sent = payload(&mut rng);
            let update = Update::new(Mode::Snapshot, 0, position(revision), sent.clone());
            let mut applied = None;
            for frame in frames(&update) {
                assert!(applied.is_none(), "seed {seed}: applied before it was whole");
                if rng.random_bool(0.3) {
                    session.step(Input::Frame(Frame::Heartbeat(position(revision))), Duration::ZERO);
                }
                for action in session.step(Input::Frame(frame), Duration::ZERO) {
                    match action {
                        Action::Apply(update) => applied = Some(update),
                        Action::Head(_) => {}
                        other => panic!("seed {seed}: {other:?}"),
                    }
                }
            }
            assert_eq!(applied.expect("whole now").payload().unwrap(), sent);
            let ack = Ack { held: position(revision), decode_us: 0, apply_us: 0 };
            let actions = session.step(Input::Applied(Ok(ack)), Duration::ZERO);
            assert!(matches!(&actions[..], [Action::Send(Frame::Ack(sent))] if *sent == ack));
        }
    }
}

#[test]
fn frames_out_of_place_end_the_session_and_nothing_panics() {
    let mut rng = StdRng::seed_from_u64(1);
    let update = Update::new(Mode::Snapshot, 0, position(1), payload(&mut rng));
    let first = frames(&update).remove(0);
    let misplaced =
        [Frame::More(Bytes::new()), Frame::Ack(Ack { held: position(1), decode_us: 0, apply_us: 0 })];
    for frame in misplaced {
        let actions = welcomed().step(Input::Frame(frame), Duration::ZERO);
        assert!(matches!(&actions[..], [Action::Close(CloseCode::Protocol, _)]), "{actions:?}");
    }
    let mut early = Session::new(None, None, TIMING, Duration::ZERO);
    let actions = early.step(Input::Frame(first), Duration::ZERO);
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Protocol, _)]), "{actions:?}");
    assert!(early.step(welcome(), Duration::ZERO).is_empty(), "closed is closed");
}

#[test]
fn an_update_over_the_limits_is_refused_before_it_is_read() {
    let update = Update::new(Mode::Snapshot, 0, position(1), Bytes::from_static(b"x"));
    let Frame::Update(header, part) = frames(&update).remove(0) else { unreachable!() };
    let header = wire::UpdateHeader { encoded_len: wire::MAX_ENCODED + 1, ..header };
    let actions = welcomed().step(Input::Frame(Frame::Update(header, part)), Duration::ZERO);
    let [Action::Head(_), Action::Refuse(nack), Action::Close(..)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(nack.reason, NackReason::TooLarge);
}

#[test]
fn heartbeats_go_out_and_silence_ends_the_session() {
    let mut session = welcomed();
    assert_eq!(session.deadline(), TIMING.heartbeat);
    let actions = session.step(Input::Tick, TIMING.heartbeat);
    assert!(matches!(&actions[..], [Action::Send(Frame::Heartbeat(held))] if *held == Position::default()));
    // The control plane announced a heartbeat every 60 s.
    let actions = session.step(Input::Tick, Duration::from_secs(89));
    assert!(!actions.iter().any(|action| matches!(action, Action::Close(..))));
    let actions = session.step(Input::Tick, Duration::from_secs(90));
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Silent, _)]), "{actions:?}");
}

#[test]
fn heartbeats_go_out_as_often_as_the_control_plane_beats() {
    for (theirs, ours) in [(10_000, 10), (60_000, 30), (0, 1), (u64::MAX, 30)] {
        let mut session = Session::new(None, None, TIMING, Duration::ZERO);
        session.step(welcome_of_one_that_beats_every(theirs), Duration::ZERO);
        let ours = Duration::from_secs(ours);
        assert_eq!(session.deadline(), ours, "{theirs}");
        let actions = session.step(Input::Tick, ours);
        assert!(matches!(&actions[..], [Action::Send(Frame::Heartbeat(_))]), "{actions:?}");
        assert_eq!(session.deadline(), 2 * ours, "{theirs}");
    }
}

#[test]
fn no_welcome_in_time_ends_the_session() {
    let mut session = Session::new(None, None, TIMING, Duration::ZERO);
    assert_eq!(session.deadline(), TIMING.welcome);
    let actions = session.step(Input::Tick, TIMING.welcome);
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Silent, _)]));
}

#[test]
fn a_protocol_version_that_was_not_offered_is_refused() {
    let Input::Frame(Frame::Welcome(mut other)) = welcome() else { unreachable!() };
    other.version = 9;
    let mut session = Session::new(None, None, TIMING, Duration::ZERO);
    let actions = session.step(Input::Frame(Frame::Welcome(other)), Duration::ZERO);
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Versions, _)]));
}

#[test]
fn bytes_keep_a_session_alive_in_every_state() {
    let mut session = welcomed();
    for now in (60..6000).step_by(60).map(Duration::from_secs) {
        session.heard(now);
        let actions = session.step(Input::Tick, now);
        assert!(!actions.iter().any(|action| matches!(action, Action::Close(..))), "{now:?}");
    }
}

/// Sends the first frames of an update to a session that then ends, and returns the part and its description.
fn cut_off(update: &EncodedUpdate, frames: usize) -> (Assembly, wire::Partial) {
    let mut session = welcomed();
    for frame in &update.frames[..frames] {
        session.step(Input::Frame(Frame::decode(frame).unwrap()), Duration::ZERO);
    }
    let part = session.into_part().unwrap();
    let partial = part.partial().unwrap();
    (part, partial)
}

/// A session that has described this part.
fn continuing(part: Assembly) -> Session {
    let mut session = Session::new(None, Some(part), TIMING, Duration::ZERO);
    session.step(welcome(), Duration::ZERO);
    session
}

fn long_update(seed: u64) -> (EncodedUpdate, Bytes) {
    let mut bytes = vec![0; 300_000];
    StdRng::seed_from_u64(seed).fill(&mut bytes[..]);
    let sent = Bytes::from(bytes);
    (EncodedUpdate::new(&Update::new(Mode::Snapshot, 0, position(1), sent.clone())), sent)
}

#[test]
fn update_that_was_cut_off_again_and_again_is_applied_whole() {
    let (update, sent) = long_update(1);
    let (mut part, mut partial) = cut_off(&update, 2);
    loop {
        let frames = update.frames_from(partial.received);
        let mut session = continuing(part);
        let mut applied = None;
        // One more frame arrives on each connection.
        for frame in &frames[..frames.len().min(2)] {
            let actions = session.step(Input::Frame(Frame::decode(frame).unwrap()), Duration::ZERO);
            applied = actions.into_iter().find_map(|action| match action {
                Action::Apply(update) => Some(update),
                _ => None,
            });
        }
        if let Some(applied) = applied {
            assert_eq!(applied.payload().unwrap(), sent);
            assert!(session.into_part().is_none());
            return;
        }
        part = session.into_part().unwrap();
        let now = part.partial().unwrap();
        assert!(now.received > partial.received);
        partial = now;
    }
}

#[test]
fn whole_update_takes_the_place_of_a_part() {
    let ((update, _), (other, sent)) = (long_update(1), long_update(2));
    let (part, _) = cut_off(&update, 3);
    let mut session = continuing(part);
    let mut applied = None;
    for frame in &other.frames {
        applied = session.step(Input::Frame(Frame::decode(frame).unwrap()), Duration::ZERO).pop();
    }
    let Some(Action::Apply(applied)) = applied else { panic!("{applied:?}") };
    assert_eq!(applied.payload().unwrap(), sent);
    assert!(session.into_part().is_none());
}

#[test]
fn update_that_goes_on_elsewhere_ends_the_session_and_the_part() {
    let (update, _) = long_update(1);
    let header = update.header;
    let shorter = wire::UpdateHeader { encoded_len: header.encoded_len - 1, ..header };
    let (_, partial) = cut_off(&update, 3);
    for (header, from) in [(header, partial.received - 1), (header, 0), (shorter, partial.received)] {
        let (part, _) = cut_off(&update, 3);
        let mut session = continuing(part);
        let actions = session.step(Input::Frame(Frame::Continued(header, from)), Duration::ZERO);
        assert!(
            matches!(&actions[..], [Action::Head(_), Action::Close(CloseCode::Protocol, _)]),
            "{actions:?}"
        );
        assert!(session.into_part().is_none());
    }
    let actions = welcomed().step(Input::Frame(Frame::Continued(header, 1)), Duration::ZERO);
    assert!(matches!(&actions[..], [Action::Head(_), Action::Close(CloseCode::Protocol, _)]), "{actions:?}");
}

#[test]
fn silence_keeps_the_part() {
    let (update, _) = long_update(1);
    let mut session = welcomed();
    session.step(Input::Frame(Frame::decode(&update.frames[0]).unwrap()), Duration::ZERO);
    let actions = session.step(Input::Tick, Duration::from_secs(90));
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Silent, _)]), "{actions:?}");
    assert!(session.into_part().is_some());
}
