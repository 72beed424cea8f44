//! Frames: what one WebSocket message holds.
//!
//! The first byte says which frame it is. Those that carry state or talk about it are binary
//! ([`Frame::Update`], [`Frame::More`], [`Frame::Buckets`]), the others are JSON, whose unknown fields a
//! receiver ignores.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::{BUCKETS, Root};
use crate::update::UpdateHeader;

/// Greatest length of a frame in bytes: no frame delays a ping for longer than this takes to send.
pub const MAX_FRAME: usize = 256 * 1024;

/// Unknown frames from this type on may be ignored by who does not know them; below it they are an error.
pub const IGNORABLE: u8 = 128;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const UPDATE: u8 = 3;
const MORE: u8 = 4;
const ACK: u8 = 5;
const NACK: u8 = 6;
const HEARTBEAT: u8 = 7;
const BUCKETS_WANTED: u8 = 8;
const BUCKET_HASHES: u8 = 9;

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Data plane, first: who it is and what it holds.
    Hello(Hello),
    /// Control plane, second: what both speak, and where the head is.
    Welcome(Welcome),
    /// Control plane: an update begins; the bytes are the first part of its payload.
    Update(UpdateHeader, Bytes),
    /// Control plane: the next part of the payload of the update under way.
    More(Bytes),
    /// Data plane: the update is live.
    Ack(Ack),
    /// Data plane: the update was refused, and nothing has changed.
    Nack(Nack),
    /// Both: still here. From a data plane what it holds, from a control plane the head.
    Heartbeat(Position),
    /// Control plane: send your bucket hashes, your root is not mine.
    BucketsWanted(Position),
    /// Data plane: the bucket hashes of what it holds, at this revision.
    Buckets(u64, Vec<Root>),
    /// A frame of a later version that may be ignored.
    Ignored(u8),
}

/// Where in the history of a configuration somebody stands, and what that looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which history: a database restored to the past begins a new one.
    pub epoch: Uuid,
    /// How many writes it has seen: gapless, in the order of commits.
    pub revision: u64,
    /// Root of the hashes of what is held.
    pub root: Root,
}

/// Versions of the protocol that a side speaks, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Lowest.
    pub min: u16,
    /// Highest.
    pub max: u16,
}

/// What this program speaks.
pub const VERSIONS: Versions = Versions { min: 1, max: 1 };

impl Versions {
    /// The highest version that both speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

/// Body of [`Frame::Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Versions of the protocol that the data plane speaks.
    pub versions: Versions,
    /// The data plane's id, kept on its disk.
    pub node_id: Uuid,
    /// Its host name.
    pub hostname: String,
    /// Its program's version.
    pub version: String,
    /// Kinds of entities that it understands; others it keeps and hashes only.
    #[serde(default)]
    pub kinds: Vec<u8>,
    /// What the operator calls it by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it holds; `None` when it holds nothing.
    #[serde(default)]
    pub held: Option<Position>,
    /// Made at random when the process starts: tells two processes with one node id from one that reconnects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Uuid>,
}

/// Body of [`Frame::Welcome`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Version of the protocol that this connection speaks.
    pub version: u16,
    /// The control plane's id.
    pub node_id: Uuid,
    /// Its program's version.
    pub program: String,
    /// Where the configuration stands.
    pub head: Position,
    /// How often the control plane sends a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
}

/// Body of [`Frame::Ack`]. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// What the data plane holds now.
    pub held: Position,
    /// From the arrival of the update's last part until it was decoded.
    #[serde(default)]
    pub decode_us: u64,
    /// From then until the table was live.
    #[serde(default)]
    pub apply_us: u64,
}

/// Body of [`Frame::Nack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    /// The epoch of the refused update.
    pub epoch: Uuid,
    /// The revision that the refused update leads to.
    pub revision: u64,
    /// Why, for programs.
    pub reason: NackReason,
    /// Why, for people.
    pub message: String,
    /// The collection of the entity that was refused, e.g. `routes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The entity that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Its field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Why an update was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NackReason {
    /// Its bytes could not be read.
    Malformed,
    /// It is larger than the data plane takes.
    TooLarge,
    /// It does not start from what the data plane holds.
    OutOfOrder,
    /// An entity breaks a rule.
    Invalid,
    /// What it leads to does not have the root that it announces.
    RootMismatch,
    /// The data plane failed, not the update.
    Internal,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

impl NackReason {
    /// Every reason, for who counts by reason.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::TooLarge,
        Self::OutOfOrder,
        Self::Invalid,
        Self::RootMismatch,
        Self::Internal,
        Self::Other,
    ];

    /// The reason as it stands on the wire, in metrics and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::OutOfOrder => "out_of_order",
            Self::Invalid => "invalid",
            Self::RootMismatch => "root_mismatch",
            Self::Internal => "internal",
            Self::Other => "other",
        }
    }
}

