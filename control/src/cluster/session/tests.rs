//! A session against a model of a data plane, with random seeds.

mod withheld;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;
use wire::{EncodedUpdate, Mode, Update, Versions};

use super::*;

const TIMING: Timing = Timing {
    heartbeat: Duration::from_secs(30),
    ack: Duration::from_secs(60),
    hello: Duration::from_secs(10),
};

fn position(revision: u64) -> Position {
    let mut root = Root::default();
    root.0[..8].copy_from_slice(&revision.to_be_bytes());
    Position { epoch: Uuid::from_u128(1), revision, root }
}

fn session(head: u64) -> Session {
    let identity = Identity { node_id: Uuid::from_u128(2), program: "0.1.0".into() };
    Session::new(identity, TIMING, position(head), Duration::ZERO)
}

fn hello(held: Option<Position>) -> Input {
    Input::Frame(Frame::Hello(Hello {
        versions: VERSIONS,
        node_id: Uuid::from_u128(3),
        hostname: "edge-1".into(),
        version: "0.1.0".into(),
        kinds: vec![1, 2],
        fields: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        held,
        instance: None,
        partial: None,
    }))
}

fn nack(revision: u64, reason: NackReason) -> Frame {
    Frame::Nack(Nack {
        epoch: position(0).epoch,
        revision,
        reason,
        message: "no".into(),
        collection: None,
        id: None,
        field: None,
    })
}

fn ack(held: Position) -> Frame {
    Frame::Ack(Ack { held, decode_us: 1, apply_us: 2 })
}

fn update(mode: Mode, from: u64, to: Position) -> Arc<PublishedUpdate> {
    let update = Update::new(mode, from, to, bytes::Bytes::new());
    Arc::new(EncodedUpdate::new(&update).into())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A data plane, the publisher and the connection between them, driven by random choices.
struct World {
    rng: StdRng,
    session: Session,
    now: Duration,
    head: Position,
    held: Option<Position>,
    in_flight: Option<UpdateHeader>,
    fetch: Option<UpdateRequest>,
    refused: Option<u64>,
}

use wire::UpdateHeader;

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let head = rng.random_range(0..5);
        let held = rng.random_bool(0.5).then(|| position(rng.random_range(0..=head)));
        let mut world = Self {
            session: session(head),
            rng,
            now: Duration::ZERO,
            head: position(head),
            held,
            in_flight: None,
            fetch: None,
            refused: None,
        };
        world.step(hello(held));
        world
    }

    fn step(&mut self, input: Input) {
        for action in self.session.step(input, self.now) {
            match action {
                Action::Send(_) | Action::Report(_) => {}
                Action::Fetch(need) => {
                    assert!(self.fetch.is_none() && self.in_flight.is_none(), "one update at a time");
                    self.fetch = Some(need);
                }
                Action::SendUpdate(Sent { update, .. }) => {
                    assert!(self.in_flight.is_none(), "one update in flight");
                    assert_ne!(Some(update.header.to), self.refused, "what was refused is not sent again");
                    self.in_flight = Some(update.header);
                }
                Action::Close(code, reason) => panic!("{code:?}: {reason}"),
            }
        }
    }

    fn publisher_answers(&mut self, may_withhold: bool) {
        let Some(need) = self.fetch.take() else { return };
        if may_withhold && self.rng.random_bool(0.1) {
            return self.step(Input::Withheld(withheld::lacking(self.head)));
        }
        let made = match need {
            UpdateRequest::From(held) if self.rng.random_bool(0.8) => {
                update(Mode::Delta, held.revision, self.head)
            }
            UpdateRequest::From(_) | UpdateRequest::Snapshot | UpdateRequest::Rest(..) => {
                update(Mode::Snapshot, 0, self.head)
            }
            UpdateRequest::Repair(held, _) => update(Mode::Repair, held.revision, self.head),
        };
        self.step(Input::Update(made, 0));
    }

    fn data_plane_answers(&mut self, may_refuse: bool) {
        let Some(header) = self.in_flight.take() else { return };
        let fits = match header.mode {
            Mode::Snapshot => true,
            Mode::Delta => self.held.is_some_and(|held| held.revision == header.from),
            Mode::Repair => self.held.is_some_and(|held| held.revision == header.to),
        };
        assert!(fits, "a {:?} from {} for {:?}", header.mode, header.from, self.held);
        let frame = if may_refuse && self.rng.random_bool(0.3) {
            self.refused = Some(header.to);
            nack(header.to, NackReason::Invalid)
        } else {
            self.refused = None;
            self.held = Some(header.position());
            ack(header.position())
        };
        self.step(Input::Frame(frame));
    }

    fn head_moves(&mut self) {
        self.head = position(self.head.revision + 1);
        self.step(Input::Head(self.head));
    }

    fn anything(&mut self) {
        match self.rng.random_range(0..5) {
            0 => self.head_moves(),
            1 => self.publisher_answers(true),
            2 => self.data_plane_answers(true),
            3 => self.step(Input::Frame(Frame::Heartbeat(self.held.unwrap_or_default()))),
            _ => {
                self.now += Duration::from_secs(self.rng.random_range(0..3));
                self.step(Input::Frame(Frame::Ignored(200)));
            }
        }
    }
}

