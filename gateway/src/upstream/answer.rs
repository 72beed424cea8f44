//! Parses the header of an answer of HTTP/1, and decides where its body ends (RFC 9112, section 6.3).

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode, Version};
use httparse::{Header, ParserConfig};
use memchr::memchr;

use super::failure::UpstreamFailure;
use crate::message::{Fields, Framing, TextFields};

/// What the header of an answer may be.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// The most bytes of header fields.
    pub header_bytes: usize,
    /// The most header fields.
    pub header_fields: usize,
}

/// The header of an answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The reason phrase of HTTP/1, perhaps empty.
    pub reason: Bytes,
    /// The version.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    /// How the body is delimited.
    pub framing: Framing,
    /// The length that the header states, also when there is no body, as with HEAD and 304.
    pub length: Option<u64>,
}

/// What the end of an answer depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestKind {
    /// Whether the request is a HEAD: its answer has no body.
    pub is_head: bool,
    /// Whether the request asks for an upgrade: only then 101 is an answer.
    pub asks_upgrade: bool,
}

/// A parsed header, and whether the connection may be used again behind the answer.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) response: Response,
    pub(super) keeps: bool,
}

/// The most interim answers before the final one.
pub(super) const MOST_INTERIM: u32 = 100;
/// Bytes of a header beside its fields: the status line, and blanks around values.
const SLACK: usize = 4096;
/// Fields for which there is room on the stack.
const USUAL_FIELDS: usize = 64;
/// Where the reason phrase begins: behind a version and a status of fixed lengths.
const REASON: usize = "HTTP/1.1 200".len();

impl Response {
    /// Whether another answer follows. 101 is a final one.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

impl AnswerLimits {
    /// Finds the length of the header at the beginning of `bytes`; `None` when its end has not come. No end is in
    /// the first `searched` bytes, which grow.
    pub(super) fn find_end(
        &self,
        bytes: &[u8],
        searched: &mut usize,
    ) -> Result<Option<usize>, UpstreamFailure> {
        const START: &[u8] = b"HTTP/1.";
        let common = START.len().min(bytes.len());
        if bytes[..common] != START[..common] {
            return Err(UpstreamFailure::invalid("it does not begin with a status line"));
        }
        let end = find_empty_line(bytes, searched);
        if end.unwrap_or(bytes.len()) > self.header_bytes.saturating_add(SLACK) {
            return Err(UpstreamFailure::HeaderTooLarge);
        }
        Ok(end)
    }

    /// Checks the sizes of fields, each of a name and a value.
    pub(super) fn check(&self, sizes: impl Iterator<Item = usize>) -> Result<(), UpstreamFailure> {
        let (mut fields, mut bytes) = (0, 0);
        sizes.for_each(|size| (fields, bytes) = (fields + 1, bytes + size + ": \r\n".len()));
        let fits = fields <= self.header_fields && bytes <= self.header_bytes;
        if fits { Ok(()) } else { Err(UpstreamFailure::HeaderTooLarge) }
    }

    /// Parses `text`, which is a whole header.
    pub(super) fn parse(&self, text: &Bytes, request: RequestKind) -> Result<Parsed, UpstreamFailure> {
        let mut usual = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
        match self.parse_into(text, request, &mut usual) {
            Err(UpstreamFailure::HeaderTooLarge) if self.header_fields > USUAL_FIELDS => {
                let mut most = vec![MaybeUninit::uninit(); self.header_fields];
                self.parse_into(text, request, &mut most)
            }
            parsed => parsed,
        }
    }

    fn parse_into<'t>(
        &self,
        text: &'t Bytes,
        request: RequestKind,
        space: &mut [MaybeUninit<Header<'t>>],
    ) -> Result<Parsed, UpstreamFailure> {
        let mut answer = httparse::Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut answer, text, space);
        match parsed {
            Ok(httparse::Status::Complete(length)) if length == text.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(UpstreamFailure::HeaderTooLarge),
            Ok(_) => return Err(UpstreamFailure::invalid("its header ends in two places")),
            Err(error) => return Err(UpstreamFailure::invalid(error)),
        }
        let fields = &*answer.headers;
        self.check(fields.iter().map(|field| field.name.len() + field.value.len()))?;
        let status =
            StatusCode::from_u16(answer.code.unwrap_or_default()).map_err(UpstreamFailure::invalid)?;
        let version = if answer.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        let stated = Stated::read(fields)?;
        let framing = stated.framing(status, request)?;
        let keeps = version == Version::HTTP_11
            && framing != Framing::Close
            && !stated.closes
            // A body may follow that should not be there.
            && (status != StatusCode::NO_CONTENT || !stated.has_body());
        let text_fields = TextFields::new(text.clone(), fields.iter().map(|field| (field.name, field.value)));
        let fields = Fields::Text(text_fields);
        let (reason, length) = (reason(text), stated.length.filter(|_| !stated.is_chunked));
        Ok(Parsed { response: Response { status, reason, version, fields, framing, length }, keeps })
    }
}

