//! Checks the header of an HTTP/1 request as its bytes pass, before Pingora parses them. Pingora escapes a
//! wrong request line and forwards it, and its type for targets refuses bytes that a query may hold.
//!
//! Only the request line is checked byte by byte. Of the fields only the end is detected.

use memchr::memchr;

use super::absolute;
use crate::error::RequestFailure;
use crate::request::Replaced;

/// Bytes that no parser accepts in a header: Pingora refuses the request, and the gateway answers with its
/// own refusal.
const POISON: &[u8] = b"\0";
/// Replaces a byte in the target that Pingora's type has no place for.
const PLACEHOLDER: u8 = b'_';
/// A version; a digit is any digit.
const VERSION: &[u8] = b"HTTP/0.0";

/// The state of one header.
#[derive(Debug, Default)]
pub(super) struct Head {
    part: Part,
    /// Bytes of the target so far.
    target: usize,
    replaced: Replaced,
    refusal: Option<RequestFailure>,
    /// The bytes from the target on, if the target must be rewritten when the header is complete.
    held: Option<Vec<u8>>,
    /// Whether a field may be `Transfer-Encoding`. A line that comes in pieces may be any.
    may_be_chunked: bool,
    /// What came in one piece with the end of the header, if the body may be chunked.
    behind: Vec<u8>,
}

/// The part to which the next byte belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Empty lines before a request (RFC 9112, section 2.2).
    #[default]
    Before,
    Method,
    Target,
    /// The number of bytes of the version, or of the end of the line, that have come.
    Version(usize),
    Fields(LineStart),
    Complete,
}

/// The state of an empty line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineStart {
    Within,
    AtStart,
    BehindReturn,
}

impl Head {
    /// Checks the next `bytes`. The returned number of them is for the parser, unchanged in `bytes`; after
    /// them come the bytes written to `out`.
    pub(super) fn read(&mut self, bytes: &mut [u8], longest_target: usize, out: &mut Vec<u8>) -> usize {
        let (mut at, was_complete) = (0, self.part == Part::Complete);
        // From here on nothing is passed on unchanged.
        let mut passed = if self.is_withheld() { Some(0) } else { None };
        while at < bytes.len() && self.part != Part::Complete {
            at += self.step(&mut bytes[at..], longest_target);
            if passed.is_none() && self.is_withheld() {
                // Including the byte that was checked last.
                passed = Some(at - 1);
            }
        }
        if self.part == Part::Complete && !was_complete && self.may_be_chunked {
            self.behind = bytes[at..].to_vec();
        }
        let Some(passed) = passed else { return bytes.len() };
        self.withhold(&bytes[passed..], bytes.len() - at, out);
        passed
    }

    /// Why the request is refused, if it is.
    pub(super) fn refusal(&self) -> Option<RequestFailure> {
        self.refusal
    }

    /// Notes that the header exceeds its limit.
    pub(super) fn refuse_length(&mut self, out: &mut Vec<u8>) {
        self.refusal.get_or_insert(RequestFailure::HeaderTooLarge);
        out.extend_from_slice(POISON);
    }

