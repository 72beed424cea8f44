//! The data plane's side of a session: which frames it sends, and when. It has no sockets and no clock.
//! Frames, results and `now` go in, actions come out; the driver in `client.rs` carries them out.
//!
//! The rules stand at the top of the `wire` package. `now` is the time since any fixed moment.

use std::time::Duration;

use wire::{
    Ack, Assembly, CloseCode, Frame, Nack, NackReason, Position, Root, Update, UpdateError, VERSIONS,
};

/// The shortest interval between two heartbeats, whatever a control plane requests: the least that can be
/// configured.
const MOST_OFTEN: Duration = Duration::from_secs(1);
/// The longest heartbeat interval of a control plane that counts, whatever it announces.
const LEAST_OFTEN: Duration = Duration::from_secs(3600);

/// Timeouts of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Interval between two heartbeats, unless the control plane beats more often. The session ends when no
    /// byte comes for 1.5 times the longer of this and the control plane's own interval.
    pub heartbeat: Duration,
    /// Timeout from the upgrade until the welcome.
    pub welcome: Duration,
}

/// Inputs of a session.
#[derive(Debug)]
pub(super) enum Input {
    /// A frame was received.
    Frame(Frame),
    /// The result of [`Action::Apply`].
    Applied(Result<Ack, Nack>),
    /// The result of [`Action::Hash`].
    Hashed(u64, Vec<Root>),
    /// Time has passed.
    Tick,
}

/// Outputs of a session, to be carried out in order.
#[derive(Debug)]
pub(super) enum Action {
    /// Send a frame.
    Send(Frame),
    /// Apply an update and return the result as [`Input::Applied`].
    Apply(Update),
    /// Refuse an update that cannot be read: count it and send the refusal.
    Refuse(Nack),
    /// Hash the buckets of the configuration held and return the result as [`Input::Hashed`].
    Hash,
    /// The control plane has announced its head.
    Head(Position),
    /// The control plane has accepted this node.
    Welcomed,
    /// Close, and give the session no more inputs.
    Close(CloseCode, String),
}

/// The session of one connection.
#[derive(Debug)]
pub(super) struct Session {
    timing: Timing,
    state: SessionState,
    held: Option<Position>,
    assembly: Option<Assembly>,
    /// The part of an update that an earlier connection left, which the hello described.
    kept: Option<Assembly>,
    opened: Duration,
    heard: Duration,
    /// Interval between two heartbeats on this connection.
    heartbeat: Duration,
    next_heartbeat: Duration,
    silence: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionState {
    AwaitWelcome,
    Live,
    Applying,
    Closed,
}

impl Session {
    /// Creates a session on a connection that was just upgraded. The hello was sent, with the position held
    /// and the part kept.
    pub(super) fn new(held: Option<Position>, kept: Option<Assembly>, timing: Timing, now: Duration) -> Self {
        Self {
            timing,
            state: SessionState::AwaitWelcome,
            held,
            assembly: None,
            kept,
            opened: now,
            heard: now,
            heartbeat: timing.heartbeat,
            next_heartbeat: now,
            silence: timing.heartbeat * 3 / 2,
        }
    }

    /// When [`Input::Tick`] is needed next, at the latest.
    pub(super) fn deadline(&self) -> Duration {
        match self.state {
            SessionState::AwaitWelcome => self.opened + self.timing.welcome,
            SessionState::Live | SessionState::Applying => {
                (self.heard + self.silence).min(self.next_heartbeat)
            }
            SessionState::Closed => Duration::MAX,
        }
    }

    /// Notes when the control plane last sent a byte, of any message.
    pub(super) fn heard(&mut self, at: Duration) {
        self.heard = self.heard.max(at);
    }

