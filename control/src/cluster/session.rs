//! The protocol of one session with a data plane, without sockets and clock. Frames, updates and `now` go in,
//! and actions come out; the driver in `connection.rs` carries them out.
//!
//! The `wire` package documents the rules. `now` is the time since any fixed moment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wire::{
    Ack, CloseCode, Frame, HealthReport, Hello, Nack, NackReason, Partial, Position, Root, VERSIONS, Welcome,
};

use crate::publish::{Lacking, PublishedUpdate};

/// Timeouts and intervals of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Interval of heartbeats. A data plane that sends no byte for 1.5 times this is disconnected, whatever
    /// it does.
    pub heartbeat: Duration,
    /// Timeout for the ack or nack of a data plane that is alive, from the last frame of the update.
    pub ack: Duration,
    /// Timeout for the hello, from the upgrade.
    pub hello: Duration,
}

/// The identity of the control plane.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Its id.
    pub node_id: uuid::Uuid,
    /// Its program's version.
    pub program: String,
}

/// Inputs of a session.
#[derive(Debug)]
pub(super) enum Input {
    /// A frame from the data plane.
    Frame(Frame),
    /// The head has moved.
    Head(Position),
    /// The update that [`Action::Fetch`] requested, and the byte of its payload from which to send it.
    Update(Arc<PublishedUpdate>, u64),
    /// The answer to [`Action::Fetch`] without an update: the head is here, and no update to it is needed or
    /// known.
    Level(Position),
    /// The answer to [`Action::Fetch`] when no update may be sent: the data plane lacks something that it must
    /// understand.
    Withheld(Lacking),
    /// Time has passed.
    Tick,
}

/// Actions of a session, to be carried out in their order.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Send a frame.
    Send(Frame),
    /// Request an update from the publisher and return it as [`Input::Update`].
    Fetch(UpdateRequest),
    /// Send all frames of an update.
    SendUpdate(Sent),
    /// Report to the registry.
    Report(Report),
    /// Close, and give the session no further input.
    Close(CloseCode, String),
}

/// An update to send; compared by its content.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) update: Arc<PublishedUpdate>,
    /// The first byte of the payload that the data plane has not received.
    pub(super) from: u64,
}

impl PartialEq for Sent {
    fn eq(&self, other: &Self) -> bool {
        (self.update.header, self.from) == (other.update.header, other.from)
    }
}

impl Sent {
    /// Returns the frames to send.
    pub(super) fn frames(&self) -> Vec<Bytes> {
        match self.from {
            0 => self.update.frames.clone(),
            from => self.update.frames_from(from),
        }
    }
}

/// A request for an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UpdateRequest {
    /// An update from this position to the head: a delta where the log reaches, else a snapshot.
    From(Position),
    /// The rest of the update of which the data plane has received this part; else an update from the
    /// position that it holds.
    Rest(Partial, Option<Position>),
    /// A snapshot of the head.
    Snapshot,
    /// The buckets of the head that differ from these.
    Repair(Position, Vec<Root>),
}

/// Reports of a session to the registry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Report {
    /// The data plane has sent its hello.
    Joined(Hello),
    /// The data plane has sent its hello and has no protocol version in common, for this reason.
    Incompatible(Hello, String),
    /// The data plane is alive and holds this position.
    Heard(Position),
    /// The data plane has applied an update.
    Acked(Ack),
    /// The data plane has rejected an update.
    Nacked(Nack),
    /// Updates are withheld from the data plane.
    Withheld(Lacking),
    /// The data plane holds another root than this control plane at the same revision.
    Drifted(Position),
    /// The data plane has reported the health of targets.
    Health(HealthReport),
}

