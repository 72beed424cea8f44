//! What a control plane says to one data plane, and when. No sockets and no clock: frames, updates and
//! `now` go in, actions come out; the driver in `connection.rs` carries them out.
//!
//! The rules stand at the top of the `wire` package. `now` is the time since any fixed moment.

use std::sync::Arc;
use std::time::Duration;

use wire::{
    Ack, CloseCode, EncodedUpdate, Frame, Hello, Nack, NackReason, Position, Root, VERSIONS, Welcome,
};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Between two heartbeats; no byte from the data plane for 1.5 times this ends the session, whatever it does.
    pub heartbeat: Duration,
    /// From the last frame of an update until the ack or nack of a data plane that is alive.
    pub ack: Duration,
    /// From the upgrade until the hello.
    pub hello: Duration,
}

/// Who the control plane is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Its id.
    pub node_id: uuid::Uuid,
    /// Its program's version.
    pub program: String,
}

/// What goes in.
#[derive(Debug)]
pub(super) enum Input {
    /// A frame came.
    Frame(Frame),
    /// The head has moved.
    Head(Position),
    /// What [`Action::Fetch`] asked for.
    Update(Arc<EncodedUpdate>),
    /// Instead of it: the head is here, and nothing leads to it from what is held, or nothing is known that does.
    Level(Position),
    /// Time has passed.
    Tick,
}

/// What comes out, to be done in this order.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Send a frame.
    Send(Frame),
    /// Get an update from the publisher and put it in as [`Input::Update`].
    Fetch(UpdateRequest),
    /// Send all frames of an update.
    SendUpdate(Sent),
    /// Tell the registry.
    Report(Report),
    /// Close, and put nothing in any more.
    Close(CloseCode, String),
}

/// An update that is to be sent; compared by what it is.
#[derive(Clone, Debug)]
pub(super) struct Sent(pub Arc<EncodedUpdate>);

impl PartialEq for Sent {
    fn eq(&self, other: &Self) -> bool {
        self.0.header == other.0.header
    }
}

/// Which update is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UpdateRequest {
    /// Whatever leads from here to the head: a delta where the log reaches, else a snapshot.
    From(Position),
    /// A snapshot of the head.
    Snapshot,
    /// The buckets of the head that differ from these.
    Repair(Position, Vec<Root>),
}

/// What the registry wants to know.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Report {
    /// The data plane has introduced itself.
    Joined(Hello),
    /// It has, and speaks no version in common, for this reason.
    Incompatible(Hello, String),
    /// It is alive and holds this.
    Heard(Position),
    /// It has made an update live.
    Acked(Ack),
    /// It has refused one.
    Nacked(Nack),
    /// It holds another root than this control plane at the same revision.
    Drifted(Position),
}

/// One data plane's session.
#[derive(Debug)]
pub(super) struct Session {
    identity: Identity,
    timing: Timing,
    head: Position,
    state: SessionState,
    held: Option<Position>,
    /// The head that a refused update led to: nothing is sent until the head has moved past it.
    refused: Option<Position>,
    opened: Duration,
    heard: Duration,
    next_heartbeat: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum SessionState {
    AwaitHello,
    Idle,
    Fetching,
    /// An update is on its way; `since` its last frame has gone.
    InFlight {
        to: Position,
        since: Option<Duration>,
    },
    AwaitBuckets {
        since: Duration,
    },
    Closed,
}

impl Session {
    /// A session whose connection has just been upgraded.
    pub(super) const fn new(identity: Identity, timing: Timing, head: Position, now: Duration) -> Self {
        Self {
            identity,
            timing,
            head,
            state: SessionState::AwaitHello,
            held: None,
            refused: None,
            opened: now,
            heard: now,
            next_heartbeat: now,
        }
    }

    /// What this data plane refused before it connected: it is not sent again.
    pub(super) const fn remember_refusal(&mut self, refused: Option<Position>) {
        self.refused = refused;
    }

    /// When [`Input::Tick`] is next wanted, at the latest.
    pub(super) fn deadline(&self) -> Duration {
        match self.state {
            SessionState::AwaitHello => self.opened + self.timing.hello,
            SessionState::Closed => Duration::MAX,
            _ => self.next_heartbeat.min(self.heard + self.silence()).min(self.answer_due()),
        }
    }

