//! Dials the control planes in turn and carries out what a session decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node::identity::POLL;
use node::link::{self, Closing, Link, LinkError};
use rustls::ClientConfig;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wire::{CloseCode, Frame, FrameError, Hello, VERSIONS};

use super::Agent;
use super::apply::KINDS;
use super::backoff::Backoff;
use super::session::{Action, Input, Session, Timing};

/// From the upgrade until the welcome.
const WELCOME: Duration = Duration::from_secs(10);
/// A control plane that takes no bytes for this long is left.
const SEND: Duration = Duration::from_secs(30);

/// The session is asked again after this, whatever it says: a clock cannot add [`Duration::MAX`].
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("an unreadable frame: {0}")]
    Frame(#[from] FrameError),
    #[error("the control plane closed the connection{0}")]
    ByPeer(String),
    #[error("the control plane refuses this node: {0}")]
    Forbidden(String),
    #[error("closed: {1}")]
    ByUs(CloseCode, String),
    #[error("the control plane takes no bytes")]
    Stuck,
    #[error("cannot use the cluster's certificate: {0}")]
    Identity(#[from] rustls::Error),
}

/// Keeps a connection to one of the control planes until `stop`.
pub(super) async fn run(agent: &mut Agent, stop: &CancellationToken) {
    run_over(link::connect, agent, stop).await;
}

/// [`run`], with the means to connect to an address.
async fn run_over<D>(dial: D, agent: &mut Agent, stop: &CancellationToken)
where
    D: AsyncFn(&str, Arc<ClientConfig>) -> Result<Link, LinkError>,
{
    let mut backoff = Backoff::default();
    for attempt in 0_usize.. {
        let address = agent.settings.control_planes[attempt % agent.settings.control_planes.len()].clone();
        let begun = Instant::now();
        let ended = tokio::select! {
            ended = connect(&dial, agent, &address, stop) => ended,
            () = stop.cancelled() => return,
        };
        if stop.is_cancelled() {
            return;
        }
        let forbidden = matches!(ended, Ended::Forbidden(_));
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

async fn connect<D>(dial: &D, agent: &mut Agent, address: &str, stop: &CancellationToken) -> Ended
where
    D: AsyncFn(&str, Arc<ClientConfig>) -> Result<Link, LinkError>,
{
    agent.reload_identity();
    let tls = match agent.keeper.client_config() {
        Ok(tls) => tls,
        Err(error) => return error.into(),
    };
    match dial(address, tls).await {
        Ok(link) => Connection::new(agent, address, link).run(stop).await,
        Err(error) => error.into(),
    }
}

struct Connection<'a> {
    agent: &'a mut Agent,
    address: &'a str,
    link: Link,
    session: Session,
    /// When to look whether the files of the certificates have changed.
    looks: Interval,
    opened: Instant,
    counted: (u64, u64),
}

impl<'a> Connection<'a> {
    fn new(agent: &'a mut Agent, address: &'a str, link: Link) -> Self {
        let timing = Timing { heartbeat: agent.settings.heartbeat, welcome: WELCOME };
        let session = Session::new(agent.held(), timing, Duration::ZERO);
        let mut looks = tokio::time::interval(POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { agent, address, link, session, looks, opened: Instant::now(), counted: (0, 0) }
    }

    async fn run(mut self, stop: &CancellationToken) -> Ended {
        let hello = Frame::Hello(self.agent.hello());
        let ended = match self.send(hello.encode()).await {
            Ok(()) => self.serve(stop).await,
            Err(ended) => ended,
        };
        if let Ended::ByUs(code, reason) = &ended {
            self.link.close(code.number(), reason).await;
        }
        self.count();
        ended
    }

    async fn serve(&mut self, stop: &CancellationToken) -> Ended {
        loop {
            if let Err(ended) = self.turn(stop).await {
                return ended;
            }
        }
    }

    async fn turn(&mut self, stop: &CancellationToken) -> Result<(), Ended> {
        let wait = self.session.deadline().saturating_sub(self.opened.elapsed()).min(LONGEST_WAIT);
        let input = tokio::select! {
            message = self.link.recv() => match message? {
                Some(message) => Input::Frame(self.decode(&message)?),
                None => return Err(self.closed()),
            },
            _ = self.looks.tick() => {
                self.agent.reload_identity();
                return Ok(());
            }
            () = tokio::time::sleep(wait) => Input::Tick,
            () = self.agent.writer.snapshot_wanted() => {
                // The hello of the next connection says that nothing is held.
                let reason = "the data plane needs a snapshot for its disk";
                return Err(Ended::ByUs(CloseCode::ShuttingDown, reason.into()));
            }
            () = stop.cancelled() => {
                return Err(Ended::ByUs(CloseCode::ShuttingDown, "the data plane ends".into()));
            }
        };
        let actions = self.session.step(input, self.opened.elapsed());
        for action in actions {
            self.act(action).await?;
        }
        self.count();
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), Ended> {
        let answer = match action {
            Action::Send(frame) => return self.send(frame.encode()).await,
            Action::Apply(update) => Input::Applied(self.agent.apply(update)),
            Action::Hash => {
                let revision = self.agent.applier.held().unwrap_or_default().revision;
                Input::Hashed(revision, self.agent.applier.buckets())
            }
            Action::Head(head) => {
                self.agent.head_is(head);
                return Ok(());
            }
            Action::Welcomed => {
                self.agent.welcomed(self.address);
                return Ok(());
            }
            Action::Close(code, reason) => return Err(Ended::ByUs(code, reason)),
        };
        for action in self.session.step(answer, self.opened.elapsed()) {
            Box::pin(self.act(action)).await?;
        }
        Ok(())
    }

    fn closed(&self) -> Ended {
        match self.link.closing() {
            Closing::Code(code, reason) if *code == CloseCode::Forbidden.number() => {
                Ended::Forbidden(reason.clone())
            }
            _ => Ended::ByPeer(self.link.closed_because()),
        }
    }

    fn decode(&self, message: &Bytes) -> Result<Frame, Ended> {
        self.agent.heard();
        Ok(Frame::decode(message)?)
    }

    async fn send(&mut self, message: Bytes) -> Result<(), Ended> {
        match tokio::time::timeout(SEND, self.link.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Ended::Stuck),
        }
    }

    fn count(&mut self) {
        let now = self.link.transferred();
        let before = std::mem::replace(&mut self.counted, now);
        self.agent.metrics.received_bytes.inc_by(now.0 - before.0);
        self.agent.metrics.sent_bytes.inc_by(now.1 - before.1);
    }
}

impl Agent {
    fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            node_id: self.node_id,
            hostname: self.settings.hostname.clone(),
            version: self.settings.version.clone(),
            kinds: KINDS.iter().map(|kind| kind.0).collect(),
            labels: self.settings.labels.clone(),
            held: self.held(),
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

    fn lost(&self, address: &str, ended: &Ended) {
        self.metrics.connected.set(0);
        self.metrics.reconnects.inc();
        self.status.edit(|view| {
            view.connected = false;
            view.last_error = Some(format!("{address}: {ended}"));
        });
    }

    /// Takes changed certificates from the disk, for the next connection, and answers whether there were
    /// any; some that cannot be used leave the old ones in force.
    fn reload_identity(&mut self) -> bool {
        let reloads = &self.metrics.certificate_reloads;
        match self.keeper.refresh() {
            Ok(false) => false,
            Ok(true) => {
                let identity = self.keeper.identity();
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