/// Codes with which a side closes the WebSocket (RFC 6455, section 7.4.2: 4000-4999 are ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// A frame that this state does not allow, or that cannot be read.
    Protocol = 4000,
    /// No version of the protocol in common.
    Versions = 4001,
    /// The same node id has connected anew.
    Replaced = 4002,
    /// No ack, no nack in time.
    AckTimeout = 4003,
    /// No heartbeat in time.
    Silent = 4004,
    /// The program ends.
    ShuttingDown = 4005,
    /// The certificate is not, or no longer, allowed.
    Forbidden = 4006,
    /// Another process with the same node id is connected.
    InUse = 4007,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// A message that is not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Nothing in it.
    #[error("an empty message is no frame")]
    Empty,
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME}")]
    TooLong(usize),
    /// A type that may not be ignored.
    #[error("unknown frame type {0}")]
    Unknown(u8),
    /// A body that its type does not have.
    #[error("the body of a {frame} frame cannot be read: {reason}")]
    Body {
        /// Which frame.
        frame: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Frame {
    /// Encodes the frame into one message.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Hello(body) => json(HELLO, body),
            Self::Welcome(body) => json(WELCOME, body),
            Self::Update(header, part) => tagged(UPDATE, |to| {
                header.encode(to);
                to.put_slice(part);
            }),
            Self::More(part) => tagged(MORE, |to| to.put_slice(part)),
            Self::Ack(body) => json(ACK, body),
            Self::Nack(body) => json(NACK, body),
            Self::Heartbeat(body) => json(HEARTBEAT, body),
            Self::BucketsWanted(body) => json(BUCKETS_WANTED, body),
            Self::Buckets(revision, hashes) => tagged(BUCKET_HASHES, |to| {
                to.put_u64(*revision);
                hashes.iter().for_each(|hash| to.put_slice(&hash.0));
            }),
            Self::Ignored(kind) => tagged(*kind, |_| {}),
        }
    }

    /// Reads the frame that a message holds.
    ///
    /// # Errors
    /// When the message is no frame that this version knows or may ignore.
    pub fn decode(message: &Bytes) -> Result<Self, FrameError> {
        let kind = *message.first().ok_or(FrameError::Empty)?;
        if message.len() > MAX_FRAME {
            return Err(FrameError::TooLong(message.len()));
        }
        let body = message.slice(1..);
        match kind {
            HELLO => parse("hello", &body).map(Self::Hello),
            WELCOME => parse("welcome", &body).map(Self::Welcome),
            UPDATE => {
                let (header, part) = UpdateHeader::decode(&body)
                    .map_err(|reason| FrameError::Body { frame: "update", reason: reason.to_string() })?;
                Ok(Self::Update(header, part))
            }
            MORE => Ok(Self::More(body)),
            ACK => parse("ack", &body).map(Self::Ack),
            NACK => parse("nack", &body).map(Self::Nack),
            HEARTBEAT => parse("heartbeat", &body).map(Self::Heartbeat),
            BUCKETS_WANTED => parse("buckets wanted", &body).map(Self::BucketsWanted),
            BUCKET_HASHES => buckets(&body),
            kind if kind >= IGNORABLE => Ok(Self::Ignored(kind)),
            kind => Err(FrameError::Unknown(kind)),
        }
    }

    /// The frame's name, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Welcome(_) => "welcome",
            Self::Update(..) => "update",
            Self::More(_) => "more",
            Self::Ack(_) => "ack",
            Self::Nack(_) => "nack",
            Self::Heartbeat(_) => "heartbeat",
            Self::BucketsWanted(_) => "buckets wanted",
            Self::Buckets(..) => "buckets",
            Self::Ignored(_) => "ignored",
        }
    }
}

fn tagged(kind: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut message = BytesMut::with_capacity(128);
    message.put_u8(kind);
    body(&mut message);
    message.freeze()
}

fn json(kind: u8, body: &impl Serialize) -> Bytes {
    let body = serde_json::to_vec(body).expect("frames have string keys and no failing serialiser");
    tagged(kind, |to| to.put_slice(&body))
}

fn parse<T: DeserializeOwned>(frame: &'static str, body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(|error| FrameError::Body { frame, reason: error.to_string() })
}

fn buckets(body: &[u8]) -> Result<Frame, FrameError> {
    let wrong = || FrameError::Body { frame: "buckets", reason: format!("{} bytes", body.len()) };
    let (revision, hashes) = body.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (hashes, rest) = hashes.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() != BUCKETS {
        return Err(wrong());
    }
    Ok(Frame::Buckets(u64::from_be_bytes(*revision), hashes.iter().copied().map(Root).collect()))
}
