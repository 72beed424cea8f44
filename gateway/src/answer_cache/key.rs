//! What tells two requests apart.
//!
//! A request has two keys. The *shown* key is Kong's: the text of its parts, hashed, for X-Cache-Key and the
//! Admin API. Kong looks entries up by it. That text is ambiguous (the query `a=1%3Ab=2` reads like
//! `a=1&b=2`), and lacks the host, the scheme, the body, the credential, and users without a consumer. Answers
//! are therefore looked up by a key of Gibbon's own over all of these, each with its length. Requests of one
//! lookup key have the same shown key.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::digest::{Context, SHA256, digest};
use uuid::Uuid;

use crate::message::NamedHeader;

/// A key: a SHA-256 hash.
pub type Key = [u8; 32];

/// What the configuration says about keys.
#[derive(Debug, Default)]
pub struct KeyTerms {
    /// Whether paths that differ in case alone are the same.
    pub ignore_case: bool,
    /// The query arguments that count; none: all.
    pub arguments: Vec<String>,
    /// The header fields that count.
    pub fields: Vec<CountedField>,
}

/// A header field that counts.
#[derive(Clone, Debug)]
pub struct CountedField {
    /// Its name in the shown key.
    pub name: Box<str>,
    /// The shown key has the values under the first spelling that a request has. The lookup key has those of all:
    /// an upstream may read any of them.
    pub header: NamedHeader,
}

/// The parts of a request that tell it apart.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The consumer.
    pub consumer: Option<Uuid>,
    /// What tells its user from others where the consumer does not.
    pub user: &'a [u8],
    /// The route.
    pub route: Option<Uuid>,
    /// The method.
    pub method: &'a str,
    /// Whether the client takes no body, whatever the method is now.
    pub is_head: bool,
    /// The path as the client sent it, without the query.
    pub path: &'a [u8],
    /// The query, without the question mark.
    pub query: Option<&'a [u8]>,
    /// Whether the client used HTTPS.
    pub is_https: bool,
    /// The host that the client named, with its port.
    pub authority: &'a str,
    /// The path that a plugin gave the request.
    pub upstream_path: Option<&'a [u8]>,
    /// The host that a plugin gave the request.
    pub upstream_host: Option<&'a [u8]>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The body, where the answer may depend on it.
    pub body: &'a [u8],
}

/// The keys of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The key that clients and operators see.
    pub shown: Key,
    /// The key under which an answer is looked up, apart from what its Vary names.
    pub lookup: Key,
}

/// Arguments of a query: the values of each name, `None` for one without `=`.
type Arguments = BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>;

impl Keys {
    /// The keys of a request.
    pub fn of(request: &RequestParts<'_>, terms: &KeyTerms) -> Self {
        let arguments = arguments(request.query.unwrap_or_default());
        Self { shown: shown(request, &arguments, terms), lookup: lookup(request, &arguments, terms) }
    }
}

/// The key of the variant of an answer for this request, where its Vary names these fields.
pub(super) fn variant(lookup: &Key, names: &[String], headers: &HeaderMap) -> Key {
    let mut hash = Parts::new("variant");
    hash.add(lookup);
    names.iter().for_each(|name| hash.add_field(name, headers));
    hash.end()
}

/// A key as clients see it.
pub fn hex(key: &Key) -> String {
    key.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text can be written to");
        text
    })
}

/// Reads a key that [`hex`] has written.
pub(super) fn from_hex(text: &str) -> Option<Key> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
    }
    Some(key)
}

/// Kong's key: `prefix|method|request line up to the query|arguments|fields`.
fn shown(request: &RequestParts<'_>, arguments: &Arguments, terms: &KeyTerms) -> Key {
    let mut text = Vec::with_capacity(256);
    match (request.consumer, request.route) {
        (Some(consumer), Some(route)) => text.extend(format!("{consumer}:{route}").bytes()),
        (None, Some(route)) => text.extend(route.to_string().bytes()),
        (_, None) => text.extend(b"default"),
    }
    text.push(b'|');
    text.extend(request.method.bytes());
    text.push(b'|');
    text.extend(request_line(request, terms));
    text.push(b'|');
    text.extend(join(counted_arguments(arguments, terms).map(|(name, values)| argument(name, values))));
    text.push(b'|');
    text.extend(join(terms.fields.iter().filter_map(|counted| field(counted, request.headers))));
    let mut key = Key::default();
    key.copy_from_slice(digest(&SHA256, &text).as_ref());
    key
}

/// The request line without the query and what follows it. Requests over HTTP/2 share the entries of others.
fn request_line(request: &RequestParts<'_>, terms: &KeyTerms) -> Vec<u8> {
    let end: &[u8] = if request.query.is_some() { b"" } else { b" HTTP/1.1" };
    let mut line = [request.method.as_bytes(), b" ", request.path, end].concat();
    if terms.ignore_case {
        line.make_ascii_lowercase();
    }
    line
}