#[test]
fn whatever_happens_the_data_plane_ends_at_the_head() {
    for seed in 0..500 {
        let mut world = World::new(seed);
        (0..200).for_each(|_| world.anything());
        world.head_moves();
        for _ in 0..4 {
            world.publisher_answers(false);
            world.data_plane_answers(false);
        }
        assert_eq!(world.held, Some(world.head), "seed {seed}");
        assert!(world.in_flight.is_none() && world.fetch.is_none(), "seed {seed}");
    }
}

#[test]
fn a_data_plane_at_the_head_is_sent_nothing() {
    let actions = session(7).step(hello(Some(position(7))), Duration::ZERO);
    assert!(actions.iter().all(|action| !matches!(action, Action::Fetch(_))), "{actions:?}");
}

#[test]
fn a_refused_revision_waits_for_the_next_and_a_reconnect_does_not_bring_it_back() {
    let mut refusing = session(5);
    refusing.step(hello(Some(position(4))), Duration::ZERO);
    refusing.step(Input::Update(update(Mode::Delta, 4, position(5)), 0), Duration::ZERO);
    let actions = refusing.step(Input::Frame(nack(5, NackReason::Invalid)), Duration::ZERO);
    assert!(matches!(&actions[..], [Action::Report(Report::Nacked(_))]), "{actions:?}");

    let mut again = session(5);
    again.remember_refusal(Some(position(5)));
    let actions = again.step(hello(Some(position(4))), Duration::ZERO);
    assert!(actions.iter().all(|action| !matches!(action, Action::Fetch(_))), "{actions:?}");
    let actions = again.step(Input::Head(position(6)), Duration::ZERO);
    assert_eq!(actions, [Action::Fetch(UpdateRequest::From(position(4)))]);
}

#[test]
fn a_root_mismatch_is_answered_by_a_snapshot_once() {
    let mut session = session(5);
    session.step(hello(Some(position(4))), Duration::ZERO);
    session.step(Input::Update(update(Mode::Delta, 4, position(5)), 0), Duration::ZERO);
    let mismatch = || Input::Frame(nack(5, NackReason::RootMismatch));
    let actions = session.step(mismatch(), Duration::ZERO);
    assert_eq!(actions.last(), Some(&Action::Fetch(UpdateRequest::Snapshot)));
    session.step(Input::Update(update(Mode::Snapshot, 0, position(5)), 0), Duration::ZERO);
    let actions = session.step(mismatch(), Duration::ZERO);
    assert!(actions.iter().all(|action| !matches!(action, Action::Fetch(_))), "{actions:?}");
}

#[test]
fn a_data_plane_ahead_of_what_is_known_here_is_not_sent_back() {
    let mut session = session(5);
    let actions = session.step(hello(Some(position(7))), Duration::ZERO);
    assert!(actions.contains(&Action::Fetch(UpdateRequest::From(position(7)))), "{actions:?}");
    assert_eq!(session.step(Input::Level(position(7)), Duration::ZERO), []);
    let actions = session.step(Input::Head(position(8)), Duration::ZERO);
    assert_eq!(actions, [Action::Fetch(UpdateRequest::From(position(7)))], "and goes on from there");
}

