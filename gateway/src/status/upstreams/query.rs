//! What a request for targets says beyond its path: parts in percent-encoding, and the page of a list.

use serde_json::{Value, json};

const DEFAULT_SIZE: usize = 100;
const MAX_SIZE: usize = 1000;

/// The page of a list. As in Kong, the offset is an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// Whether the upstream as a whole is wanted.
    pub(super) is_of_balancer: bool,
    size: usize,
    offset: usize,
}

impl Listing {
    /// Reads a query. What it does not know, or cannot read, it ignores.
    pub(super) fn parse(query: &str) -> Self {
        let mut listing = Self { is_of_balancer: false, size: DEFAULT_SIZE, offset: 0 };
        for (key, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match (key, value.parse::<usize>()) {
                ("balancer_health", _) => listing.is_of_balancer = matches!(value, "1" | "true"),
                ("size", Ok(size @ 1..=MAX_SIZE)) => listing.size = size,
                ("offset", Ok(offset)) => listing.offset = offset,
                _ => {}
            }
        }
        listing
    }

    /// Shows a page of `all`.
    pub(super) fn page<T>(self, path: &str, all: Vec<T>, view: impl FnMut(T) -> Value) -> Value {
        let end = self.offset.saturating_add(self.size);
        let is_last = end >= all.len();
        let data: Vec<Value> = all.into_iter().skip(self.offset).take(self.size).map(view).collect();
        if is_last {
            return json!({ "data": data, "next": null });
        }
        let size = if self.size == DEFAULT_SIZE { String::new() } else { format!("&size={}", self.size) };
        json!({ "data": data, "next": format!("{path}?offset={end}{size}"), "offset": end.to_string() })
    }
}

/// Decodes a segment of a path; `None` when it is no text.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut parts = segment.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_or_refused() {
        assert_eq!(decoded("%5B%3a%3A1%5d:80").as_deref(), Some("[::1]:80"));
        for broken in ["%", "%5", "%+5", "%ff", "%é"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let show = |query: &str| Listing::parse(query).page("/p", (0..250).collect(), |at: u32| json!(at));
        let (first, last) = (show(""), show("offset=200"));
        assert_eq!((first["data"][99].clone(), &first["next"]), (json!(99), &json!("/p?offset=100")));
        assert_eq!((last["data"][0].clone(), &last["next"]), (json!(200), &Value::Null));
        let own = show("size=2&offset=3&unknown");
        assert_eq!((own["data"].clone(), &own["next"]), (json!([3, 4]), &json!("/p?offset=5&size=2")));
        assert_eq!(show("offset=18446744073709551615")["data"], json!([]));
        assert!(Listing::parse("balancer_health=1").is_of_balancer);
        assert!(!Listing::parse("balancer_health=0").is_of_balancer);
    }
}
