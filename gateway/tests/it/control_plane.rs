//! A fake control plane with the real listener and the real frames, and with a script instead of a database.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use node::identity::{Identity, Pins, server_config};
use node::link::{self, Link};
use rustls::ServerConfig;
use testkit::certs::Pair;
use testkit::ports;
use tokio::net::TcpListener;
use uuid::Uuid;
use wire::{
    CloseCode, Digest, EncodedUpdate, EntityHash, Frame, Hello, Key, Mode, Nack, Position, Record, Root,
    Update, Welcome,
};

/// A listener with a valid pair, and the history that it publishes.
pub(crate) struct FakeControlPlane {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    pub(crate) history: History,
}

/// A sequence of configurations.
#[derive(Clone)]
pub(crate) struct History {
    digest: Digest,
    pub(crate) position: Position,
}

/// A data plane that has connected and said hello.
pub(crate) struct Connected {
    link: Link,
    pub(crate) hello: Hello,
}

impl FakeControlPlane {
    pub(crate) async fn listen(address: SocketAddr, pair: &Pair) -> Self {
        let identity = Identity::load(&pair.cert, &pair.key).unwrap();
        let tls = server_config(&identity, &Pins::from(&identity)).unwrap();
        let listener = ports::bind(|| std::net::TcpListener::bind(address));
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let position = Position { epoch: Uuid::from_u128(1), ..Position::default() };
        Self { listener, tls, history: History { digest: Digest::new(), position } }
    }

    /// Waits for a data plane and its hello.
    pub(crate) async fn hello(&self) -> Connected {
        loop {
            let (stream, _) = self.listener.accept().await.unwrap();
            // A data plane that is stopping may leave amid the handshake.
            let Ok((mut link, _)) = link::accept(stream, Arc::clone(&self.tls)).await else { continue };
            let Ok(Some(message)) = link.recv().await else { continue };
            let Frame::Hello(hello) = Frame::decode(&message).unwrap() else { panic!("no hello") };
            return Connected { link, hello };
        }
    }

    /// Waits for a data plane and welcomes it.
    pub(crate) async fn welcome(&self) -> Connected {
        let mut connected = self.hello().await;
        let head = self.history.position;
        let welcome = Welcome {
            version: 1,
            node_id: Uuid::from_u128(2),
            program: "fake".into(),
            head,
            heartbeat_ms: 30_000,
        };
        connected.send(&Frame::Welcome(welcome)).await;
        connected
    }
}

impl Connected {
    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.link.send(frame.encode()).await.unwrap();
    }

    /// The next frame; `None` when the data plane has closed the session.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let message = self.link.recv().await.unwrap()?;
        Some(Frame::decode(&message).unwrap())
    }

    /// The next frame; `None` when the connection has ended, for any reason.
    pub(crate) async fn next_or_end(&mut self) -> Option<Frame> {
        let message = self.link.recv().await.ok().flatten()?;
        Some(Frame::decode(&message).unwrap())
    }

    pub(crate) async fn update(&mut self, update: &Update) -> Result<Position, Nack> {
        for frame in EncodedUpdate::new(update).frames {
            self.link.send(frame).await.unwrap();
        }
        loop {
            match self.next().await.expect("an answer") {
                Frame::Ack(ack) => return Ok(ack.held),
                Frame::Nack(nack) => return Err(nack),
                Frame::Heartbeat(_) | Frame::Health(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends an update and waits for its ack; `None` when the data plane has gone meanwhile.
    pub(crate) async fn try_update(&mut self, update: &Update) -> Option<Position> {
        for frame in EncodedUpdate::new(update).frames {
            self.link.send(frame).await.ok()?;
        }
        loop {
            match self.next_or_end().await? {
                Frame::Ack(ack) => return Some(ack.held),
                Frame::Heartbeat(_) | Frame::Health(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn close(&mut self, code: CloseCode, reason: &str) {
        self.link.close(code.number(), reason).await;
    }

    /// Waits until the data plane closes, and returns the reason that it gives.
    pub(crate) async fn closed_because(mut self) -> String {
        while self.next().await.is_some() {}
        self.link.closed_because()
    }
}

impl History {
    /// Creates an update that puts (`Some`) or deletes these, with the resulting root.
    pub(crate) fn update(&mut self, mode: Mode, changes: &[(Key, Option<Bytes>)]) -> Update {
        let from = self.position.revision;
        if mode == Mode::Snapshot {
            self.digest = Digest::new();
        }
        for (key, value) in changes {
            self.digest.set(*key, value.as_ref().map(|bytes| EntityHash::of(*key, bytes)));
        }
        self.position.revision += 1;
        self.position.root = self.digest.root();
        encode(mode, from, self.position, changes)
    }

    /// Creates an update that announces a wrong root.
    pub(crate) fn with_wrong_root(&self, changes: &[(Key, Option<Bytes>)]) -> Update {
        let to = Position { revision: self.position.revision + 1, root: Root([9; 32]), ..self.position };
        encode(Mode::Delta, self.position.revision, to, changes)
    }
}

/// A service at this address, in its published form.
pub(crate) fn service(id: u128, address: SocketAddr) -> (Key, Option<Bytes>) {
    let service =
        model::Service { host: address.ip().to_string(), port: address.port(), ..model::Service::default() };
    (model::Service::key(Uuid::from_u128(id)), Some(serde_json::to_vec(&service).unwrap().into()))
}

/// A route from this path to a service, in its published form.
pub(crate) fn route(id: u128, service: u128, path: &str) -> (Key, Option<Bytes>) {
    let service = Some(Uuid::from_u128(service));
    let route = model::Route { service, paths: Some(vec![path.into()]), ..model::Route::default() };
    (model::Route::key(Uuid::from_u128(id)), Some(serde_json::to_vec(&route).unwrap().into()))
}

/// The copy on a data plane's disk; empty before its first configuration.
pub(crate) fn copy_on_disk(state: &Path) -> Vec<u8> {
    std::fs::read(state.join("config.log")).unwrap_or_default()
}

fn encode(mode: Mode, from: u64, to: Position, changes: &[(Key, Option<Bytes>)]) -> Update {
    let mut payload = BytesMut::new();
    for (key, value) in changes {
        Record { key: *key, value: value.as_deref() }.encode(&mut payload);
    }
    Update::new(mode, if mode == Mode::Snapshot { 0 } else { from }, to, payload.freeze())
}
