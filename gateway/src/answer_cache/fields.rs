//! The header fields of an answer that is kept.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::directives;
use crate::message::FieldName;

/// Fields of a connection, and those that the gateway writes into each answer.
const NOT_KEPT: [&str; 18] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "age",
    "x-cache-status",
    "x-cache-key",
    "x-kong-request-id",
    "x-kong-proxy-latency",
    "x-kong-response-latency",
    "x-kong-upstream-latency",
];

/// A part of the names of fields that count what is left to one client.
const LEFT: &str = "ratelimit-remaining";

/// Header fields in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(FieldName, HeaderValue)>);

impl Fields {
    /// Takes the fields of an answer; `None` when one of them could not be sent again.
    pub fn take<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let field = |(name, value): (&[u8], &[u8])| {
            let name = FieldName::new(std::str::from_utf8(name).ok()?)?;
            Some((name, HeaderValue::from_bytes(value).ok()?))
        };
        fields.map(field).collect::<Option<_>>().map(Self)
    }

    /// The values of a field, whose name is in lower case.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(held, _)| held.lower() == name).map(|(_, value)| value.as_bytes())
    }

    /// The first value of a field, if it is a text. The name is in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether there is such a field. The name is in lower case.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Every field.
    pub fn iter(&self) -> impl Iterator<Item = &(FieldName, HeaderValue)> {
        self.0.iter()
    }

    /// The bytes of all names and values.
    pub fn bytes(&self) -> usize {
        let bytes = |(name, value): &(FieldName, HeaderValue)| 2 * name.written().len() + value.len();
        self.0.iter().map(|field| bytes(field) + FieldName::BYTES + size_of::<HeaderValue>()).sum()
    }

    /// Leaves out the fields that no other answer may have, and those that are `of_one_request`.
    pub fn strip(&mut self, of_one_request: impl Fn(&HeaderName) -> bool) {
        self.0.retain(|(name, _)| {
            let lower = name.lower().as_str();
            !NOT_KEPT.contains(&lower) && !lower.contains(LEFT) && !of_one_request(name.lower())
        });
    }

    /// How old the answer was when it came.
    pub fn age(&self) -> Duration {
        directives::seconds(self.all("age").next()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        Fields::take(all.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))).unwrap()
    }

    #[test]
    fn fields_of_one_connection_or_request_are_not_kept() {
        let mut kept = fields(&[
            ("Content-Type", "a/b"),
            ("Transfer-Encoding", "chunked"),
            ("content-length", "5"),
            ("Age", "7"),
            ("X-RateLimit-Remaining-Minute", "4"),
            ("RateLimit-Reset", "4"),
            ("RateLimit-Limit", "5"),
            ("X-Cache-Status", "Miss"),
            ("X-Cache-Tags", "a"),
            ("X-Kong-Request-Id", "x"),
            ("X-Kong-Own", "x"),
            ("Server", "s"),
            ("Via", "1.1 a"),
            ("ETag", "\"a\""),
            ("Link", "a"),
            ("Link", "b"),
        ]);
        assert_eq!(kept.age(), Duration::from_secs(7));
        kept.strip(|name| name == "ratelimit-reset");
        let names: Vec<_> = kept.iter().map(|(name, _)| name.written()).collect();
        let own = ["Content-Type", "RateLimit-Limit", "X-Cache-Tags", "X-Kong-Own", "Server", "Via"];
        assert_eq!(names, [&own[..], &["ETag", "Link", "Link"]].concat());
        assert_eq!(kept.all("link").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!((kept.age(), kept.get("etag")), (Duration::ZERO, Some("\"a\"")));
    }

    #[test]
    fn fields_that_could_not_be_sent_are_refused() {
        for (name, value) in [("a b", "c"), ("a", "b\r\nc: d")] {
            assert!(Fields::take([(name.as_bytes(), value.as_bytes())].into_iter()).is_none(), "{name:?}");
        }
    }
}