#[test]
fn a_data_plane_that_is_still_ahead_waits_for_the_head_to_move() {
    let mut session = session(5);
    session.step(hello(Some(position(7))), Duration::ZERO);
    assert_eq!(
        session.step(Input::Level(position(5)), Duration::ZERO),
        [],
        "it is not asked for again at once"
    );
    assert_eq!(session.step(Input::Head(position(7)), Duration::ZERO), []);
}

#[test]
fn the_head_may_move_while_an_update_is_fetched() {
    let mut session = session(5);
    session.step(hello(Some(position(4))), Duration::ZERO);
    assert_eq!(session.step(Input::Head(position(6)), Duration::ZERO), []);
    session.step(Input::Update(update(Mode::Delta, 4, position(5)), 0), Duration::ZERO);
    let actions = session.step(Input::Frame(ack(position(5))), Duration::ZERO);
    assert_eq!(actions.last(), Some(&Action::Fetch(UpdateRequest::From(position(5)))), "on to the head");
}

#[test]
fn heartbeats_go_on_while_an_update_is_fetched() {
    let mut session = session(5);
    session.step(hello(None), Duration::ZERO);
    let actions = session.step(Input::Tick, seconds(30));
    assert_eq!(actions, [Action::Send(Frame::Heartbeat(position(5)))]);
}

#[test]
fn drift_is_seen_in_the_hello() {
    let mut session = session(5);
    let other = Position { root: Root::default(), ..position(5) };
    let actions = session.step(hello(Some(other)), Duration::ZERO);
    assert!(actions.contains(&Action::Report(Report::Drifted(other))), "{actions:?}");
    assert!(actions.contains(&Action::Send(Frame::BucketsWanted(position(5)))), "{actions:?}");
}

#[test]
fn drift_is_located_and_repaired() {
    let mut session = session(5);
    session.step(hello(Some(position(5))), Duration::ZERO);
    let drifted = Position { root: Root([9; 32]), ..position(5) };
    let actions = session.step(Input::Frame(Frame::Heartbeat(drifted)), seconds(1));
    assert!(actions.contains(&Action::Report(Report::Drifted(drifted))));
    assert!(actions.contains(&Action::Send(Frame::BucketsWanted(position(5)))));
    let hashes = vec![Root::default(); wire::BUCKETS];
    let actions = session.step(Input::Frame(Frame::Buckets(5, hashes.clone())), seconds(2));
    assert_eq!(actions, [Action::Fetch(UpdateRequest::Repair(drifted, hashes))]);
}

#[test]
fn a_silent_data_plane_is_closed() {
    let mut silent = session(5);
    assert_eq!(silent.deadline(), TIMING.hello);
    let actions = silent.step(Input::Tick, TIMING.hello);
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Silent, _)]));

    let mut silent = session(5);
    silent.step(hello(Some(position(5))), Duration::ZERO);
    let actions = silent.step(Input::Tick, seconds(44));
    assert!(matches!(&actions[..], [Action::Send(Frame::Heartbeat(_))]), "{actions:?}");
    let actions = silent.step(Input::Tick, seconds(45));
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Silent, _)]));
}

#[test]
fn silent_data_plane_is_closed_whatever_is_under_way() {
    let mut fetching = session(5);
    fetching.step(hello(None), Duration::ZERO);
    let mut in_flight = session(5);
    in_flight.step(hello(None), Duration::ZERO);
    in_flight.step(Input::Update(update(Mode::Snapshot, 0, position(5)), 0), Duration::ZERO);
    let mut sent = session(5);
    sent.step(hello(None), Duration::ZERO);
    sent.step(Input::Update(update(Mode::Snapshot, 0, position(5)), 0), Duration::ZERO);
    sent.sent(seconds(40));
    let mut hashing = session(5);
    hashing.step(hello(Some(Position { root: Root::default(), ..position(5) })), Duration::ZERO);
    for mut silent in [fetching, in_flight, sent, hashing] {
        let actions = silent.step(Input::Tick, seconds(44));
        assert!(!actions.iter().any(|action| matches!(action, Action::Close(..))), "{actions:?}");
        assert_eq!(silent.deadline(), seconds(45));
        let actions = silent.step(Input::Tick, seconds(45));
        assert!(matches!(&actions[..], [Action::Close(CloseCode::Silent, _)]), "{actions:?}");
        assert!(silent.step(Input::Head(position(6)), seconds(61)).is_empty(), "closed is closed");
    }
}

