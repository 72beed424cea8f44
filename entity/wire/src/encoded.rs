//! An update as the frames that send it: made once, shared by every session.

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::digest::Root;
use crate::frame::{Frame, MAX_FRAME};
use crate::update::{Partial, Update, UpdateHeader};

/// The most bytes of a payload in one frame. A connection that ends loses the frame that was on its way, so
/// a frame is much shorter than it may be.
const PART: usize = 32 * 1024;

/// An update encoded as frames: made once, shared by every session.
#[derive(Clone, Debug)]
pub struct EncodedUpdate {
    /// The header of the update.
    pub header: UpdateHeader,
    /// Its frames, in order.
    pub frames: Vec<Bytes>,
}

impl EncodedUpdate {
    /// Cuts an update into frames.
    pub fn new(update: &Update) -> Self {
        let mut payload = match update.parts() {
            [only] => only.clone(),
            parts => parts.concat().into(),
        };
        let first = payload.split_to(payload.len().min(PART));
        let mut frames = vec![Frame::Update(update.header, first).encode()];
        while !payload.is_empty() {
            frames.push(Frame::More(payload.split_to(payload.len().min(PART))).encode());
        }
        Self { header: update.header, frames }
    }

    /// Length of all frames in bytes.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }

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
        let first = 1 + UpdateHeader::BYTES;
        let heads = std::iter::once(first).chain(std::iter::repeat(1));
        self.frames.iter().zip(heads).map(|(frame, head)| frame.slice(head..))
    }
}
