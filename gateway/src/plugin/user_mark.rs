//! What is known of the user of a request that no consumer stands for.

use super::Exchange;

/// Tells the user of a request from others, where a plugin has authenticated the user and no consumer is known: by the
/// text of a token, or by what a service says of the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UserMark([u8; 32]);

impl UserMark {
    /// The mark of a request's user.
    pub(super) fn of(exchange: &Exchange<'_>) -> Self {
        exchange.kept::<Self>().copied().unwrap_or_default()
    }

    /// Adds what a plugin knows of the user of a request.
    pub(super) fn add<'v>(exchange: &mut Exchange<'_>, known: impl IntoIterator<Item = (&'v str, &'v [u8])>) {
        let mark = Self::of(exchange).with(known);
        exchange.keep(mark);
    }

    /// The mark of a user of whom these values are known as well. Names and lengths tell them apart.
    pub(super) fn with<'v>(self, known: impl IntoIterator<Item = (&'v str, &'v [u8])>) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.0);
        for (name, value) in known {
            for part in [name.as_bytes(), value] {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        Self(*hash.finalize().as_bytes())
    }

    /// The mark as bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ_in_each_value() {
        let mark = |known: &[(&'static str, &'static str)]| {
            UserMark::default().with(known.iter().map(|(name, value)| (*name, value.as_bytes())))
        };
        let marks = [
            mark(&[]),
            mark(&[("a", "1")]),
            mark(&[("a", "12")]),
            mark(&[("a1", "2")]),
            mark(&[("a", "1"), ("a", "2")]),
            mark(&[("a", "1")]).with([("a", &b"1"[..])]),
        ];
        for (number, one) in marks.iter().enumerate() {
            assert!(marks[..number].iter().all(|other| other != one), "{number}");
        }
        assert_eq!(mark(&[("a", "1")]), marks[1]);
    }
}