    /// Notes when the data plane gave its last sign of life: a byte, of whatever.
    pub(super) fn heard(&mut self, at: Duration) {
        self.heard = self.heard.max(at);
    }

    /// Notes that the last frame of an update has gone: from here on its ack is waited for.
    pub(super) const fn sent(&mut self, now: Duration) {
        if let SessionState::InFlight { since: since @ None, .. } = &mut self.state {
            *since = Some(now);
        }
    }

    /// Takes one input.
    pub(super) fn step(&mut self, input: Input, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state != SessionState::Closed {
            self.take(input, now, &mut actions);
        }
        actions
    }

    fn take(&mut self, input: Input, now: Duration, actions: &mut Vec<Action>) {
        match input {
            Input::Frame(frame) => {
                self.heard(now);
                self.frame(frame, now, actions);
            }
            Input::Head(head) => {
                self.head = head;
                self.advance(now, actions);
            }
            Input::Update(update) => self.update(update, actions),
            Input::Level(head) => {
                self.head = head;
                self.state = SessionState::Idle;
                // Who is ahead keeps what it has; when the head moves, it is seen whether that led there.
                if !self.is_ahead() {
                    self.advance(now, actions);
                }
            }
            Input::Tick => {}
        }
        self.watch(now, actions);
    }

    fn frame(&mut self, frame: Frame, now: Duration, actions: &mut Vec<Action>) {
        match (self.state, frame) {
            (SessionState::AwaitHello, Frame::Hello(hello)) => self.welcome(hello, now, actions),
            (SessionState::AwaitHello, frame) => self.out_of_place(&frame, actions),
            (_, Frame::Heartbeat(held)) => self.heartbeat(held, now, actions),
            (SessionState::InFlight { to, .. }, Frame::Ack(ack)) if ack.held == to => {
                self.held = Some(to);
                self.refused = None;
                self.state = SessionState::Idle;
                actions.push(Action::Report(Report::Acked(ack)));
                self.advance(now, actions);
            }
            (SessionState::InFlight { to, .. }, Frame::Nack(nack)) if nack.revision == to.revision => {
                self.nacked(to, nack, now, actions);
            }
            (SessionState::AwaitBuckets { .. }, Frame::Buckets(revision, hashes)) => {
                self.state = SessionState::Idle;
                match self.held {
                    Some(held) if held.revision == revision && revision == self.head.revision => {
                        self.fetch(UpdateRequest::Repair(held, hashes), actions);
                    }
                    _ => self.advance(now, actions),
                }
            }
            (_, Frame::Ignored(_)) => {}
            (_, frame) => self.out_of_place(&frame, actions),
        }
    }

    fn welcome(&mut self, hello: Hello, now: Duration, actions: &mut Vec<Action>) {
        let Some(version) = VERSIONS.common(hello.versions) else {
            let (ours, theirs) = (VERSIONS, hello.versions);
            let reason = format!(
                "this control plane speaks protocol versions {} to {}, the data plane {} to {}",
                ours.min, ours.max, theirs.min, theirs.max
            );
            actions.push(Action::Report(Report::Incompatible(hello, reason.clone())));
            return self.close(CloseCode::Versions, reason, actions);
        };
        self.held = hello.held;
        self.state = SessionState::Idle;
        self.next_heartbeat = now + self.timing.heartbeat;
        actions.push(Action::Send(Frame::Welcome(Welcome {
            version,
            node_id: self.identity.node_id,
            program: self.identity.program.clone(),
            head: self.head,
            heartbeat_ms: u64::try_from(self.timing.heartbeat.as_millis()).unwrap_or(u64::MAX),
        })));
        actions.push(Action::Report(Report::Joined(hello)));
        self.advance(now, actions);
    }