    /// Processes one input.
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
            Input::Applied(result) => self.applied(result, actions),
            Input::Hashed(revision, hashes) => actions.push(Action::Send(Frame::Buckets(revision, hashes))),
            Input::Tick => {}
        }
        self.watch(now, actions);
    }

    fn frame(&mut self, frame: Frame, now: Duration, actions: &mut Vec<Action>) {
        match (self.state, frame) {
            (SessionState::AwaitWelcome, Frame::Welcome(welcome)) => {
                if welcome.version < VERSIONS.min || welcome.version > VERSIONS.max {
                    let reason = format!("protocol version {} was not offered", welcome.version);
                    return self.close(CloseCode::Versions, reason, actions);
                }
                self.state = SessionState::Live;
                let theirs = Duration::from_millis(welcome.heartbeat_ms).min(LEAST_OFTEN);
                // The side that beats less often determines how long silence is normal.
                self.silence = self.timing.heartbeat.max(theirs) * 3 / 2;
                // A control plane ends the session after 1.5 times its own interval.
                self.heartbeat = self.timing.heartbeat.min(theirs.max(MOST_OFTEN));
                self.next_heartbeat = now + self.heartbeat;
                if self.held == Some(welcome.head) {
                    // No update comes that could go on.
                    self.kept = None;
                }
                actions.push(Action::Welcomed);
                actions.push(Action::Head(welcome.head));
            }
            (SessionState::Live | SessionState::Applying, Frame::Heartbeat(head)) => {
                actions.push(Action::Head(head))
            }
            (SessionState::Live, Frame::Update(header, part)) if self.assembly.is_none() => {
                actions.push(Action::Head(header.position()));
                self.kept = None;
                match Assembly::begin(header, part) {
                    Ok(assembly) => self.assembled(assembly, actions),
                    Err(error) => self.unreadable(header.position(), &error, actions),
                }
            }
            (SessionState::Live, Frame::Continued(header, from)) if self.assembly.is_none() => {
                actions.push(Action::Head(header.position()));
                match self.kept.take().filter(|kept| kept.is_completed_by(&header, from)) {
                    Some(kept) => self.assembled(kept, actions),
                    None => {
                        let reason = "an update goes on that was not begun here".to_owned();
                        self.close(CloseCode::Protocol, reason, actions);
                    }
                }
            }
            (SessionState::Live, Frame::More(part)) if self.assembly.is_some() => self.more(part, actions),
            (SessionState::Live, Frame::BucketsWanted(_)) => actions.push(Action::Hash),
            (_, Frame::Ignored(_)) => {}
            (_, frame) => {
                let reason = format!("a {} frame is out of place here", frame.name());
                self.close(CloseCode::Protocol, reason, actions);
            }
        }
    }

    fn more(&mut self, part: bytes::Bytes, actions: &mut Vec<Action>) {
        if let Some(mut assembly) = self.assembly.take() {
            match assembly.push(part) {
                Ok(()) => self.assembled(assembly, actions),
                Err(error) => self.unreadable(assembly.header().position(), &error, actions),
            }
        }
    }

    fn assembled(&mut self, assembly: Assembly, actions: &mut Vec<Action>) {
        if !assembly.is_complete() {
            self.assembly = Some(assembly);
        } else {
            self.state = SessionState::Applying;
            actions.push(Action::Apply(assembly.finish()));
        }
    }

    /// An update whose lengths are wrong: the session cannot separate later parts from it, so the
    /// refusal is the last thing that is said here.
    fn unreadable(&mut self, to: Position, error: &UpdateError, actions: &mut Vec<Action>) {
        let reason = match error {
            UpdateError::TooLarge { .. } => NackReason::TooLarge,
            _ => NackReason::Malformed,
        };
        actions.push(Action::Refuse(refusal(to, reason, error.to_string())));
        self.close(CloseCode::Protocol, error.to_string(), actions);
    }

    fn applied(&mut self, result: Result<Ack, Nack>, actions: &mut Vec<Action>) {
        self.state = SessionState::Live;
        match result {
            Ok(ack) => {
                self.held = Some(ack.held);
                actions.push(Action::Send(Frame::Ack(ack)));
            }
            Err(nack) => actions.push(Action::Send(Frame::Nack(nack))),
        }
    }

    fn watch(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.state {
            SessionState::Closed => {}
            SessionState::AwaitWelcome => {
                if now >= self.opened + self.timing.welcome {
                    self.close(CloseCode::Silent, "no welcome in time".into(), actions);
                }
            }
            SessionState::Live | SessionState::Applying => {
                if now >= self.heard + self.silence {
                    self.close(CloseCode::Silent, "no heartbeat in time".into(), actions);
                } else if now >= self.next_heartbeat {
                    self.next_heartbeat = now + self.heartbeat;
                    actions.push(Action::Send(Frame::Heartbeat(self.held.unwrap_or_default())));
                }
            }
        }
    }

    /// Ends the session, and returns the part of an update that it has received.
    pub(super) fn into_part(self) -> Option<Assembly> {
        self.assembly.or(self.kept)
    }

    fn close(&mut self, code: CloseCode, reason: String, actions: &mut Vec<Action>) {
        self.state = SessionState::Closed;
        if code == CloseCode::Protocol {
            (self.assembly, self.kept) = (None, None);
        }
        actions.push(Action::Close(code, reason));
    }
}

fn refusal(to: Position, reason: NackReason, message: String) -> Nack {
    let (epoch, revision) = (to.epoch, to.revision);
    Nack { epoch, revision, reason, message, collection: None, id: None, field: None }
}

#[cfg(test)]
mod tests;
