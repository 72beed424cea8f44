//! The part of a body that has been sent, kept for another attempt.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// The most bytes that are kept. A longer body has one attempt.
const MOST: usize = 64 * 1024;

/// What has been read of a request's body.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// In one buffer: parts of one byte would cost many times their size.
    bytes: BytesMut,
    is_incomplete: bool,
    end: Option<Option<HeaderMap>>,
}

impl Replay {
    /// Whether all that was read is here.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_incomplete
    }

    /// Keeps nothing of what comes: no other attempt could follow.
    pub(super) fn give_up(&mut self) {
        self.bytes = BytesMut::new();
        self.is_incomplete = true;
    }

    /// Keeps a part.
    pub(super) fn keep(&mut self, part: &Bytes) {
        if self.bytes.len() + part.len() > MOST {
            self.give_up();
        } else if self.is_complete() {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Notes that the body has ended, with these trailers.
    pub(super) fn end(&mut self, trailers: Option<&HeaderMap>) {
        self.end = Some(trailers.cloned());
    }

    /// The bytes so far.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    /// The trailers, if the body has ended.
    pub(super) fn ended(&self) -> Option<Option<&HeaderMap>> {
        self.end.as_ref().map(Option::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_not_kept() {
        let mut replay = Replay::default();
        let part = Bytes::from(vec![0; MOST / 2]);
        replay.keep(&part);
        replay.keep(&part);
        assert!(replay.is_complete() && replay.bytes().len() == MOST);
        replay.keep(&Bytes::from_static(b"x"));
        assert!(!replay.is_complete() && replay.bytes().is_empty());
        replay.keep(&Bytes::from_static(b"x"));
        assert!(!replay.is_complete() && replay.bytes().is_empty());
    }
}