    /// Handles the end of the connection.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if self.refusal.is_some() && self.part != Part::Complete {
            self.part = Part::Complete;
            out.extend_from_slice(POISON);
        }
    }

    /// The bytes that were replaced in the target.
    pub(super) fn replaced(&self) -> &Replaced {
        &self.replaced
    }

    /// The bytes of the body that came with the header; none for a body that is not chunked.
    pub(super) fn behind(&self) -> &[u8] {
        &self.behind
    }

    /// Drops the bytes of the body that came with the header.
    pub(super) fn forget_behind(&mut self) {
        self.behind = Vec::new();
    }

    fn is_withheld(&self) -> bool {
        self.held.is_some() || self.refusal.is_some_and(|refusal| refusal == RequestFailure::BadRequest)
    }

    /// Withholds bytes until the header is complete, and then writes those to pass to `out`.
    fn withhold(&mut self, bytes: &[u8], behind: usize, out: &mut Vec<u8>) {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
        }
        if self.part != Part::Complete {
            return;
        }
        let rewritten = self.held.take().filter(|_| self.refusal.is_none()).map(|held| {
            let (head, body) = held.split_at(held.len() - behind);
            absolute::to_origin_form(head, &mut self.replaced).map(|head| [&head, body].concat())
        });
        match rewritten {
            Some(Ok(rewritten)) => out.extend_from_slice(&rewritten),
            Some(Err(failure)) => self.refuse(failure, out),
            None => out.extend_from_slice(POISON),
        }
    }

    fn refuse(&mut self, failure: RequestFailure, out: &mut Vec<u8>) {
        self.refusal = Some(failure);
        out.extend_from_slice(POISON);
    }

    /// Consumes at least one of `bytes`, and returns how many.
    fn step(&mut self, bytes: &mut [u8], longest_target: usize) -> usize {
        match self.part {
            Part::Before => self.before(bytes[0]),
            Part::Method => self.method(bytes),
            Part::Target => self.target(bytes, longest_target),
            Part::Version(at) => self.version(bytes[0], at),
            Part::Fields(start) => self.fields(bytes, start),
            Part::Complete => bytes.len(),
        }
    }

    fn before(&mut self, byte: u8) -> usize {
        if !matches!(byte, b'\r' | b'\n') {
            self.part = Part::Method;
        }
        1
    }

    fn method(&mut self, bytes: &[u8]) -> usize {
        match bytes.iter().position(|byte| matches!(byte, b' ' | b'\n')) {
            None => bytes.len(),
            Some(at) => {
                // The parser refuses a line without a target.
                let ends_line = bytes[at] == b'\n';
                self.part = if ends_line { Part::Fields(LineStart::AtStart) } else { Part::Target };
                at + 1
            }
        }
    }

    fn target(&mut self, bytes: &mut [u8], longest: usize) -> usize {
        // Alone, so that the withheld bytes begin with it.
        if self.target == 0 && self.held.is_none() && bytes[0].is_ascii_alphabetic() {
            self.held = Some(Vec::new());
            self.target = 1;
            return 1;
        }
        let plain = bytes.iter().position(|byte| !is_plain(*byte)).unwrap_or(bytes.len());
        self.target += plain;
        if self.target > longest {
            self.refusal.get_or_insert(RequestFailure::UriTooLong);
        }
        let Some(byte) = bytes.get_mut(plain) else { return plain };
        match *byte {
            b' ' => self.part = Part::Version(0),
            // The line ends without a version: perhaps nothing follows.
            b'\r' | b'\n' => {
                self.refusal = Some(RequestFailure::BadRequest);
                self.part = Part::Complete;
            }
            control if control < b' ' || control == 0x7f => self.reject(control),
            other => {
                // Beyond the limit, no caller needs them.
                if self.target < longest {
                    self.replaced.push((self.target, other));
                }
                *byte = PLACEHOLDER;
                self.target += 1;
            }
        }
        plain + 1
    }

    fn version(&mut self, byte: u8, at: usize) -> usize {
        let is_right = match VERSION.get(at) {
            Some(b'0') => byte.is_ascii_digit(),
            Some(wanted) => byte == *wanted,
            None if at == VERSION.len() => matches!(byte, b'\r' | b'\n'),
            None => byte == b'\n',
        };
        match byte {
            _ if !is_right => self.reject(byte),
            b'\n' => self.part = Part::Fields(LineStart::AtStart),
            _ => self.part = Part::Version(at + 1),
        }
        1
    }

    /// Rejects a wrong `byte` in the request line. The rest of the header is read, and not passed on.
    fn reject(&mut self, byte: u8) {
        self.refusal = Some(RequestFailure::BadRequest);
        self.part = Part::Fields(if byte == b'\n' { LineStart::AtStart } else { LineStart::Within });
    }

    fn fields(&mut self, bytes: &[u8], start: LineStart) -> usize {
        let (next, read) = match (start, bytes[0]) {
            (LineStart::AtStart | LineStart::BehindReturn, b'\n') => (Part::Complete, 1),
            (LineStart::AtStart, b'\r') => (Part::Fields(LineStart::BehindReturn), 1),
            _ => {
                let end = memchr(b'\n', bytes);
                let is_whole = start == LineStart::AtStart && end.is_some();
                self.may_be_chunked |= !is_whole || is_transfer_encoding(bytes);
                match end {
                    Some(at) => (Part::Fields(LineStart::AtStart), at + 1),
                    None => (Part::Fields(LineStart::Within), bytes.len()),
                }
            }
        };
        self.part = next;
        read
    }
}

/// Whether the line at the start of `bytes` begins as the field does.
fn is_transfer_encoding(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"transfer-encoding";
    bytes.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
}

