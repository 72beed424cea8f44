//! The context of a trace: which trace a request belongs to, and whether it is sampled.

use std::fmt;

/// The id of a trace: 16 bytes, not all zero. One of 8 bytes has zeros before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId(pub(super) [u8; 16]);

/// The id of a span: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanId(pub(super) [u8; 8]);

/// The context that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// The trace.
    pub(super) trace: TraceId,
    /// The client's span; some forms may leave it out.
    pub(super) span: Option<SpanId>,
    /// Whether the trace is sampled, if the client says so.
    pub(super) is_sampled: Option<bool>,
}

/// The context that the upstream is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// The trace.
    pub(super) trace: TraceId,
    /// The gateway's span for the upstream.
    pub(super) span: SpanId,
    /// The span in which that one is.
    pub(super) parent: SpanId,
    /// Whether the trace is sampled.
    pub(super) is_sampled: bool,
}

impl TraceId {
    /// A new trace.
    pub(super) fn random() -> Self {
        loop {
            if let Some(id) = Self::of(rand::random()) {
                return id;
            }
        }
    }

    /// Reads 1 to 32 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::of(hex(text)?)
    }

    /// The id with these bytes; `None` if all are zero.
    pub(super) fn of(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The lower half, as a number.
    pub(super) fn low(self) -> u64 {
        let [_, low] = self.halves();
        low
    }

    /// Whether the trace is among a share of all, from 0 to 1. All nodes decide alike.
    pub(super) fn is_within(self, share: f64) -> bool {
        /// 2 to the 63rd.
        const ALL: f64 = 9_223_372_036_854_775_808.0;
        #[expect(clippy::cast_precision_loss, reason = "the share has no more digits")]
        let place = (self.low() >> 1) as f64;
        place < share * ALL
    }

    fn halves(self) -> [u64; 2] {
        let whole = u128::from_be_bytes(self.0);
        #[expect(clippy::cast_possible_truncation, reason = "each half has 64 bits")]
        let halves = [(whole >> 64) as u64, whole as u64];
        halves
    }
}

impl SpanId {
    /// A new span.
    pub(super) fn random() -> Self {
        loop {
            if let Some(id) = Self::of(rand::random()) {
                return id;
            }
        }
    }

    /// Reads 1 to 16 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::of(hex(text)?)
    }

    /// Reads a decimal number.
    pub(super) fn parse_decimal(text: &str) -> Option<Self> {
        Self::of(decimal(text)?.to_be_bytes())
    }

    /// The id with these bytes; `None` if all are zero.
    pub(super) fn of(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// It as a number.
    pub(super) fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

/// Reads a number without a sign.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

/// Reads hexadecimal digits, at most two for each byte. Missing ones are zeros before them.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.is_empty() || text.len() > 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (place, digit) in text.bytes().rev().enumerate() {
        let value = u8::try_from(char::from(digit).to_digit(16)?).ok()?;
        bytes[N - 1 - place / 2] |= value << (4 * (place % 2));
    }
    Some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        let full = "0af7651916cd43dd8448eb211c80319c";
        for (text, written) in [
            (full, Some(full.to_owned())),
            ("1", Some(format!("{}1", "0".repeat(31)))),
            ("ABC", Some(format!("{}abc", "0".repeat(29)))),
            ("", None),
            ("0", None),
            (&"0".repeat(32), None),
            (&"1".repeat(33), None),
            ("+1", None),
            ("g", None),
            ("\u{fc}", None),
        ] {
            assert_eq!(TraceId::parse(text).map(|id| id.to_string()), written, "{text}");
        }
        assert_eq!(SpanId::parse("b7ad6b7169203331").unwrap().to_string(), "b7ad6b7169203331");
        assert_eq!(SpanId::parse_decimal("18446744073709551615").unwrap().to_string(), "f".repeat(16));
        for wrong in ["", "0", "-1", "+1", "18446744073709551616", "1a"] {
            assert_eq!(SpanId::parse_decimal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn share_of_traces_is_sampled() {
        let traces: Vec<_> = (0..10_000).map(|_| TraceId::random()).collect();
        for (share, least, most) in [(0.0, 0, 0), (0.1, 800, 1200), (0.5, 4700, 5300), (1.0, 10_000, 10_000)]
        {
            let sampled = traces.iter().filter(|trace| trace.is_within(share)).count();
            assert!((least..=most).contains(&sampled), "{share}: {sampled}");
        }
    }
}
