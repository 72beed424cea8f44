//! Frames: the content of one WebSocket message.
//!
//! The first byte is the type of the frame. [`Frame::Update`], [`Frame::More`], [`Frame::Buckets`] and
//! [`Frame::Health`] are binary. The others are JSON, and a receiver ignores unknown fields in them.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::{BUCKETS, Root};
use crate::health::HealthReport;
use crate::position::Position;
use crate::update::{Partial, UpdateHeader};

/// The most bytes of a frame. No frame delays a ping for longer than sending this many bytes takes.
pub const MAX_FRAME: usize = 256 * 1024;

/// The first frame type that a receiver may ignore when it does not know it. An unknown type below it is an
/// error.
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
const CONTINUED: u8 = 10;
/// A control plane may ignore what it does not show.
const HEALTH: u8 = IGNORABLE;

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Data plane, first: its identity and its position.
    Hello(Hello),
    /// Control plane, second: the version of this connection, and the head.
    Welcome(Welcome),
    /// Control plane: an update begins; the bytes are the first part of its payload.
    Update(UpdateHeader, Bytes),
    /// Control plane: the update of which the data plane's hello had a part goes on from this byte. Sent only
    /// in answer to [`Hello::partial`], so that it needs no new version.
    Continued(UpdateHeader, u64),
    /// Control plane: the next part of the payload of the current update.
    More(Bytes),
    /// Data plane: the update is applied.
    Ack(Ack),
    /// Data plane: the update is rejected, and nothing has changed.
    Nack(Nack),
    /// Both: a sign of life. A data plane sends its position, a control plane the head.
    Heartbeat(Position),
    /// Control plane: requests the bucket hashes, because the data plane's root differs from the head's.
    BucketsWanted(Position),
    /// Data plane: the bucket hashes of its configuration, at this revision.
    Buckets(u64, Vec<Root>),
    /// Data plane: the health of its targets.
    Health(HealthReport),
    /// A frame of a later version that may be ignored.
    Ignored(u8),
}

/// Range of protocol versions that a side supports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Lowest.
    pub min: u16,
    /// Highest.
    pub max: u16,
}

/// The protocol versions that this program supports.
pub const VERSIONS: Versions = Versions { min: 1, max: 1 };

impl Versions {
    /// The highest version that both sides support.
    pub fn common(self, other: Self) -> Option<u16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

/// Body of [`Frame::Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Versions of the protocol that the data plane supports.
    pub versions: Versions,
    /// The data plane's id, kept on its disk.
    pub node_id: Uuid,
    /// The data plane's host name.
    pub hostname: String,
    /// The version of the data plane's program.
    pub version: String,
    /// Kinds of entities that the data plane knows. It stores and hashes entities of other kinds that it may
    /// ignore, and rejects those that it must understand.
    #[serde(default)]
    pub kinds: Vec<u8>,
    /// The fields that must be understood and that the data plane knows, such as `services.order`. One that
    /// sends no list knows none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Labels that the operator has given the data plane.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The data plane's position; `None` when it holds no configuration.
    #[serde(default)]
    pub held: Option<Position>,
    /// A random id of the process, made when it starts. Two processes with one node id have different ones; a
    /// process that reconnects keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Uuid>,
    /// The part of an update that the data plane received on its last connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Box<Partial>>,
}

/// Body of [`Frame::Welcome`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Version of the protocol of this connection.
    pub version: u16,
    /// The control plane's id.
    pub node_id: Uuid,
    /// The version of the control plane's program.
    pub program: String,
    /// The control plane's position.
    pub head: Position,
    /// How often the control plane sends a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
}

/// Body of [`Frame::Ack`]. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The data plane's position now.
    pub held: Position,
    /// From the arrival of the update's last part to the end of decoding.
    #[serde(default)]
    pub decode_us: u64,
    /// From the end of decoding until the table was live.
    #[serde(default)]
    pub apply_us: u64,
}