/// The one length that the fields of an answer of HTTP/2 state.
pub(super) fn stated_length(fields: &HeaderMap) -> Result<Option<u64>, UpstreamFailure> {
    let mut stated = Stated::default();
    for value in fields.get_all(CONTENT_LENGTH) {
        stated.read_length(value.as_bytes())?;
    }
    Ok(stated.length)
}

/// The end of the first empty line. A line may end without CR (RFC 9112, section 2.2).
fn find_empty_line(bytes: &[u8], searched: &mut usize) -> Option<usize> {
    while let Some(found) = memchr(b'\n', bytes.get(*searched..)?) {
        *searched += found;
        match bytes[*searched + 1..] {
            [b'\n', ..] => return Some(*searched + 2),
            [b'\r', b'\n', ..] => return Some(*searched + 3),
            [] | [b'\r'] => return None,
            _ => *searched += 1,
        }
    }
    *searched = bytes.len();
    None
}

fn reason(text: &Bytes) -> Bytes {
    let end = memchr(b'\n', text).unwrap_or(REASON);
    let line = text.slice(REASON..end.max(REASON));
    text.slice_ref(line.trim_ascii())
}

/// What the fields state about the end of the answer and the connection.
#[derive(Clone, Copy, Debug, Default)]
struct Stated {
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
}

impl Stated {
    fn read(fields: &[Header<'_>]) -> Result<Self, UpstreamFailure> {
        let mut stated = Self::default();
        for Header { name, value } in fields {
            // Few names have these lengths.
            match name.len() {
                10 if name.eq_ignore_ascii_case("connection") => stated.read_connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => stated.read_length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => stated.read_coding(value)?,
                _ => {}
            }
        }
        // One of the two is wrong, and so may be the next answer (RFC 9112, section 6.3).
        stated.closes |= stated.is_chunked && stated.length.is_some();
        Ok(stated)
    }

    fn read_connection(&mut self, value: &[u8]) {
        self.closes |= items(value).any(|option| option.eq_ignore_ascii_case(b"close"));
    }

    /// Reads a length. Some servers send it twice, as two fields or one list.
    fn read_length(&mut self, value: &[u8]) -> Result<(), UpstreamFailure> {
        for item in items(value) {
            let length = number(item).ok_or_else(|| UpstreamFailure::invalid("a length is no number"))?;
            if self.length.replace(length).is_some_and(|earlier| earlier != length) {
                return Err(UpstreamFailure::invalid("it has two lengths"));
            }
        }
        Ok(())
    }

    /// Reads a transfer coding. The gateway can only take off `chunked`.
    fn read_coding(&mut self, value: &[u8]) -> Result<(), UpstreamFailure> {
        if self.is_chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(UpstreamFailure::invalid("its transfer coding is not chunked, once"));
        }
        self.is_chunked = true;
        Ok(())
    }

    fn has_body(&self) -> bool {
        self.is_chunked || self.length.is_some_and(|length| length > 0)
    }

    fn framing(&self, status: StatusCode, request: RequestKind) -> Result<Framing, UpstreamFailure> {
        if status == StatusCode::SWITCHING_PROTOCOLS && !request.asks_upgrade {
            return Err(UpstreamFailure::invalid("nobody asked to switch protocols"));
        }
        Ok(match self.length {
            _ if request.is_head || never_has_body(status) => Framing::Empty,
            _ if self.is_chunked => Framing::Chunked,
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::Close,
        })
    }
}

/// Whether no answer with this status has a body.
pub(super) fn never_has_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The items of a list that is separated by commas.
fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn number(text: &[u8]) -> Option<u64> {
    // Rust would parse a sign, too.
    let digits = str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
