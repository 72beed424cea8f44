//! Carries out the actions of a session on one data plane's connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use node::link::{Event, Link, LinkError, Peer};
use node::text::one_line;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use wire::{CloseCode, Frame, Position};

use super::admission::AdmissionPermit;
use super::registry::{Membership, Registry};
use super::session::{Action, Identity, Input, Report, Session, Timing, UpdateRequest};
use crate::metrics::ClusterMetrics;
use crate::publish::{Known, PublishedUpdate, Publisher};

/// The maximum delay until the session's next tick: a clock cannot add [`Duration::MAX`].
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Timeout for a data plane that accepts no byte, though it may be alive: the bytes that wait for it cost
/// memory.
const STUCK: Duration = Duration::from_secs(60);
/// Timeout for the answer to a probe.
const PROBE: Duration = Duration::from_secs(5);

/// The shared parts that every connection needs; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) identity: Identity,
    pub(super) timing: Timing,
    pub(super) publisher: Publisher,
    pub(super) registry: Registry,
    pub(super) metrics: ClusterMetrics,
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
enum Disconnect {
    #[error("the connection was lost: {0}")]
    Link(#[from] LinkError),
    #[error("the data plane closed the connection")]
    ByPeer,
    #[error("{1} ({0:?})")]
    ByUs(CloseCode, String),
}

/// Serves one data plane until either side ends the connection.
pub(super) async fn serve(
    link: Link,
    peer: Peer,
    permit: AdmissionPermit,
    context: Context,
    stop: CancellationToken,
) {
    let address = peer.address;
    let mut connection = Connection::new(link, peer, permit, context);
    let ended = connection.run(&stop).await;
    match &ended {
        Disconnect::ByPeer => debug!(%address, "{ended}"),
        Disconnect::ByUs(CloseCode::ShuttingDown | CloseCode::Replaced, _) => {
            debug!(%address, "{ended}")
        }
        Disconnect::ByUs(..) | Disconnect::Link(_) => warn!(%address, "{ended}"),
    }
    // The registry counts it as gone at once, also while the close frame is on its way.
    connection.membership = None;
    if let Some(update) = connection.sending.take() {
        connection.context.publisher.cut_off(update);
    }
    match &ended {
        Disconnect::ByUs(code, reason) => connection.link.close(code.number(), reason).await,
        Disconnect::Link(LinkError::Protocol(reason)) => {
            connection.context.metrics.unreadable_frames.inc();
            connection.link.close(CloseCode::Protocol.number(), reason).await;
        }
        Disconnect::Link(_) | Disconnect::ByPeer => {}
    }
    connection.count();
}

struct Connection {
    link: Link,
    peer: Peer,
    permit: AdmissionPermit,
    context: Context,
    session: Session,
    membership: Option<Membership>,
    /// What the data plane knows, from its hello.
    known: Arc<Known>,
    /// The update that the session has requested. The session continues meanwhile: reading the log may take
    /// long, and neither side may be silent for that time.
    fetching: Option<BoxFuture<'static, Input>>,
    /// The update that the data plane has not answered.
    sending: Option<Arc<PublishedUpdate>>,
    head: watch::Receiver<Position>,
    opened: Instant,
    /// When the data plane was probed, because another process uses its id.
    probed: Option<Instant>,
    counted: (u64, u64),
}

impl Connection {
    fn new(link: Link, peer: Peer, permit: AdmissionPermit, context: Context) -> Self {
        let mut head = context.publisher.head();
        let position = *head.borrow_and_update();
        let session = Session::new(context.identity.clone(), context.timing, position, Duration::ZERO);
        let opened = Instant::now();
        Self {
            link,
            peer,
            permit,
            context,
            session,
            membership: None,
            known: Arc::default(),
            fetching: None,
            sending: None,
            head,
            opened,
            probed: None,
            counted: (0, 0),
        }
    }

