//! What a client may send, and in what time.

use std::time::Duration;

use super::PaceTerms;

/// Limits of a request header.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLimits {
    /// The timeout of the whole header.
    pub time: Duration,
    /// The most bytes of its target.
    pub target_bytes: usize,
    /// The most bytes of its fields.
    pub bytes: usize,
    /// The most fields.
    pub fields: usize,
}

/// Limits of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Limits of each request header.
    pub header: HeaderLimits,
    /// The least rate of a body, and the longest silence within one, in either direction.
    pub pace: PaceTerms,
    /// How long a connection may wait for its next request; zero closes it after each.
    pub keepalive_timeout: Duration,
}

/// Bytes of a field besides its name and value: the colon, a blank and the end of the line.
const FIELD_BYTES: usize = 4;
/// The most bytes of a method.
pub(super) const LONGEST_METHOD: usize = 64;
/// Bytes of a header that are neither fields nor target: the rest of the request line, and blanks around
/// values.
const SLACK: usize = 4096;

impl HeaderLimits {
    /// The most bytes of the text of a header.
    pub(super) fn text_bytes(&self) -> usize {
        self.target_bytes + self.bytes + SLACK
    }

    /// Whether fields with names and values of these lengths are too many or too large.
    pub(super) fn exceeded(&self, lengths: impl Iterator<Item = (usize, usize)>) -> bool {
        let (mut fields, mut bytes) = (0, 0);
        for (name, value) in lengths {
            fields += 1;
            bytes += name + value + FIELD_BYTES;
        }
        fields > self.fields || bytes > self.bytes
    }
}
