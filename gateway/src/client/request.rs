//! The header of a request, as plugins leave it.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::message::{FieldLines, FieldName, Framing, TextFields};
use crate::names::Name;

/// Fields that were added for the upstream, and for which look-ups are prepared when one comes: few plugins look.
#[derive(Debug, Default)]
pub(super) struct LateFields {
    lines: FieldLines,
    /// The map with late fields, made by the first look-up.
    with_others: OnceLock<Box<HeaderMap>>,
}

/// The header of a request.
#[derive(Debug)]
pub struct Request {
    /// The method. A plugin may have changed it for the upstream.
    pub method: Method,
    /// Whether the client asked for the header of the answer alone, by `HEAD`.
    pub is_head: bool,
    /// The version in which it came.
    pub version: Version,
    /// The target as it was sent: path and query, or `*`. An absolute target without its scheme and host.
    pub target: Bytes,
    /// The host, and the port if there is one: of an absolute target or `:authority`, else of `Host`.
    pub authority: Option<Bytes>,
    /// The fields, for look-ups, but for late ones; without pseudo fields. Cookies of HTTP/2 are joined (RFC 9113,
    /// section 8.2.3).
    pub(super) headers: HeaderMap,
    /// The fields as they were written; of HTTP/1 alone.
    pub(super) text: Option<TextFields>,
    pub(super) late: LateFields,
    /// Whether no field says who the consumer is. Also false when nobody has looked.
    pub(super) is_free_of_claims: bool,
    /// How the body is delimited.
    pub framing: Framing,
    /// Bytes of the header as it came. Of HTTP/2, those that HTTP/1 would need.
    pub header_bytes: u64,
}

impl Request {
    /// The names and values of the fields, as they were written where that is known.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let late = self.late.lines.iter().map(|(name, value)| (name.written().as_bytes(), value));
        self.sent_fields().chain(self.added_fields()).chain(late)
    }

    /// Those that came. Of HTTP/2, where no client nominates fields for one hop, all are counted as such.
    pub fn sent_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let map = if self.text.is_some() { None } else { Some(&self.headers) };
        let map = map.into_iter().flatten().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        self.text.iter().flat_map(TextFields::sent).chain(map)
    }

    /// Those that plugins have added, but for late ones.
    pub fn added_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.text.iter().flat_map(TextFields::added)
    }

    /// Those that say who sent the request, until they are merged into the others ([`Self::append_late`]).
    pub fn late_fields(&self) -> &FieldLines {
        &self.late.lines
    }

    /// The fields, for look-ups.
    pub fn headers(&self) -> &HeaderMap {
        if self.late.lines.is_empty() {
            return &self.headers;
        }
        self.late.with_others.get_or_init(|| {
            let mut all = self.headers.clone();
            append_lines(&mut all, &self.late.lines);
            Box::new(all)
        })
    }

    /// The fields, for look-ups of any but those about the sender ([`Self::append_late`]), which it may lack. Copies
    /// nothing.
    pub fn early_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Removes the fields that say who the consumer is. Their names are those for which `is_claim`: there is one such
    /// function, so that they need not be looked for again while no field is added.
    pub fn remove_claims(&mut self, is_claim: fn(&[u8]) -> bool) {
        if self.is_free_of_claims {
            return;
        }
        let claims = self.headers().keys().filter(|name| is_claim(name.as_str().as_bytes()));
        let claims: SmallVec<[HeaderName; 2]> = claims.cloned().collect();
        claims.iter().for_each(|name| self.remove_field(name));
        self.is_free_of_claims = true;
    }

    /// Adds a field behind the others that says who sent the request. A value that no field may have is left out.
    pub fn append_late(&mut self, name: &'static Name, value: &[u8]) {
        self.is_free_of_claims = false;
        if self.text.is_none() {
            append(&mut self.headers, &name.lower, value);
        } else if self.late.lines.append(name.into(), value) {
            self.late.with_others = OnceLock::new();
        }
    }

    /// Adds an id as such a field.
    pub fn append_late_id(&mut self, name: &'static Name, id: &Uuid) {
        if self.text.is_none() {
            let mut buffer = Uuid::encode_buffer();
            return self.append_late(name, id.hyphenated().encode_lower(&mut buffer).as_bytes());
        }
        self.is_free_of_claims = false;
        self.late.lines.add_id(name.into(), id);
        self.late.with_others = OnceLock::new();
    }

    /// Moves late fields into the map for look-ups, which saves [`Self::headers`] a copy of the map.
    pub fn merge_late(&mut self) {
        let Some(text) = self.text.as_mut().filter(|_| !self.late.lines.is_empty()) else { return };
        let late = std::mem::take(&mut self.late);
        match late.with_others.into_inner() {
            Some(all) => self.headers = *all,
            None => append_lines(&mut self.headers, &late.lines),
        }
        text.extend(late.lines);
    }

    /// Adds a field behind the others.
    pub fn append_field(&mut self, name: impl Into<FieldName>, value: HeaderValue) {
        self.merge_late();
        self.is_free_of_claims = false;
        let name = name.into();
        if let Some(text) = &mut self.text {
            text.append(name.clone(), value.as_bytes());
        }
        self.headers.append(name.lower(), value);
    }

    /// Puts a field in place of all with its name.
    pub fn set_field(&mut self, name: impl Into<FieldName>, value: HeaderValue) {
        let name = name.into();
        self.remove_field(name.lower());
        self.append_field(name, value);
    }

    /// Removes all fields with this name.
    pub fn remove_field(&mut self, name: &HeaderName) {
        self.merge_late();
        if self.headers.remove(name).is_some()
            && let Some(text) = &mut self.text
        {
            text.remove(name);
        }
    }

    /// A `GET` with this target and host, for tests.
    #[cfg(test)]
    pub(crate) fn example(target: &'static str, host: &'static str) -> Self {
        Self {
            method: Method::GET,
            is_head: false,
            version: Version::HTTP_11,
            target: Bytes::from_static(target.as_bytes()),
            authority: Some(Bytes::from_static(host.as_bytes())),
            headers: HeaderMap::new(),
            text: None,
            late: LateFields::default(),
            is_free_of_claims: false,
            framing: Framing::Empty,
            header_bytes: 0,
        }
    }
}