    async fn run(&mut self, stop: &CancellationToken) -> Disconnect {
        loop {
            match self.turn(stop).await {
                Ok(()) => {}
                Err(ended) => return ended,
            }
        }
    }

    /// Waits for the next event and handles it.
    async fn turn(&mut self, stop: &CancellationToken) -> Result<(), Disconnect> {
        let (replaced, probe) = self.membership.as_ref().map(Membership::signals).unzip();
        let wait = self.wait();
        let input = tokio::select! {
            event = self.link.next() => match event? {
                Event::Message(message) => Input::Frame(self.decode(&message)?),
                Event::Sent => {
                    self.session.sent(self.opened.elapsed());
                    return Ok(());
                }
                Event::Closed => return Err(Disconnect::ByPeer),
            },
            changed = self.head.changed() => match changed {
                Ok(()) => Input::Head(*self.head.borrow_and_update()),
                Err(_) => return Err(Disconnect::ByUs(CloseCode::ShuttingDown, "the control plane ends".into())),
            },
            fetched = pending(&mut self.fetching) => {
                self.fetching = None;
                fetched
            }
            () = tokio::time::sleep(wait) => Input::Tick,
            () = notified(probe) => {
                self.probed.get_or_insert_with(Instant::now);
                self.link.ping();
                return Ok(());
            }
            reason = self.permit.withdrawn() => return Err(Disconnect::ByUs(CloseCode::Forbidden, reason)),
            () = stop.cancelled() => {
                return Err(Disconnect::ByUs(CloseCode::ShuttingDown, "the control plane ends".into()));
            }
            () = cancelled(replaced) => {
                return Err(Disconnect::ByUs(CloseCode::Replaced, "this node id has connected anew or was removed".into()));
            }
        };
        self.step(input)?;
        self.count();
        Ok(())
    }

    /// Returns the time until the next action, if no event comes before.
    fn wait(&mut self) -> Duration {
        self.session.heard(self.link.last_heard().saturating_duration_since(self.opened));
        let stuck = self.link.stuck_since().map(|since| since + STUCK);
        let probe = self.unanswered_probe().map(|since| since + PROBE);
        let due = self.session.deadline().saturating_sub(self.opened.elapsed()).min(LONGEST_WAIT);
        let sooner = [stuck, probe].into_iter().flatten().min();
        sooner.map_or(due, |at| due.min(at.saturating_duration_since(Instant::now())))
    }

    fn unanswered_probe(&mut self) -> Option<Instant> {
        self.probed.take_if(|probed| self.link.last_heard() >= *probed);
        self.probed
    }

    fn step(&mut self, input: Input) -> Result<(), Disconnect> {
        self.check_alive()?;
        if let Input::Frame(Frame::Hello(hello)) = &input {
            let named = self.permit.check_name(hello.node_id);
            named.map_err(|reason| Disconnect::ByUs(CloseCode::Forbidden, reason))?;
            self.known = Arc::new(Known::from(hello));
            self.session.remember_refusal(self.context.registry.refused(hello));
        }
        self.session.heard(self.link.last_heard().saturating_duration_since(self.opened));
        for action in self.session.step(input, self.opened.elapsed()) {
            self.act(action)?;
        }
        Ok(())
    }

