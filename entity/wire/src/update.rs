//! An update: brings a data plane from its position to another one, in one step.
//!
//! The control plane encodes an update once, for every data plane that needs it: a header and a payload of
//! records, cut into frames. The data plane stores the parts as they arrive. It reads the records out of the
//! decompressor, within the bounds that the header announces. It applies all of the update or nothing.

mod partial;
mod reader;
mod writer;

use std::io::Read;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::digest::{BUCKETS, BucketSet, Root};
use crate::position::Position;
use crate::record::RecordError;

pub use self::partial::Partial;
pub use self::reader::RecordReader;
pub use self::writer::UpdateWriter;

/// The most bytes of a payload, encoded.
pub const MAX_ENCODED: u64 = 256 << 20;
/// The most bytes of a payload, decoded: about three million routes.
pub const MAX_DECODED: u64 = 1 << 30;

/// Length of the header of version 1; a later version may append to it.
const HEADER: usize = 1 + 1 + 16 + 8 + 8 + 32 + 8 + 8;
/// Payloads below this length are sent uncompressed: compression gains nothing on a record or two.
const COMPRESS_FROM: usize = 512;
/// zstd's default level. A snapshot of 100,000 routes takes 60 ms with it, once.
const LEVEL: i32 = 3;

/// The starting point of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing: the update replaces the whole configuration.
    Snapshot,
    /// Revision `from` of the same epoch.
    Delta,
    /// Revision `to` itself. The update replaces the buckets that differ. The payload begins with their
    /// [`BucketSet`]; the records are all entities of these buckets.
    Repair,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Snapshot, Self::Delta, Self::Repair];

    /// The mode's name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Delta => "delta",
            Self::Repair => "repair",
        }
    }
}

/// The header that precedes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateHeader {
    /// The starting point of the update.
    pub mode: Mode,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// The epoch of both revisions.
    pub epoch: Uuid,
    /// The revision it starts from; 0 for a snapshot.
    pub from: u64,
    /// The revision it leads to.
    pub to: u64,
    /// The root of the configuration at revision `to`.
    pub root: Root,
    /// Length of the payload in bytes, decoded.
    pub decoded_len: u64,
    /// Length of the payload in bytes, as sent.
    pub encoded_len: u64,
}

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Uncompressed.
    Plain,
    /// One zstd frame.
    Zstd,
}

/// An update that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The header is cut short.
    #[error("an update header of {0} bytes is too short")]
    Header(usize),
    /// A mode or an encoding that this version does not know.
    #[error("unknown {what} {value} in an update header")]
    Unknown {
        /// `mode` or `encoding`.
        what: &'static str,
        /// The byte that is unknown.
        value: u8,
    },
    /// A length exceeds the limit.
    #[error(
        "an update of {encoded} bytes, {decoded} decoded, is over the limit of {MAX_ENCODED} and {MAX_DECODED}"
    )]
    TooLarge {
        /// Length as sent.
        encoded: u64,
        /// Length decoded.
        decoded: u64,
    },
    /// More bytes arrived than the header announced.
    #[error("an update has more bytes than the {0} that it announced")]
    Overrun(u64),
    /// The payload does not decode to the announced length.
    #[error("the payload of an update cannot be decoded: {0}")]
    Payload(String),
    /// The payload holds bytes that are not a record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl UpdateHeader {
    /// Bytes of the header with its length.
    pub(crate) const BYTES: usize = 2 + HEADER;

    /// The position of a data plane that has applied the update.
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, revision: self.to, root: self.root }
    }

    pub(crate) fn encode(&self, to: &mut BytesMut) {
        to.put_u16(HEADER as u16);
        to.put_u8(match self.mode {
            Mode::Snapshot => 1,
            Mode::Delta => 2,
            Mode::Repair => 3,
        });
        to.put_u8(match self.encoding {
            Encoding::Plain => 0,
            Encoding::Zstd => 1,
        });
        to.put_slice(self.epoch.as_bytes());
        to.put_u64(self.from);
        to.put_u64(self.to);
        to.put_slice(&self.root.0);
        to.put_u64(self.decoded_len);
        to.put_u64(self.encoded_len);
    }

    pub(crate) fn decode(body: &Bytes) -> Result<(Self, Bytes), UpdateError> {
        let short = || UpdateError::Header(body.len());
        let len = usize::from(body.first_chunk::<2>().map(|len| u16::from_be_bytes(*len)).ok_or_else(short)?);
        if len < HEADER || body.len() < 2 + len {
            return Err(short());
        }
        let mut at = body.slice(2..2 + len);
        let mode = match at.get_u8() {
            1 => Mode::Snapshot,
            2 => Mode::Delta,
            3 => Mode::Repair,
            value => return Err(UpdateError::Unknown { what: "mode", value }),
        };
        let encoding = match at.get_u8() {
            0 => Encoding::Plain,
            1 => Encoding::Zstd,
            value => return Err(UpdateError::Unknown { what: "encoding", value }),
        };
        let header = Self {
            mode,
            encoding,
            epoch: Uuid::from_u128(at.get_u128()),
            from: at.get_u64(),
            to: at.get_u64(),
            root: {
                let mut root = Root::default();
                at.copy_to_slice(&mut root.0);
                root
            },
            decoded_len: at.get_u64(),
            encoded_len: at.get_u64(),
        };
        Ok((header, body.slice(2 + len..)))
    }
}