fn append_lines(headers: &mut HeaderMap, lines: &FieldLines) {
    lines.iter().for_each(|(name, value)| append(headers, name.lower(), value));
}

/// Adds a field, unless none may have this value.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;
    use crate::request::remove_all_claims;

    fn request(has_text: bool) -> Request {
        let text = has_text.then(TextFields::default);
        let mut request = Request { text, ..Request::example("/", "a.example") };
        request.append_field(HeaderName::from_static("x-a"), HeaderValue::from_static("1"));
        request.append_late(&names::CONSUMER_ID, b"2");
        request.append_late(&names::CONSUMER_USERNAME, b"no\nvalue");
        request.append_late(&names::CONSUMER_USERNAME, "n\u{e4}me".as_bytes());
        request
    }

    fn all(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }

    fn written(request: &Request) -> Vec<(String, &[u8])> {
        request.fields().map(|(name, value)| (String::from_utf8_lossy(name).to_lowercase(), value)).collect()
    }

    #[test]
    fn late_fields_are_looked_up_and_written() {
        for has_text in [true, false] {
            let mut request = request(has_text);
            let name = "n\u{e4}me".as_bytes();
            let expected = [("x-a", &b"1"[..]), ("x-consumer-id", b"2"), ("x-consumer-username", name)];
            for _ in 0..2 {
                assert_eq!(all(request.headers()), expected);
                assert_eq!(written(&request), expected.map(|(name, value)| (name.to_owned(), value)));
                request.merge_late();
            }
            request.append_late(&names::CREDENTIAL_IDENTIFIER, b"3");
            assert_eq!(all(request.headers())[3..], [("x-credential-identifier", &b"3"[..])]);
        }
    }

    #[test]
    fn claims_are_removed_again_when_a_field_was_added() {
        let claim = || HeaderValue::from_static("root");
        let add: [fn(&mut Request, HeaderValue); 4] = [
            |request, claim| request.append_field(&names::CONSUMER_ID, claim),
            |request, claim| request.set_field(&names::CONSUMER_ID, claim),
            |request, claim| request.append_late(&names::CONSUMER_ID, claim.as_bytes()),
            |request, _| request.append_late_id(&names::CONSUMER_ID, &Uuid::nil()),
        ];
        for has_text in [true, false] {
            let mut request = request(has_text);
            remove_all_claims(&mut request);
            for add in add {
                add(&mut request, claim());
                assert_eq!((request.headers().len(), written(&request).len()), (2, 2));
                remove_all_claims(&mut request);
                assert_eq!((all(request.headers()), written(&request).len()), (vec![("x-a", &b"1"[..])], 1));
            }
        }
    }

    #[test]
    fn late_fields_are_removed_and_replaced() {
        for looks in [false, true] {
            let mut request = request(true);
            if looks {
                assert_eq!(request.headers().len(), 3);
            }
            request.remove_field(&names::CONSUMER_USERNAME.lower);
            request.set_field(&names::CONSUMER_ID, HeaderValue::from_static("4"));
            assert_eq!(all(request.headers()), [("x-a", &b"1"[..]), ("x-consumer-id", b"4")]);
            assert_eq!(written(&request).len(), 2);
            request.append_late(&names::CREDENTIAL_IDENTIFIER, b"5");
            remove_all_claims(&mut request);
            assert_eq!((all(request.headers()), written(&request).len()), (vec![("x-a", &b"1"[..])], 1));
        }
    }
}