    fn check_alive(&mut self) -> Result<(), Disconnect> {
        if self.link.stuck_since().is_some_and(|since| since.elapsed() >= STUCK) {
            return Err(Disconnect::ByUs(CloseCode::Silent, "the data plane takes no bytes".into()));
        }
        if self.unanswered_probe().is_some_and(|since| since.elapsed() >= PROBE) {
            return Err(Disconnect::ByUs(CloseCode::Silent, "no answer to a ping in time".into()));
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), Disconnect> {
        match action {
            // While frames wait to be sent, their bytes replace the heartbeat.
            Action::Send(Frame::Heartbeat(_)) if self.link.stuck_since().is_some() => {}
            Action::Send(frame) => self.link.queue(frame.encode()),
            Action::SendUpdate(update) => {
                update.frames().into_iter().for_each(|frame| self.link.queue(frame));
                self.sending = Some(update.update);
            }
            Action::Report(Report::Joined(hello)) => {
                let joined = self.context.registry.join(&hello, &self.peer);
                let joined = joined.map_err(|reason| Disconnect::ByUs(CloseCode::InUse, reason))?;
                // One that holds the head already gets no update that would show it.
                if let Some(lacking) = self.context.publisher.lacking(&self.known) {
                    joined.report(&Report::Withheld(lacking));
                }
                self.membership = Some(joined);
                hello.held.into_iter().for_each(|held| self.context.publisher.data_plane_holds(held));
            }
            Action::Report(Report::Incompatible(hello, reason)) => {
                self.context.registry.incompatible(&hello, &self.peer, &reason);
            }
            Action::Report(Report::Health(report)) => {
                if let Some(membership) = &self.membership {
                    membership.report_health(report);
                }
            }
            Action::Report(report) => {
                if matches!(report, Report::Acked(_) | Report::Nacked(_)) {
                    self.sending = None;
                }
                if let Some(membership) = &self.membership {
                    membership.report(&report);
                }
            }
            Action::Close(code, reason) => return Err(Disconnect::ByUs(code, reason)),
            Action::Fetch(need) => {
                let (publisher, known) = (self.context.publisher.clone(), Arc::clone(&self.known));
                self.fetching = Some(Box::pin(fetch(publisher, known, need)));
            }
        }
        Ok(())
    }

    fn decode(&self, message: &bytes::Bytes) -> Result<Frame, Disconnect> {
        Frame::decode(message).map_err(|error| {
            self.context.metrics.unreadable_frames.inc();
            Disconnect::ByUs(CloseCode::Protocol, one_line(&error.to_string()))
        })
    }

    fn count(&mut self) {
        let now = self.link.transferred();
        let before = std::mem::replace(&mut self.counted, now);
        self.context.metrics.received_bytes.inc_by(now.0 - before.0);
        self.context.metrics.sent_bytes.inc_by(now.1 - before.1);
    }
}

/// Fetches an update, unless the data plane lacks something that it must understand. The head may move
/// meanwhile, so the update counts as well.
async fn fetch(publisher: Publisher, known: Arc<Known>, need: UpdateRequest) -> Input {
    if let Some(lacking) = publisher.lacking(&known) {
        return Input::Withheld(lacking);
    }
    match fetch_any(&publisher, need).await {
        Some((update, from)) => match update.lacking(&known) {
            Some(lacking) => Input::Withheld(lacking),
            None => Input::Update(update, from),
        },
        None => Input::Level(*publisher.head().borrow()),
    }
}

/// Returns an update, and the byte of its payload from which to send it.
async fn fetch_any(publisher: &Publisher, need: UpdateRequest) -> Option<(Arc<PublishedUpdate>, u64)> {
    let whole = |update| (update, 0);
    match need {
        UpdateRequest::From(held) => publisher.update_from(Some(held)).await.map(whole),
        UpdateRequest::Rest(partial, held) => publisher.rest_of(partial, held).await,
        UpdateRequest::Snapshot => publisher.update_from(None).await.map(whole),
        UpdateRequest::Repair(held, buckets) => match publisher.repair(held, &buckets).await {
            Some(repair) => Some(whole(repair)),
            None => publisher.update_from(Some(held)).await.map(whole),
        },
    }
}

/// Waits for the future in progress; for ever, if there is none.
async fn pending<T>(under_way: &mut Option<BoxFuture<'static, T>>) -> T {
    match under_way {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn notified(notify: Option<Arc<Notify>>) {
    match notify {
        Some(notify) => notify.notified().await,
        None => std::future::pending().await,
    }
}

async fn cancelled(token: Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
