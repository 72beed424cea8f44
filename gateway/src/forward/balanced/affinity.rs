//! The part of a request that decides on its target: the hash of a key, or the address that a cookie names.

use std::borrow::Cow;
use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use http::HeaderMap;
use http::header::COOKIE;
use uuid::Uuid;

use super::cookie;
use crate::client::{Ends, Request};
use crate::context::Context;
use crate::request::{Trusted, forwarded};
use crate::upstream::balancer::Algorithm;
use crate::upstream::{Balanced, CookieTerms, GroupTerms, HashInput};

/// Arguments of a query that are looked at.
const ARGUMENTS: usize = 100;

/// Finds what the choice of a target depends on.
pub(super) fn find(
    terms: &GroupTerms,
    (request, ends): (&Request, &Ends),
    context: &Context,
    trusted: &Trusted,
) -> Balanced {
    match terms.balancing.algorithm {
        Algorithm::ConsistentHashing => {}
        Algorithm::StickySessions => {
            // Of several cookies of the name, one may be of another upstream.
            let sent = terms.cookie.iter().flat_map(|terms| values(request.early_headers(), terms));
            let sticky = sent.into_iter().find_map(|sent| cookie::read_address(sent, terms.id));
            return Balanced { sticky, ..Balanced::default() };
        }
        Algorithm::RoundRobin | Algorithm::LeastConnections | Algorithm::Latency => {
            return Balanced::default();
        }
    }
    let source = Source { request, ends, context, trusted };
    let mut found = Balanced::default();
    for input in [&terms.affinity.on, &terms.affinity.fallback] {
        if let HashInput::Cookie = input {
            // A client without the cookie gets one, and with it a key.
            let sent = terms.cookie.as_ref().and_then(|terms| values(request.early_headers(), terms).next());
            let made = || found.cookie.insert(Uuid::new_v4().to_string().into()).as_bytes().to_vec();
            let key = sent.map_or_else(made, <[u8]>::to_vec);
            found.key = Some(hash(&key));
            break;
        }
        if let Some(key) = source.key(input) {
            found.key = Some(hash(&key));
            break;
        }
    }
    found
}

/// Where keys come from.
struct Source<'s> {
    request: &'s Request,
    ends: &'s Ends,
    context: &'s Context,
    trusted: &'s Trusted,
}

impl<'s> Source<'s> {
    fn key(&self, input: &HashInput) -> Option<Cow<'s, [u8]>> {
        let request = self.request;
        let key = match input {
            HashInput::None | HashInput::Cookie => None,
            HashInput::Consumer => {
                let plugins = self.context.plugins.as_ref()?;
                let consumer = plugins.consumer().map(|consumer| &consumer.id);
                let id = consumer.or_else(|| plugins.credential().map(|credential| &credential.id))?;
                Some(Cow::Borrowed(&id.as_bytes()[..]))
            }
            HashInput::Address => {
                let address = forwarded::client_address(request, self.ends, self.trusted);
                Some(Cow::Owned(address.to_string().into_bytes()))
            }
            HashInput::Header(name) => {
                let mut values = request.headers().get_all(name).iter().map(|value| value.as_bytes());
                let first = values.next()?;
                match values.next() {
                    None => Some(Cow::Borrowed(first)),
                    Some(second) => {
                        let all: Vec<_> = [first, second].into_iter().chain(values).collect();
                        Some(Cow::Owned(all.join(&b", "[..])))
                    }
                }
            }
            HashInput::Path => Some(Cow::Borrowed(self.context.canonical.path(request).as_bytes())),
            HashInput::Argument(name) => {
                argument(self.context.canonical.query(request)?, name).map(Cow::Owned)
            }
            HashInput::Capture(name) => {
                let target = self.context.target.as_ref()?;
                let path = self.context.canonical.path(request);
                let captured = target.route.capture(path, name)?;
                Some(Cow::Owned(captured.as_bytes().to_vec()))
            }
        };
        key.filter(|key| !key.is_empty())
    }
}

/// The values of an argument of a query, sorted and joined. One without a value counts as `true`.
fn argument(query: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let named = query.split(|byte| *byte == b'&').take(ARGUMENTS).filter_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = decoded(parts.next()?);
        (*name == *wanted.as_bytes()).then(|| parts.next().map_or(b"true".to_vec(), decoded))
    });
    let mut values: Vec<_> = named.collect();
    values.sort_unstable();
    if values.is_empty() { None } else { Some(values.join(&b","[..])) }
}

/// A part of a query without its encoding. What is no encoding stays.
fn decoded(part: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut plain = Vec::with_capacity(part.len());
    let mut at = 0;
    while let Some(byte) = part.get(at) {
        let encoded = digit(part.get(at + 1)).zip(digit(part.get(at + 2))).filter(|_| *byte == b'%');
        match (encoded, *byte) {
            (Some((high, low)), _) => {
                plain.push((high * 16 + low) as u8);
                at += 2;
            }
            (None, b'+') => plain.push(b' '),
            (None, byte) => plain.push(byte),
        }
        at += 1;
    }
    plain
}

/// The values of a cookie of the request.
fn values<'h>(headers: &'h HeaderMap, terms: &'h CookieTerms) -> impl Iterator<Item = &'h [u8]> {
    let cookies = headers.get_all(COOKIE).iter().flat_map(|all| all.as_bytes().split(|byte| *byte == b';'));
    cookies
        .filter_map(|cookie| cookie.trim_ascii().strip_prefix(terms.name.as_bytes())?.strip_prefix(b"="))
        .filter(|value| !value.is_empty())
}

/// The same on every data plane.
fn hash(key: &[u8]) -> u64 {
    FixedState::with_seed(0).hash_one(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_of_a_query() {
        let key = |query: &str| argument(query.as_bytes(), "a b").map(|key| String::from_utf8(key).unwrap());
        for (query, expected) in [
            ("a+b=1", Some("1")),
            ("x=1&a%20b=%41", Some("A")),
            ("a+b=2&a+b=1", Some("1,2")),
            ("a+b", Some("true")),
            ("a+b=", Some("")),
            ("a+b=%zz", Some("%zz")),
            ("c=1", None),
            ("", None),
        ] {
            assert_eq!(key(query).as_deref(), expected, "{query}");
        }
    }
}
