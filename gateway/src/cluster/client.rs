//! Dials the control planes in turn and carries out what a session decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node::identity::{Identity, Pins, client_config};
use node::link::{self, Link, LinkError};
use rustls::ClientConfig;
use tokio::time::Instant;
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

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("an unreadable frame: {0}")]
    Frame(#[from] FrameError),
    #[error("the control plane closed the connection{0}")]
    ByPeer(String),
    #[error("closed: {1}")]
    ByUs(CloseCode, String),
    #[error("the control plane takes no bytes")]
    Stuck,
    #[error(transparent)]
    Identity(anyhow::Error),
}

/// Keeps a connection to one of the control planes until `stop`.
pub(super) async fn run(agent: &mut Agent, stop: &CancellationToken) {
    let mut backoff = Backoff::default();
    for attempt in 0_usize.. {
        let address = agent.settings.control_planes[attempt % agent.settings.control_planes.len()].clone();
        let begun = Instant::now();
        let ended = tokio::select! {
            ended = connect(agent, &address, stop) => ended,
            () = stop.cancelled() => return,
        };
        if stop.is_cancelled() {
            return;
        }
        let delay = backoff.after(begun.elapsed(), rand::random());
        agent.lost(&address, &ended);
        let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        warn!(control_plane = address, retry_ms, "no control plane: {ended}");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn connect(agent: &mut Agent, address: &str, stop: &CancellationToken) -> Ended {
    agent.reload_identity();
    let tls = match agent.tls() {
        Ok(tls) => tls,
        Err(error) => return Ended::Identity(error),
    };
    match link::connect(address, tls).await {
        Ok(link) => Connection::new(agent, address, link).run(stop).await,
        Err(error) => error.into(),
    }
}

struct Connection<'a> {
    agent: &'a mut Agent,
    address: &'a str,
    link: Link,
    session: Session,
    opened: Instant,
    counted: (u64, u64),
}

impl<'a> Connection<'a> {
    fn new(agent: &'a mut Agent, address: &'a str, link: Link) -> Self {
        let timing = Timing { heartbeat: agent.settings.heartbeat, welcome: WELCOME };
        let session = Session::new(agent.held(), timing, Duration::ZERO);
        Self { agent, address, link, session, opened: Instant::now(), counted: (0, 0) }
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
        let deadline = self.opened + self.session.deadline().min(Duration::from_secs(3600));
        let input = tokio::select! {
            message = self.link.recv() => match message? {
                Some(message) => Input::Frame(self.decode(&message)?),
                None => return Err(Ended::ByPeer(self.link.closed_because())),
            },
            () = tokio::time::sleep_until(deadline) => Input::Tick,
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

    /// Whom this node trusts, and what it shows; read anew for each connection.
    fn tls(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut pins = Pins::from(&self.identity);
        if let Some(further) = &self.settings.ca {
            pins = pins.and_file(further)?;
        }
        Ok(client_config(&self.identity, &pins)?)
    }

    /// A pair that was renewed on disk is used from the next connection on; one that cannot be read
    /// leaves the old one in force.
    fn reload_identity(&mut self) {
        match Identity::load(&self.settings.certificate, &self.settings.key) {
            Ok(identity) => {
                self.metrics.certificate_expiry.set(identity.not_after());
                self.identity = identity;
            }
            Err(error) => warn!(%error, "keeping the certificate that was read before"),
        }
    }
}