/// The name of an argument, and its values; `None` for one without.
type Counted<'a> = (&'a [u8], &'a [Option<Vec<u8>>]);

fn counted_arguments<'a>(
    arguments: &'a Arguments,
    terms: &'a KeyTerms,
) -> Box<dyn Iterator<Item = Counted<'a>> + 'a> {
    if terms.arguments.is_empty() {
        return Box::new(arguments.iter().map(|(name, values)| (name.as_slice(), values.as_slice())));
    }
    let named = terms.arguments.iter().map(String::as_bytes);
    Box::new(named.filter_map(|name| Some((name, arguments.get(name)?.as_slice()))))
}

fn argument(name: &[u8], values: &[Option<Vec<u8>>]) -> Vec<u8> {
    match values {
        [None] => name.to_vec(),
        values => {
            let mut texts: Vec<&[u8]> =
                values.iter().map(|value| value.as_deref().unwrap_or(b"true")).collect();
            texts.sort_unstable();
            [name, b"=", &texts.join(&b","[..])].concat()
        }
    }
}

fn field(counted: &CountedField, headers: &HeaderMap) -> Option<Vec<u8>> {
    let spelling = counted.header.spellings().find(|name| headers.contains_key(*name))?;
    let mut values: Vec<&[u8]> = headers.get_all(spelling).iter().map(|value| value.as_bytes()).collect();
    values.sort_unstable();
    Some([counted.name.as_bytes(), b"=", &values.join(&b","[..])].concat())
}

fn join(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    parts.collect::<Vec<_>>().join(&b":"[..])
}

fn lookup(request: &RequestParts<'_>, arguments: &Arguments, terms: &KeyTerms) -> Key {
    let mut hash = Parts::new("request");
    for id in [request.consumer, request.route] {
        hash.add(id.map(Uuid::into_bytes).unwrap_or_default().as_slice());
    }
    hash.add(request.user);
    hash.add(request.method.as_bytes());
    hash.add_count(usize::from(request.is_head));
    match terms.ignore_case {
        true => hash.add(&request.path.to_ascii_lowercase()),
        false => hash.add(request.path),
    }
    hash.add_count(usize::from(request.is_https));
    hash.add(request.authority.to_ascii_lowercase().as_bytes());
    hash.add(request.upstream_path.unwrap_or_default());
    hash.add(request.upstream_host.unwrap_or_default());
    hash.add_count(usize::from(request.query.is_some()));
    for (name, values) in counted_arguments(arguments, terms) {
        hash.add(name);
        hash.add_count(values.len());
        let mut values: Vec<_> = values.iter().collect();
        values.sort_unstable();
        for value in values {
            hash.add_count(usize::from(value.is_some()));
            hash.add(value.as_deref().unwrap_or_default());
        }
    }
    hash.add(b"fields");
    let counted = terms.fields.iter().flat_map(|counted| counted.header.spellings());
    counted.for_each(|name| hash.add_field(name.as_str(), request.headers));
    // An answer to one credential is no answer to another, whichever of them the gateway knows.
    hash.add_field(AUTHORIZATION.as_str(), request.headers);
    hash.add(request.body);
    hash.end()
}

/// A hash over parts, none of which can be treated as another.
struct Parts(Context);

impl Parts {
    fn new(of: &str) -> Self {
        let mut parts = Self(Context::new(&SHA256));
        parts.add(of.as_bytes());
        parts
    }

    fn add(&mut self, part: &[u8]) {
        self.add_count(part.len());
        self.0.update(part);
    }

    fn add_count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_le_bytes());
    }

    /// A field's values in their order: lists are ordered.
    fn add_field(&mut self, name: &str, headers: &HeaderMap) {
        let values = headers.get_all(name);
        self.add(name.as_bytes());
        self.add_count(values.iter().count());
        values.iter().for_each(|value| self.add(value.as_bytes()));
    }

    fn end(self) -> Key {
        let mut key = Key::default();
        key.copy_from_slice(self.0.finish().as_ref());
        key
    }
}

/// Reads a query as Kong does: an argument without a name does not count.
fn arguments(query: &[u8]) -> Arguments {
    let mut read = Arguments::new();
    for part in query.split(|byte| *byte == b'&') {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default());
        if !name.is_empty() {
            read.entry(name).or_default().push(halves.next().map(decode));
        }
    }
    read
}

/// Decodes `%XX` and `+`; an incomplete escape stays as it is.
fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escaped = (*byte == b'%').then(|| (digit(text.get(at + 1)), digit(text.get(at + 2))));
        if let Some((Some(high), Some(low))) = escaped {
            decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
            at += 3;
        } else {
            decoded.push(if *byte == b'+' { b' ' } else { *byte });
            at += 1;
        }
    }
    decoded
}

#[cfg(test)]
mod tests;