#[test]
fn data_plane_that_sends_bytes_is_alive_however_long_a_snapshot_takes() {
    let mut session = session(5);
    session.step(hello(None), Duration::ZERO);
    session.step(Input::Update(update(Mode::Snapshot, 0, position(5)), 0), Duration::ZERO);
    for now in (40..4000).step_by(40).map(seconds) {
        session.heard(now);
        let actions = session.step(Input::Tick, now);
        assert!(!actions.iter().any(|action| matches!(action, Action::Close(..))), "{now:?} {actions:?}");
    }
}

#[test]
fn an_ack_is_waited_for_from_the_last_frame_on() {
    let mut session = session(5);
    session.step(hello(None), Duration::ZERO);
    session.step(Input::Update(update(Mode::Snapshot, 0, position(5)), 0), Duration::ZERO);
    // A slow reader took so long for the frames.
    session.heard(seconds(50));
    session.sent(seconds(50));
    session.heard(seconds(90));
    let actions = session.step(Input::Tick, seconds(109));
    assert!(!actions.iter().any(|action| matches!(action, Action::Close(..))), "{actions:?}");
    let actions = session.step(Input::Tick, seconds(110));
    assert!(matches!(&actions[..], [Action::Close(CloseCode::AckTimeout, _)]), "{actions:?}");
}

#[test]
fn data_plane_without_a_common_version_is_reported() {
    let mut session = session(5);
    let Input::Frame(Frame::Hello(mut later)) = hello(None) else { unreachable!() };
    later.versions = Versions { min: 7, max: 9 };
    let actions = session.step(Input::Frame(Frame::Hello(later.clone())), Duration::ZERO);
    let [Action::Report(Report::Incompatible(told, _)), Action::Close(CloseCode::Versions, reason)] =
        &actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!((told, reason.contains("7 to 9")), (&later, true), "{reason}");
}

#[test]
fn part_of_the_hello_is_asked_for_once() {
    let partial = Partial {
        mode: "snapshot".into(),
        from: 0,
        to: position(4),
        encoded_len: 100,
        received: 60,
        hash: Root::default(),
    };
    let mut session = session(5);
    let Input::Frame(Frame::Hello(cut_off)) = hello(None) else { unreachable!() };
    let cut_off = Frame::Hello(Hello { partial: Some(Box::new(partial.clone())), ..cut_off });
    let fetched = |actions: Vec<Action>| {
        let fetch = actions.into_iter().find_map(|action| match action {
            Action::Fetch(request) => Some(request),
            _ => None,
        });
        fetch.expect("an update is fetched")
    };
    let actions = session.step(Input::Frame(cut_off), Duration::ZERO);
    assert_eq!(fetched(actions), UpdateRequest::Rest(partial, None));
    let rest = update(Mode::Snapshot, 0, position(4));
    let actions = session.step(Input::Update(Arc::clone(&rest), 60), Duration::ZERO);
    assert_eq!(actions, [Action::SendUpdate(Sent { update: rest, from: 60 })]);
    // The update that was cut off leads to an earlier revision than the head.
    let actions = session.step(Input::Frame(ack(position(4))), Duration::ZERO);
    assert_eq!(fetched(actions), UpdateRequest::From(position(4)));
}

#[test]
fn health_is_reported_in_every_state_after_the_hello() {
    let report =
        wire::HealthReport { part: wire::ReportPart::Changes, revision: 1, targets: 0, entries: Vec::new() };
    let health = || Input::Frame(Frame::Health(report.clone()));
    let mut early = session(1);
    let actions = early.step(health(), Duration::ZERO);
    assert!(matches!(&actions[..], [Action::Close(CloseCode::Protocol, _)]), "{actions:?}");
    let mut session = session(1);
    session.step(hello(None), Duration::ZERO);
    assert_eq!(session.state, SessionState::Fetching);
    for _ in 0..2 {
        let expected = [Action::Report(Report::Health(report.clone()))];
        assert_eq!(session.step(health(), Duration::ZERO), expected);
        session.step(Input::Update(update(Mode::Snapshot, 0, position(1)), 0), Duration::ZERO);
    }
}
