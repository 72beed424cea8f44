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
    let mut session = Session::new(None, TIMING, Duration::ZERO);
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
    let mut early = Session::new(None, TIMING, Duration::ZERO);
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
        let mut session = Session::new(None, TIMING, Duration::ZERO);
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
    let mut session = Session::new(None, TIMING, Duration::ZERO);
    assert_eq!(session.deadline(), TIMING.welcome);
    let actions = session.step(Input::Tick, TIMING.welcome);
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Silent, _)]));
}

#[test]
fn a_protocol_version_that_was_not_offered_is_refused() {
    let Input::Frame(Frame::Welcome(mut other)) = welcome() else { unreachable!() };
    other.version = 9;
    let mut session = Session::new(None, TIMING, Duration::ZERO);
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