/// Assembles the parts of one update.
#[derive(Debug)]
pub struct Assembly {
    header: UpdateHeader,
    parts: Vec<Bytes>,
    received: u64,
}

impl Assembly {
    /// Begins with the header and the first part.
    ///
    /// # Errors
    /// The update exceeds the limits, or the part is longer than announced.
    pub fn begin(header: UpdateHeader, first: Bytes) -> Result<Self, UpdateError> {
        if header.encoded_len > MAX_ENCODED || header.decoded_len > MAX_DECODED {
            return Err(UpdateError::TooLarge { encoded: header.encoded_len, decoded: header.decoded_len });
        }
        let mut assembly = Self { header, parts: Vec::new(), received: 0 };
        assembly.push(first)?;
        Ok(assembly)
    }

    /// Adds the next part.
    ///
    /// # Errors
    /// More bytes have arrived than the header announced.
    pub fn push(&mut self, part: Bytes) -> Result<(), UpdateError> {
        self.received += part.len() as u64;
        if self.received > self.header.encoded_len {
            return Err(UpdateError::Overrun(self.header.encoded_len));
        }
        // It lies in the buffer in which it was read, which may be several times as long and would stay with it.
        self.parts.push(Bytes::copy_from_slice(&part));
        Ok(())
    }

    /// Whether every part has arrived.
    pub const fn is_complete(&self) -> bool {
        self.received == self.header.encoded_len
    }

    /// The header of the update in assembly.
    pub const fn header(&self) -> &UpdateHeader {
        &self.header
    }

    /// The complete update. Its payload is not decoded yet, and stays in the parts in which it arrived.
    pub fn finish(self) -> Update {
        Update { header: self.header, parts: self.parts }
    }
}

/// A complete update, as received.
#[derive(Clone, Debug)]
pub struct Update {
    /// The header of the update.
    pub header: UpdateHeader,
    parts: Vec<Bytes>,
}

impl Update {
    /// Makes the update from revision `from` to position `to` with the records in `payload`.
    pub fn new(mode: Mode, from: u64, to: Position, payload: Bytes) -> Self {
        let decoded_len = payload.len() as u64;
        let (encoding, encoded) = compress(payload);
        let header = UpdateHeader {
            mode,
            encoding,
            epoch: to.epoch,
            from,
            to: to.revision,
            root: to.root,
            decoded_len,
            encoded_len: encoded.len() as u64,
        };
        Self { header, parts: vec![encoded] }
    }

    /// The payload as it is sent, in the parts in which it was made or arrived.
    pub(crate) fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The update in the form that the disk holds, in one piece.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.stored_len());
        self.chunks().for_each(|chunk| bytes.put_slice(&chunk));
        bytes.freeze()
    }

    /// The update in the form that the disk holds, in pieces that are not copied.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> {
        let mut header = BytesMut::with_capacity(UpdateHeader::BYTES);
        self.header.encode(&mut header);
        std::iter::once(header.freeze()).chain(self.parts.iter().cloned())
    }

    /// Length of all [`Update::chunks`] in bytes.
    pub fn stored_len(&self) -> usize {
        UpdateHeader::BYTES + self.parts.iter().map(Bytes::len).sum::<usize>()
    }

    /// Reads the output of [`Update::to_bytes`].
    ///
    /// # Errors
    /// The bytes are not an update, or not all of one.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, UpdateError> {
        let (header, encoded) = UpdateHeader::decode(bytes)?;
        let assembly = Assembly::begin(header, encoded)?;
        if assembly.is_complete() {
            Ok(assembly.finish())
        } else {
            Err(UpdateError::Payload(format!("{} bytes of {}", assembly.received, header.encoded_len)))
        }
    }

    /// Length of the payload in bytes, as sent.
    pub const fn encoded_len(&self) -> u64 {
        self.header.encoded_len
    }

    /// Decodes the payload as a whole, and never reads more than the header announced. [`Update::records`]
    /// needs less memory.
    ///
    /// # Errors
    /// The payload does not match the header.
    pub fn payload(&self) -> Result<Bytes, UpdateError> {
        let wanted = self.header.decoded_len;
        let mut payload = Vec::new();
        self.decoded()?
            .take(wanted + 1)
            .read_to_end(&mut payload)
            .map_err(|error| UpdateError::Payload(error.to_string()))?;
        if payload.len() as u64 == wanted {
            Ok(payload.into())
        } else {
            Err(UpdateError::Payload(format!("{} bytes instead of {wanted}", payload.len())))
        }
    }
}

/// Splits a repair's payload into its set of buckets and its records.
///
/// # Errors
/// The payload is too short for the set.
pub fn split_repair(payload: &Bytes) -> Result<(BucketSet, Bytes), UpdateError> {
    match payload.first_chunk::<{ BUCKETS / 8 }>() {
        Some(set) => Ok((BucketSet(*set), payload.slice(BUCKETS / 8..))),
        None => Err(UpdateError::Payload(format!("{} bytes hold no set of buckets", payload.len()))),
    }
}

fn compress(payload: Bytes) -> (Encoding, Bytes) {
    if payload.len() < COMPRESS_FROM {
        return (Encoding::Plain, payload);
    }
    match zstd::bulk::compress(&payload, LEVEL) {
        Ok(smaller) if smaller.len() < payload.len() => (Encoding::Zstd, smaller.into()),
        _ => (Encoding::Plain, payload),
    }
}
