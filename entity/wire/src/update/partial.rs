//! A part of an update: what a data plane received before its connection ended, so that the next connection
//! goes on from there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Assembly, EncodedUpdate, HEADER, Mode, UpdateHeader};
use crate::digest::Root;
use crate::frame::{Frame, MAX_FRAME, Position};

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

impl EncodedUpdate {
    /// Whether a data plane has received a part of this very update.
    pub fn continues(&self, partial: &Partial) -> bool {
        if !partial.is_of(&self.header) {
            return false;
        }
        let (mut hasher, mut left) = (blake3::Hasher::new(), partial.received);
        for part in self.parts() {
            let length = left.min(part.len() as u64);
            hasher.update(&part[..usize::try_from(length).unwrap_or(usize::MAX)]);
            left -= length;
        }
        left == 0 && Root(*hasher.finalize().as_bytes()) == partial.hash
    }

    /// Returns the frames that send the payload from byte `from` on.
    pub fn frames_from(&self, from: u64) -> Vec<Bytes> {
        let mut frames = vec![Frame::Continued(self.header, from).encode()];
        let mut skip = usize::try_from(from).unwrap_or(usize::MAX);
        for (part, frame) in self.parts().zip(&self.frames) {
            if skip == 0 {
                // As it is: not copied.
                frames.push(frame.clone());
            } else if skip < part.len() {
                frames.push(Frame::More(part.slice(skip..)).encode());
            }
            skip = skip.saturating_sub(part.len());
        }
        debug_assert!(frames.iter().all(|frame| frame.len() <= MAX_FRAME), "a part fits a frame");
        frames
    }

    /// The parts of the payload, in order.
    fn parts(&self) -> impl Iterator<Item = Bytes> {
        let first = 1 + 2 + HEADER;
        let heads = std::iter::once(first).chain(std::iter::repeat(1));
        self.frames.iter().zip(heads).map(|(frame, head)| frame.slice(head..))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::update::Update;

    fn encoded(seed: u64, length: usize) -> EncodedUpdate {
        let mut noise = seed;
        let payload: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        })
        .take(length)
        .collect();
        let to = Position { epoch: Uuid::from_u128(1), revision: 9, root: Root([7; 32]) };
        EncodedUpdate::new(&Update::new(Mode::Snapshot, 0, to, payload.into()))
    }

    /// Receives frames as a data plane does.
    fn receive(kept: Option<Assembly>, frames: &[Bytes]) -> Assembly {
        let mut assembly = kept;
        for frame in frames {
            match Frame::decode(frame).expect("own frames are read") {
                Frame::Update(header, part) => {
                    assembly = Some(Assembly::begin(header, part).expect("in limits"));
                }
                Frame::Continued(header, from) => {
                    assert!(assembly.as_ref().expect("kept").is_completed_by(&header, from));
                }
                Frame::More(part) => assembly.as_mut().expect("begun").push(part).expect("as announced"),
                other => panic!("{other:?}"),
            }
        }
        assembly.expect("at least one frame")
    }

    #[test]
    fn update_goes_on_from_every_frame_and_is_the_same() {
        let update = encoded(1, 5 * MAX_FRAME / 2);
        let whole = receive(None, &update.frames).finish().payload().expect("decodes");
        for at in 1..update.frames.len() {
            let kept = receive(None, &update.frames[..at]);
            let partial = kept.partial().expect("a part");
            assert!(update.continues(&partial));
            let frames = update.frames_from(partial.received);
            assert_eq!(frames.len(), 1 + update.frames.len() - at);
            let end = receive(Some(kept), &frames);
            assert!(end.is_complete());
            assert_eq!(end.finish().payload().expect("decodes"), whole);
        }
    }

    #[test]
    fn any_byte_is_a_place_to_go_on_from() {
        let update = encoded(1, 100_000);
        for from in [1, 1000, 32_600, 32_768, 65_536, 99_999] {
            let frames = update.frames_from(from);
            let rest: usize = frames[1..].iter().map(|frame| frame.len() - 1).sum();
            assert_eq!(rest as u64, update.header.encoded_len - from, "{from}");
        }
    }

    #[test]
    fn another_update_or_a_forged_hash_does_not_continue() {
        let (update, other) = (encoded(1, 100_000), encoded(2, 100_000));
        let partial = receive(None, &update.frames[..2]).partial().expect("a part");
        assert!(update.continues(&partial) && !other.continues(&partial), "one header, other bytes");
        for forged in [
            Partial { hash: Root([1; 32]), ..partial.clone() },
            Partial { received: partial.received - 1, ..partial.clone() },
            Partial { received: partial.encoded_len, ..partial.clone() },
            Partial { received: u64::MAX, ..partial.clone() },
            Partial { from: 1, ..partial.clone() },
            Partial { mode: "delta".into(), ..partial.clone() },
            Partial { to: Position { revision: 8, ..partial.to }, ..partial.clone() },
        ] {
            assert!(!update.continues(&forged), "{forged:?}");
        }
    }

    #[test]
    fn nothing_is_kept_of_a_repair_or_of_no_byte() {
        let header = |mode| UpdateHeader { mode, ..encoded(1, 1000).header };
        let kept = |mode, part: &'static [u8]| {
            Assembly::begin(header(mode), Bytes::from_static(part)).expect("in limits").partial()
        };
        assert!(kept(Mode::Repair, b"a").is_none() && kept(Mode::Snapshot, b"").is_none());
        assert!(kept(Mode::Delta, b"a").is_some());
    }
}