/// One data plane's session.
#[derive(Debug)]
pub(super) struct Session {
    identity: Identity,
    timing: Timing,
    head: Position,
    state: SessionState,
    held: Option<Position>,
    /// What the data plane has received of an update on its last connection.
    partial: Option<Partial>,
    /// The head of a rejected update: the session sends nothing until the head has moved past it.
    refused: Option<Position>,
    /// The head that was withheld: the session requests nothing until the head has moved.
    withheld: Option<Position>,
    opened: Duration,
    heard: Duration,
    next_heartbeat: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum SessionState {
    AwaitHello,
    Idle,
    Fetching,
    /// An update is on its way; its last frame was sent at `since`.
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
    /// Creates a session whose connection has just been upgraded.
    pub(super) const fn new(identity: Identity, timing: Timing, head: Position, now: Duration) -> Self {
        Self {
            identity,
            timing,
            head,
            state: SessionState::AwaitHello,
            held: None,
            partial: None,
            refused: None,
            withheld: None,
            opened: now,
            heard: now,
            next_heartbeat: now,
        }
    }

    /// Notes the position that this data plane rejected before it connected: it is not sent again.
    pub(super) const fn remember_refusal(&mut self, refused: Option<Position>) {
        self.refused = refused;
    }

    /// Returns the latest time for the next [`Input::Tick`].
    pub(super) fn deadline(&self) -> Duration {
        match self.state {
            SessionState::AwaitHello => self.opened + self.timing.hello,
            SessionState::Closed => Duration::MAX,
            _ => self.next_heartbeat.min(self.heard + self.silence()).min(self.answer_due()),
        }
    }

    /// Notes when the data plane last sent a byte.
    pub(super) fn heard(&mut self, at: Duration) {
        self.heard = self.heard.max(at);
    }

    /// Notes that the last frame of an update was sent: the timeout of its ack begins.
    pub(super) const fn sent(&mut self, now: Duration) {
        if let SessionState::InFlight { since: since @ None, .. } = &mut self.state {
            *since = Some(now);
        }
    }

    /// Handles one input.
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
            Input::Update(update, from) => self.update(update, from, actions),
            Input::Level(head) => {
                self.head = head;
                self.state = SessionState::Idle;
                // A data plane that is ahead keeps its configuration; the next head shows whether it is on
                // the way to it.
                if !self.is_ahead() {
                    self.advance(now, actions);
                }
            }
            Input::Withheld(lacking) => self.withhold(lacking, now, actions),
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
            (_, Frame::Health(report)) => actions.push(Action::Report(Report::Health(report))),
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
        self.partial = hello.partial.as_deref().cloned();
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
            // Not the fault of an entity: a snapshot resolves it. If that is rejected too, `held` is `None`
            // and the next arm's rule applies.
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
        if self.state == SessionState::Idle && self.is_drifted(held) && !self.is_withheld() {
            self.held = Some(held);
            self.locate_drift(held, now, actions);
        }
    }

    fn update(&mut self, update: Arc<PublishedUpdate>, from: u64, actions: &mut Vec<Action>) {
        let to = update.header.position();
        // The head may have moved during the fetch; this update and [`Input::Head`] may come in either order.
        if to.epoch == self.head.epoch && to.revision > self.head.revision {
            self.head = to;
        }
        self.state = SessionState::InFlight { to, since: None };
        actions.push(Action::SendUpdate(Sent { update, from }));
    }

    /// Sends nothing of this head. The next one is looked at again: what the data plane lacks may be deleted.
    fn withhold(&mut self, lacking: Lacking, now: Duration, actions: &mut Vec<Action>) {
        let to = lacking.to;
        // As for an update, the head may have moved meanwhile, in either order.
        if to.epoch == self.head.epoch && to.revision > self.head.revision {
            self.head = to;
        }
        self.state = SessionState::Idle;
        self.withheld = Some(to);
        actions.push(Action::Report(Report::Withheld(lacking)));
        self.advance(now, actions);
    }

    fn is_withheld(&self) -> bool {
        self.withheld == Some(self.head)
    }

    /// Requests or sends the missing update, if none is in progress.
    fn advance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let refused = self.refused.is_some_and(|refused| {
            refused.epoch == self.head.epoch && refused.revision >= self.head.revision
        });
        if self.state != SessionState::Idle || refused || self.is_withheld() {
            return;
        }
        match self.held {
            Some(held) if held == self.head => {}
            Some(held) if self.is_drifted(held) => self.locate_drift(held, now, actions),
            held => {
                // The data plane drops its part when another update begins.
                let request = match (self.partial.take(), held) {
                    (Some(partial), held) => UpdateRequest::Rest(partial, held),
                    (None, Some(held)) => UpdateRequest::From(held),
                    (None, None) => UpdateRequest::Snapshot,
                };
                self.fetch(request, actions);
            }
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

    /// Disconnects a silent data plane. Only the time of its last byte counts; it sends heartbeats also while
    /// it receives or applies an update.
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

    /// Returns the deadline of the awaited answer.
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