    fn nacked(&mut self, to: Position, nack: Nack, now: Duration, actions: &mut Vec<Action>) {
        self.state = SessionState::Idle;
        let reason = nack.reason;
        actions.push(Action::Report(Report::Nacked(nack)));
        match reason {
            // Not the entities' fault: a snapshot mends it. Were that refused too, `held` is `None` then
            // and the next arm's rule holds.
            NackReason::OutOfOrder | NackReason::RootMismatch if self.held.is_some() => {
                self.held = None;
                self.fetch(UpdateRequest::Snapshot, actions);
            }
            _ => self.refused = Some(to),
        }
        self.advance(now, actions);
    }

    fn heartbeat(&mut self, held: Position, now: Duration, actions: &mut Vec<Action>) {
        actions.push(Action::Report(Report::Heard(held)));
        if self.state == SessionState::Idle && self.is_drifted(held) {
            self.held = Some(held);
            self.locate_drift(held, now, actions);
        }
    }

    fn update(&mut self, update: Arc<EncodedUpdate>, actions: &mut Vec<Action>) {
        let to = update.header.position();
        // The head may have moved while it was fetched, and this may be told of it here first, or last.
        if to.epoch == self.head.epoch && to.revision > self.head.revision {
            self.head = to;
        }
        self.state = SessionState::InFlight { to, since: None };
        actions.push(Action::SendUpdate(Sent(update)));
    }

    /// Sends what is missing, if nothing is under way.
    fn advance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let refused = self.refused.is_some_and(|refused| {
            refused.epoch == self.head.epoch && refused.revision >= self.head.revision
        });
        if self.state != SessionState::Idle || refused {
            return;
        }
        match self.held {
            Some(held) if held == self.head => {}
            Some(held) if self.is_drifted(held) => self.locate_drift(held, now, actions),
            Some(held) => self.fetch(UpdateRequest::From(held), actions),
            None => self.fetch(UpdateRequest::Snapshot, actions),
        }
    }

    fn is_ahead(&self) -> bool {
        self.held.is_some_and(|held| held.epoch == self.head.epoch && held.revision > self.head.revision)
    }

    fn is_drifted(&self, held: Position) -> bool {
        held.epoch == self.head.epoch && held.revision == self.head.revision && held.root != self.head.root
    }

    fn locate_drift(&mut self, held: Position, now: Duration, actions: &mut Vec<Action>) {
        self.state = SessionState::AwaitBuckets { since: now };
        actions.push(Action::Report(Report::Drifted(held)));
        actions.push(Action::Send(Frame::BucketsWanted(self.head)));
    }

    fn fetch(&mut self, need: UpdateRequest, actions: &mut Vec<Action>) {
        self.state = SessionState::Fetching;
        actions.push(Action::Fetch(need));
    }

    /// One clock says whether a data plane is alive: that of its last byte. It beats also while it receives or
    /// applies an update.
    fn watch(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let late = match self.state {
            SessionState::Closed => return,
            SessionState::AwaitHello if now < self.opened + self.timing.hello => return,
            SessionState::AwaitHello => Some((CloseCode::Silent, "no hello in time")),
            _ if now >= self.heard + self.silence() => Some((CloseCode::Silent, "no heartbeat in time")),
            _ if now >= self.answer_due() => Some((CloseCode::AckTimeout, "no answer to an update in time")),
            _ => None,
        };
        if let Some((code, reason)) = late {
            return self.close(code, reason.into(), actions);
        }
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + self.timing.heartbeat;
            actions.push(Action::Send(Frame::Heartbeat(self.head)));
        }
    }

    /// Until when an answer may take.
    fn answer_due(&self) -> Duration {
        match self.state {
            SessionState::InFlight { since: Some(since), .. } | SessionState::AwaitBuckets { since } => {
                since + self.timing.ack
            }
            _ => Duration::MAX,
        }
    }

    fn silence(&self) -> Duration {
        self.timing.heartbeat * 3 / 2
    }

    fn out_of_place(&mut self, frame: &Frame, actions: &mut Vec<Action>) {
        self.close(CloseCode::Protocol, format!("a {} frame is out of place here", frame.name()), actions);
    }

    fn close(&mut self, code: CloseCode, reason: String, actions: &mut Vec<Action>) {
        self.state = SessionState::Closed;
        actions.push(Action::Close(code, reason));
    }
}

#[cfg(test)]
mod tests;