/// Body of [`Frame::Nack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    /// The epoch of the rejected update.
    pub epoch: Uuid,
    /// The revision that the rejected update leads to.
    pub revision: u64,
    /// The reason, for programs.
    pub reason: NackReason,
    /// The reason, for people.
    pub message: String,
    /// The collection of the rejected entity, e.g. `routes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The id of the rejected entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// The field of that entity that breaks a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Why a data plane rejects an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NackReason {
    /// The bytes of the update cannot be read.
    Malformed,
    /// The update is larger than the data plane accepts.
    TooLarge,
    /// The update does not start from the data plane's position.
    OutOfOrder,
    /// An entity breaks a rule.
    Invalid,
    /// The result does not have the root that the update announces.
    RootMismatch,
    /// The data plane failed, not the update.
    Internal,
    /// An entity is of a kind, or has a field, that the data plane must understand and does not know.
    Unsupported,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

impl NackReason {
    /// Every reason, for counters by reason.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::TooLarge,
        Self::OutOfOrder,
        Self::Invalid,
        Self::RootMismatch,
        Self::Internal,
        Self::Unsupported,
        Self::Other,
    ];

    /// The reason as the wire, metrics and logs spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::OutOfOrder => "out_of_order",
            Self::Invalid => "invalid",
            Self::RootMismatch => "root_mismatch",
            Self::Internal => "internal",
            Self::Unsupported => "unsupported",
            Self::Other => "other",
        }
    }
}

/// Codes with which a side closes the WebSocket. RFC 6455, section 7.4.2, reserves 4000-4999 for private use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// A frame that this state does not allow, or that cannot be read.
    Protocol = 4000,
    /// No version of the protocol in common.
    Versions = 4001,
    /// The same node id has connected again.
    Replaced = 4002,
    /// No ack and no nack came in time.
    AckTimeout = 4003,
    /// No sign of life came in time.
    Silent = 4004,
    /// The program is shutting down.
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
    /// The message is empty.
    #[error("an empty message is no frame")]
    Empty,
    /// The message is longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME}")]
    TooLong(usize),
    /// The receiver does not know the type and may not ignore it.
    #[error("unknown frame type {0}")]
    Unknown(u8),
    /// The body does not fit the frame's type.
    #[error("the body of a {frame} frame cannot be read: {reason}")]
    Body {
        /// The frame's name.
        frame: &'static str,
        /// The reason.
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
            Self::Continued(header, from) => tagged(CONTINUED, |to| {
                header.encode(to);
                to.put_u64(*from);
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
            Self::Health(report) => tagged(HEALTH, |to| report.encode(to)),
            Self::Ignored(kind) => tagged(*kind, |_| {}),
        }
    }

    /// Reads the frame that a message holds.
    ///
    /// # Errors
    /// The message is not a frame that this version knows or may ignore.
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
            CONTINUED => continued(&body),
            MORE => Ok(Self::More(body)),
            ACK => parse("ack", &body).map(Self::Ack),
            NACK => parse("nack", &body).map(Self::Nack),
            HEARTBEAT => parse("heartbeat", &body).map(Self::Heartbeat),
            BUCKETS_WANTED => parse("buckets wanted", &body).map(Self::BucketsWanted),
            BUCKET_HASHES => buckets(&body),
            HEALTH => HealthReport::decode(&body)
                .map(Self::Health)
                .map_err(|reason| FrameError::Body { frame: "health", reason: reason.to_string() }),
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
            Self::Continued(..) => "continued",
            Self::More(_) => "more",
            Self::Ack(_) => "ack",
            Self::Nack(_) => "nack",
            Self::Heartbeat(_) => "heartbeat",
            Self::BucketsWanted(_) => "buckets wanted",
            Self::Buckets(..) => "buckets",
            Self::Health(_) => "health",
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

fn continued(body: &Bytes) -> Result<Frame, FrameError> {
    let unreadable = |reason: String| FrameError::Body { frame: "continued", reason };
    let (header, rest) = UpdateHeader::decode(body).map_err(|reason| unreadable(reason.to_string()))?;
    // A later version may append to it.
    let from = rest.first_chunk().ok_or_else(|| unreadable(format!("{} bytes", body.len())))?;
    Ok(Frame::Continued(header, u64::from_be_bytes(*from)))
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