/// Whether Pingora's type for targets takes `byte` wherever it stands.
fn is_plain(byte: u8) -> bool {
    (b'!'..=b'~').contains(&byte) && !matches!(byte, b'"' | b'<' | b'>' | b'`')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parser's input and the head, when `sent` comes in pieces of `size` bytes.
    fn read(sent: &[u8], size: usize) -> (Vec<u8>, Head) {
        let (mut head, mut passed) = (Head::default(), Vec::new());
        for piece in sent.chunks(size) {
            let (mut piece, mut out) = (piece.to_vec(), Vec::new());
            let kept = head.read(&mut piece, 100, &mut out);
            passed.extend_from_slice(&piece[..kept]);
            passed.extend_from_slice(&out);
        }
        (passed, head)
    }

    #[test]
    fn good_headers_pass_as_they_are() {
        for sent in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\n\r\nGET /a?b HTTP/1.0\r\n\r\n",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            "GET /a HTTP/1.1\nHost: h\n\n",
            "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            for size in 1..=sent.len() {
                let (passed, head) = read(sent.as_bytes(), size);
                assert_eq!(passed, sent.as_bytes(), "{sent} {size}");
                assert_eq!(head.refusal(), None);
                let (_, body) = sent.split_once("\r\n\r\n").unwrap_or_default();
                let body = if sent.starts_with('P') { body } else { "" };
                assert!(body.as_bytes().starts_with(head.behind()), "{sent} {size}");
            }
        }
    }

    #[test]
    fn bodies_behind_a_header_are_kept_only_if_chunked() {
        let sent = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(read(sent, sent.len()).1.behind(), b"");
        for name in ["Transfer-Encoding", "tRANSFER-eNCODING"] {
            let header = format!("POST / HTTP/1.1\r\nHost: h\r\n{name}: chunked\r\nA: b\r\n\r\n");
            let sent = format!("{header}5\r\nhello\r\n0\r\n\r\n");
            for size in 1..=sent.len() {
                let end = (header.len().div_ceil(size) * size).min(sent.len());
                let behind = &sent.as_bytes()[header.len()..end];
                assert_eq!(read(sent.as_bytes(), size).1.behind(), behind, "{name} {size}");
            }
        }
    }

    #[test]
    fn wrong_request_lines_are_refused_when_the_header_is_complete() {
        for line in [
            "GET /a b HTTP/1.1",
            "GET /a\tb HTTP/1.1",
            "GET /a\rb HTTP/1.1",
            "GET /a\x7f HTTP/1.1",
            "GET /a  HTTP/1.1",
            "GET  /a HTTP/1.1",
            "GET /a HTTP/1.1 ",
            "GET /a HTTP/1.1\r",
            "GET /a HTTP/11",
            "GET /a http/1.1",
            "GET /a\0 HTTP/1.1",
            "GET /a",
        ] {
            let sent = format!("{line}\r\nHost: h\r\n\r\n");
            for size in 1..=sent.len() {
                let (passed, head) = read(sent.as_bytes(), size);
                assert_eq!(head.refusal(), Some(RequestFailure::BadRequest), "{line:?} {size}");
                assert!(passed.ends_with(POISON) && !passed.ends_with(b"\n\0"), "{line:?} {size}");
            }
        }
    }

    #[test]
    fn bytes_that_the_type_refuses_are_replaced_and_noted() {
        let sent = b"GET /\xff?\"<>\xc3\xbc` HTTP/1.1\r\nHost: h\r\n\r\n";
        for size in 1..=sent.len() {
            let (passed, head) = read(sent, size);
            assert_eq!(passed, b"GET /_?______ HTTP/1.1\r\nHost: h\r\n\r\n");
            let replaced = [(1, 0xff), (3, b'"'), (4, b'<'), (5, b'>'), (6, 0xc3), (7, 0xbc), (8, b'`')];
            assert_eq!(head.replaced()[..], replaced);
        }
    }

    #[test]
    fn the_absolute_form_becomes_the_origin_form() {
        let sent = b"POST http://H:80/\xff?q HTTP/1.1\r\nA: b\r\nhost: other\r\n\r\nbody";
        for size in 1..=sent.len() {
            let (passed, head) = read(sent, size);
            assert_eq!(passed, b"POST /_?q HTTP/1.1\r\nHost: H:80\r\nA: b\r\n\r\nbody", "{size}");
            assert_eq!(head.replaced()[..], [(1, 0xff)]);
        }
    }

    #[test]
    fn long_targets_pass_and_are_noted() {
        let sent = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100));
        let (passed, head) = read(sent.as_bytes(), 7);
        assert_eq!((passed, head.refusal()), (sent.into_bytes(), Some(RequestFailure::UriTooLong)));
    }
}
