//! The directives of Cache-Control (RFC 9111, section 5.2), as far as a shared cache needs them.

use std::time::Duration;

/// The most seconds that a directive can mean: RFC 9111, section 1.2.2.
const MOST_SECONDS: u64 = 1 << 31;

/// The directives of a request or an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Nothing is to be kept.
    pub no_store: bool,
    /// Nothing kept is to be used.
    pub no_cache: bool,
    /// The answer is for one client.
    pub private: bool,
    /// An answer that is no longer fresh is not to be used, whatever the client accepts.
    pub must_revalidate: bool,
    /// Only an answer that is kept is wanted.
    pub only_if_cached: bool,
    /// How long the answer is fresh; in a request, how old it may be.
    pub max_age: Option<Duration>,
    /// How long the answer is fresh in a shared cache.
    pub s_maxage: Option<Duration>,
    /// For how long the answer may not have been fresh.
    pub max_stale: Option<Duration>,
    /// For how long the answer must still be fresh.
    pub min_fresh: Option<Duration>,
}

impl Directives {
    /// Reads all lines of the field. What cannot be read counts for nothing, or against the cache.
    pub fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut read = Self::default();
        for line in lines {
            split(line).for_each(|directive| read.add(directive));
        }
        read
    }

    fn add(&mut self, directive: &[u8]) {
        let mut halves = directive.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let value = halves.next().map(<[u8]>::trim_ascii);
        match name.as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"must-revalidate" | b"proxy-revalidate" => self.must_revalidate = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => least(&mut self.max_age, value),
            b"s-maxage" => {
                least(&mut self.s_maxage, value);
                self.must_revalidate = true;
            }
            // Without a value, a client accepts an answer of any age.
            b"max-stale" if value.is_none() => self.max_stale = Some(Duration::from_secs(MOST_SECONDS)),
            b"max-stale" => least(&mut self.max_stale, value),
            b"min-fresh" => self.min_fresh = self.min_fresh.max(Some(seconds(value).unwrap_or_default())),
            _ => {}
        }
    }

    /// Whether an answer with these directives is not to be kept for others.
    pub const fn forbids_sharing(&self) -> bool {
        self.no_store || self.private
    }
}

/// Of several values the least counts; one that is no number is 0.
fn least(held: &mut Option<Duration>, value: Option<&[u8]>) {
    let value = seconds(value).unwrap_or_default();
    *held = Some(held.map_or(value, |held| held.min(value)));
}

/// Reads a number of seconds, which may be quoted.
pub(super) fn seconds(value: Option<&[u8]>) -> Option<Duration> {
    let value = value?;
    let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if unquoted.is_empty() || !unquoted.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than a number has mean the greatest one.
    let number = std::str::from_utf8(unquoted).ok()?.parse().unwrap_or(MOST_SECONDS);
    Some(Duration::from_secs(number.min(MOST_SECONDS)))
}

/// Splits a list at its commas, except those within quotes.
fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let is_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && !is_escaped => escaped = true,
            b'"' if !is_escaped => quoted = !quoted,
            _ => {}
        }
        *byte == b',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Directives {
        Directives::read(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn directives_are_read_whatever_their_case_and_lines() {
        let all = read(&["No-Store , max-age=60", "", "PRIVATE, ,must-revalidate,only-if-cached"]);
        let expected = Directives {
            no_store: true,
            private: true,
            must_revalidate: true,
            only_if_cached: true,
            max_age: Some(Duration::from_secs(60)),
            ..Directives::default()
        };
        assert_eq!(all, expected);
        assert!(read(&["no-cache=\"set-cookie\""]).no_cache);
        assert_eq!(read(&["community=\"UCI, no-store, max-age=0\""]), Directives::default());
        assert_eq!(read(&["x=\"a\\\", no-store\""]), Directives::default());
        assert_eq!(read(&[]), Directives::default());
    }

    #[test]
    fn times_that_cannot_be_read_count_against_the_cache() {
        let of = |text: &str| read(&[&format!("max-age={text}")]).max_age.unwrap().as_secs();
        for (text, seconds) in [
            ("60", 60),
            ("\"60\"", 60),
            ("0", 0),
            ("-1", 0),
            ("1.5", 0),
            ("", 0),
            ("x", 0),
            ("+5", 0),
            ("99999999999999999999999", MOST_SECONDS),
        ] {
            assert_eq!(of(text), seconds, "{text}");
        }
        assert_eq!(read(&["max-age=60, max-age=5"]).max_age, Some(Duration::from_secs(5)));
        assert_eq!(read(&["max-age"]).max_age, Some(Duration::ZERO));
        assert_eq!(read(&["max-stale"]).max_stale, Some(Duration::from_secs(MOST_SECONDS)));
        assert_eq!(read(&["max-stale=x"]).max_stale, Some(Duration::ZERO));
        assert_eq!(read(&["min-fresh=5,min-fresh=9"]).min_fresh, Some(Duration::from_secs(9)));
        assert!(read(&["s-maxage=1"]).must_revalidate);
    }
}
