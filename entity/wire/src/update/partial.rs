//! A part of an update: what a data plane received before its connection ended, so that the next connection
//! goes on from there.

use serde::{Deserialize, Serialize};

use super::{Assembly, Mode, UpdateHeader};
use crate::digest::Root;
use crate::position::Position;

/// The part that a data plane has received of an update, in its hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// The starting point of the update, as in [`Mode::as_str`].
    pub mode: String,
    /// The revision it starts from.
    pub from: u64,
    /// The position it leads to.
    pub to: Position,
    /// Length of the payload in bytes, as sent.
    pub encoded_len: u64,
    /// The received bytes of the payload, from its beginning.
    pub received: u64,
    /// BLAKE3 of the received bytes. Two updates with one header may differ in their encoding.
    pub hash: Root,
}

impl Partial {
    /// Whether this is a part of an update with this header.
    pub fn is_of(&self, header: &UpdateHeader) -> bool {
        self.mode == header.mode.as_str()
            && (self.from, self.to, self.encoded_len) == (header.from, header.position(), header.encoded_len)
            && self.received < self.encoded_len
    }
}

impl Assembly {
    /// Describes the received part. `None` when there is nothing to go on from: no byte was received, or the
    /// update is a repair, which is made for one connection.
    pub fn partial(&self) -> Option<Partial> {
        let header = self.header();
        if self.received == 0 || header.mode == Mode::Repair {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for part in &self.parts {
            hasher.update(part);
        }
        Some(Partial {
            mode: header.mode.as_str().to_owned(),
            from: header.from,
            to: header.position(),
            encoded_len: header.encoded_len,
            received: self.received,
            hash: Root(*hasher.finalize().as_bytes()),
        })
    }

    /// Whether the rest of an update with this header, from this byte on, completes this part.
    pub fn is_completed_by(&self, header: &UpdateHeader, from: u64) -> bool {
        self.header() == header && self.received == from
    }
}
