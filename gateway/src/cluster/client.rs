//! Connects to the control planes in turn and carries out the decisions of a session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node::identity::POLL;
use node::link::{self, Closing, Event, Link, LinkError};
use node::text::one_line;
use rustls::ClientConfig;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wire::{Assembly, CloseCode, Frame, FrameError, Hello, NackReason, VERSIONS};

use super::Agent;
use super::applying::{Applied, Applying};
use super::backoff::Backoff;
use super::health::{self, HealthPacer};
use super::session::{Action, Input, Session, Timing};

/// Timeout from the upgrade until the welcome.
const WELCOME: Duration = Duration::from_secs(10);
/// Timeout of sending: a control plane that takes no bytes for this long is left.
const STUCK: Duration = Duration::from_secs(60);

/// The longest wait between two steps of the session: a clock cannot add [`Duration::MAX`].
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
enum Disconnect {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the control plane closed the connection{0}")]
    ByPeer(String),
    #[error("the control plane refuses this node: {0}")]
    Forbidden(String),
    #[error("closed: {1}")]
    ByUs(CloseCode, String),
    #[error("cannot use the cluster's certificate: {0}")]
    Identity(#[from] rustls::Error),
}

/// Keeps a connection to one of the control planes until `stop`.
pub(super) async fn run(agent: &mut Agent, stop: &CancellationToken) {
    run_over(link::connect, agent, stop).await;
}

/// [`run`], with the function that connects to an address.
async fn run_over<D>(dial: D, agent: &mut Agent, stop: &CancellationToken)
where
    D: AsyncFn(&str, Arc<ClientConfig>) -> Result<Link, LinkError>,
{
    let mut backoff = Backoff::default();
    for attempt in 0_usize.. {
        let address = agent.settings.control_planes[attempt % agent.settings.control_planes.len()].clone();
        let begun = Instant::now();
        let ended = connect(&dial, agent, &address, stop).await;
        if stop.is_cancelled() {
            return;
        }
        let forbidden = matches!(ended, Disconnect::Forbidden(_));
        let delay = backoff.after(begun.elapsed(), forbidden, rand::random());
        agent.lost(&address, &ended);
        let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        warn!(control_plane = address, retry_ms, "no control plane: {ended}");
        tokio::select! {
            () = pause(agent, delay) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Waits until it is time for the next attempt, or there is a new certificate to try it with.
async fn pause(agent: &mut Agent, delay: Duration) {
    let end = Instant::now() + delay;
    while Instant::now() < end {
        tokio::time::sleep_until(end.min(Instant::now() + POLL)).await;
        if agent.reload_identity() {
            return;
        }
    }
}

async fn connect<D>(dial: &D, agent: &mut Agent, address: &str, stop: &CancellationToken) -> Disconnect
where
    D: AsyncFn(&str, Arc<ClientConfig>) -> Result<Link, LinkError>,
{
    agent.reload_identity();
    let tls = match agent.reloader.client_config() {
        Ok(tls) => tls,
        Err(error) => return error.into(),
    };
    let dialled = tokio::select! {
        dialled = dial(address, tls) => dialled,
        () = stop.cancelled() => return Disconnect::stopping(),
    };
    match dialled {
        Ok(link) => Connection::new(agent, address, link).run(stop).await,
        Err(error) => error.into(),
    }
}

struct Connection<'a> {
    agent: &'a mut Agent,
    address: &'a str,
    link: Link,
    session: Session,
    /// When to check whether the certificate files have changed.
    looks: Interval,
    /// The update that is being applied. The connection stays alive meanwhile.
    applying: Option<Applying>,
    /// Paces the reports of health, from the welcome on.
    pacer: Option<HealthPacer>,
    /// The live revision.
    revision: u64,
    opened: Instant,
    counted: (u64, u64),
}

impl<'a> Connection<'a> {
    fn new(agent: &'a mut Agent, address: &'a str, link: Link) -> Self {
        let timing = Timing { heartbeat: agent.settings.heartbeat, welcome: WELCOME };
        let hello = Frame::Hello(agent.hello()).encode();
        let session = Session::new(agent.held(), agent.partial.take(), timing, Duration::ZERO);
        let mut looks = tokio::time::interval(POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = Self {
            agent,
            address,
            link,
            session,
            looks,
            applying: None,
            pacer: None,
            revision: 0,
            opened: Instant::now(),
            counted: (0, 0),
        };
        connection.link.queue(hello);
        connection
    }

    async fn run(mut self, stop: &CancellationToken) -> Disconnect {
        let ended = self.serve(stop).await;
        self.say_why(&ended).await;
        if let Some(applying) = self.applying.take() {
            // Begun, so it may be live: the next connection builds upon its position.
            self.agent.applied(applying.await).ok();
        }
        self.count();
        self.agent.partial = self.session.into_part();
        ended
    }

    async fn say_why(&mut self, ended: &Disconnect) {
        match ended {
            Disconnect::ByUs(code, reason) => self.link.close(code.number(), reason).await,
            Disconnect::Link(LinkError::Protocol(reason)) => {
                self.link.close(CloseCode::Protocol.number(), reason).await;
            }
            _ => {}
        }
    }

    async fn serve(&mut self, stop: &CancellationToken) -> Disconnect {
        loop {
            if let Err(ended) = self.turn(stop).await {
                return ended;
            }
        }
    }

    async fn turn(&mut self, stop: &CancellationToken) -> Result<(), Disconnect> {
        let wait = self.wait();
        let input = tokio::select! {
            event = self.link.next() => match event? {
                Event::Message(message) => Input::Frame(self.decode(&message)?),
                Event::Sent => {
                    self.report_health();
                    return Ok(());
                }
                Event::Closed => return Err(self.closed()),
            },
            applied = under_way(&mut self.applying) => {
                self.applying = None;
                self.pacer.iter_mut().for_each(HealthPacer::changed);
                Input::Applied(self.agent.applied(applied))
            }
            () = health::changed(self.agent.health.as_ref(), self.pacer.as_ref()) => {
                self.pacer.iter_mut().for_each(HealthPacer::changed);
                Input::Tick
            }
            _ = self.looks.tick() => {
                self.agent.reload_identity();
                return Ok(());
            }
            () = tokio::time::sleep(wait) => Input::Tick,
            () = self.agent.writer.snapshot_wanted() => {
                // The hello of the next connection says that nothing is held.
                let reason = "the data plane needs a snapshot for its disk";
                return Err(Disconnect::ByUs(CloseCode::ShuttingDown, reason.into()));
            }
            () = stop.cancelled() => return Err(Disconnect::stopping()),
        };
        self.step(input)?;
        self.report_health();
        self.count();
        Ok(())
    }

    /// How long there is nothing to do, unless something happens.
    fn wait(&mut self) -> Duration {
        self.hear();
        let stuck = self.link.stuck_since().map(|since| STUCK.saturating_sub(since.elapsed()));
        let report = self.pacer.as_ref().filter(|_| stuck.is_none()).map(HealthPacer::deadline);
        let deadline = report.map_or(self.session.deadline(), |at| at.min(self.session.deadline()));
        let due = deadline.saturating_sub(self.opened.elapsed()).min(LONGEST_WAIT);
        stuck.map_or(due, |stuck| due.min(stuck))
    }

    /// Sends the next report of health, if one is due and no bytes wait.
    fn report_health(&mut self) {
        let (Some(pacer), Some(source)) = (&mut self.pacer, &self.agent.health) else { return };
        if self.link.stuck_since().is_some() {
            return;
        }
        // While an update is applied, the agent does not know what is live.
        if self.applying.is_none() {
            self.revision = self.agent.applier.held().map_or(0, |held| held.revision);
        }
        if let Some(report) = pacer.next(&**source, self.revision, self.opened.elapsed()) {
            self.link.queue(Frame::Health(report).encode());
        }
    }

    /// Reports to the session when the last byte came, of any message.
    fn hear(&mut self) {
        self.session.heard(self.link.last_heard().saturating_duration_since(self.opened));
    }

    fn step(&mut self, input: Input) -> Result<(), Disconnect> {
        if self.link.stuck_since().is_some_and(|since| since.elapsed() >= STUCK) {
            return Err(Disconnect::ByUs(CloseCode::Silent, "the control plane takes no bytes".into()));
        }
        self.hear();
        for action in self.session.step(input, self.opened.elapsed()) {
            self.act(action)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), Disconnect> {
        match action {
            // While bytes wait to be sent, they prove as much as a heartbeat.
            Action::Send(Frame::Heartbeat(_)) if self.link.stuck_since().is_some() => {}
            Action::Send(frame) => self.link.queue(frame.encode()),
            Action::Apply(update) => match self.agent.begin(update) {
                Ok(applying) => self.applying = Some(applying),
                Err(nack) => self.step(Input::Applied(Err(nack)))?,
            },
            Action::Refuse(nack) => {
                self.agent.refused(&nack);
                self.link.queue(Frame::Nack(nack).encode());
            }
            Action::Hash => {
                let revision = self.agent.applier.held().unwrap_or_default().revision;
                let hashes = self.agent.applier.buckets();
                self.step(Input::Hashed(revision, hashes))?;
            }
            Action::Head(head) => self.agent.head_is(head),
            Action::Welcomed => {
                self.agent.welcomed(self.address);
                let begin = |_: &_| HealthPacer::new(self.opened.elapsed(), rand::random());
                self.pacer = self.agent.health.as_ref().map(begin);
            }
            Action::Close(code, reason) => return Err(Disconnect::ByUs(code, reason)),
        }
        Ok(())
    }

    fn closed(&self) -> Disconnect {
        let refusals = [CloseCode::Forbidden, CloseCode::Versions, CloseCode::InUse].map(CloseCode::number);
        match self.link.closing() {
            Closing::Code(code, reason) if refusals.contains(code) => Disconnect::Forbidden(reason.clone()),
            _ => Disconnect::ByPeer(self.link.closed_because()),
        }
    }

    fn decode(&self, message: &Bytes) -> Result<Frame, Disconnect> {
        self.agent.heard();
        Frame::decode(message).map_err(|error| {
            self.agent.metrics.rejections.with_label_values(&[unreadable(&error).as_str()]).inc();
            Disconnect::ByUs(CloseCode::Protocol, one_line(&error.to_string()))
        })
    }

    fn count(&mut self) {
        let now = self.link.transferred();
        let before = std::mem::replace(&mut self.counted, now);
        self.agent.metrics.received_bytes.inc_by(now.0 - before.0);
        self.agent.metrics.sent_bytes.inc_by(now.1 - before.1);
    }
}

impl Disconnect {
    fn stopping() -> Self {
        Self::ByUs(CloseCode::ShuttingDown, "the data plane ends".into())
    }
}

/// The nack reason of an unreadable frame.
const fn unreadable(error: &FrameError) -> NackReason {
    match error {
        FrameError::TooLong(_) => NackReason::TooLarge,
        FrameError::Empty | FrameError::Unknown(_) | FrameError::Body { .. } => NackReason::Malformed,
    }
}

/// Waits for the result of the update that is being applied.
async fn under_way(applying: &mut Option<Applying>) -> Applied {
    match applying {
        Some(applying) => applying.await,
        None => std::future::pending().await,
    }
}

impl Agent {
    fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            node_id: self.node_id,
            hostname: self.settings.hostname.clone(),
            version: self.settings.version.clone(),
            kinds: model::KINDS.iter().map(|kind| kind.kind().0).collect(),
            fields: model::must_understand_fields(),
            labels: self.settings.labels.clone(),
            held: self.held(),
            instance: Some(self.instance),
            partial: self.partial.as_ref().and_then(Assembly::partial).map(Box::new),
        }
    }

    fn welcomed(&self, address: &str) {
        info!(control_plane = address, "connected");
        self.metrics.connected.set(1);
        self.status.edit(|view| {
            view.connected = true;
            view.control_plane = Some(address.to_owned());
        });
    }

    fn lost(&self, address: &str, ended: &Disconnect) {
        self.metrics.connected.set(0);
        self.metrics.reconnects.inc();
        self.status.edit(|view| {
            view.connected = false;
            view.last_error = Some(format!("{address}: {ended}"));
        });
    }

    /// Reloads changed certificates from disk for the next connection; returns whether there were any.
    /// Unusable files are rejected and the old certificates stay active.
    fn reload_identity(&mut self) -> bool {
        let reloads = &self.metrics.certificate_reloads;
        match self.reloader.refresh() {
            Ok(false) => false,
            Ok(true) => {
                let identity = self.reloader.identity();
                self.metrics.certificate_expiry.set(identity.not_after());
                reloads.with_label_values(&["done"]).inc();
                let (fingerprint, expiry) = (identity.fingerprint(), identity.not_after());
                info!(%fingerprint, expiry, "the cluster's certificates were read anew");
                true
            }
            Err(error) => {
                reloads.with_label_values(&["refused"]).inc();
                warn!("{error}; what was read before stays in force");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
