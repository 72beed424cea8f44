//! The request line (RFC 9112, section 3), read strictly: two readers must not see two requests in it.

use std::ops::Range;

use http::{Method, Version};
use memchr::memchr;

use crate::client::limits::LONGEST_METHOD;
use crate::error::RequestFailure;

/// The parts of a request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    /// Its place in the line.
    pub(super) target: Range<usize>,
    pub(super) version: Version,
}

/// The bytes behind the target of a line that is not complete: a blank, a version and CR.
const BEHIND_TARGET: usize = " HTTP/1.1\r".len();

impl RequestLine {
    /// Reads a complete `line`, with or without its LF.
    ///
    /// # Errors
    /// [`RequestFailure::UriTooLong`] for a target of more than `longest` bytes; else
    /// [`RequestFailure::BadRequest`] for everything but a method, a target and a version of HTTP/1 with one
    /// blank between them. A method of more than 64 bytes is a bad one, whatever the target. A target has no
    /// control characters. Other bytes are allowed in it.
    pub(super) fn parse(line: &[u8], longest: usize) -> Result<Self, RequestFailure> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let begin = memchr(b' ', line).ok_or(RequestFailure::BadRequest)? + 1;
        if begin - 1 > LONGEST_METHOD {
            return Err(RequestFailure::BadRequest);
        }
        let behind = &line[begin..];
        let length = memchr(b' ', behind).unwrap_or(behind.len());
        if length > longest {
            return Err(RequestFailure::UriTooLong);
        }
        let target = begin..begin + length;
        let method = Method::from_bytes(&line[..begin - 1]).map_err(|_| RequestFailure::BadRequest)?;
        let version = match &line[target.end..] {
            b" HTTP/1.1" => Version::HTTP_11,
            b" HTTP/1.0" => Version::HTTP_10,
            _ => return Err(RequestFailure::BadRequest),
        };
        if target.is_empty() || line[target.clone()].iter().any(u8::is_ascii_control) {
            return Err(RequestFailure::BadRequest);
        }
        Ok(Self { method, target, version })
    }

    /// Checks the begin of a line whose end has not come.
    ///
    /// # Errors
    /// When it cannot become a request line.
    pub(super) fn check_begin(line: &[u8], longest: usize) -> Result<(), RequestFailure> {
        // Enough of the line for the blank behind the longest method.
        let first = &line[..line.len().min(LONGEST_METHOD + 1)];
        let Some(method) = memchr(b' ', first) else {
            let may_go_on = line.len() <= LONGEST_METHOD;
            return if may_go_on { Ok(()) } else { Err(RequestFailure::BadRequest) };
        };
        let behind = &line[method + 1..];
        let length = memchr(b' ', behind).unwrap_or(behind.len());
        if length > longest {
            Err(RequestFailure::UriTooLong)
        } else if behind.len() - length > BEHIND_TARGET {
            Err(RequestFailure::BadRequest)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 100;

    #[test]
    fn good_lines_are_read() {
        for (line, method, target, version) in [
            (&b"GET / HTTP/1.1\r\n"[..], "GET", &b"/"[..], Version::HTTP_11),
            (b"GET /a?b HTTP/1.0\n", "GET", b"/a?b", Version::HTTP_10),
            (b"OPTIONS * HTTP/1.1\r\n", "OPTIONS", b"*", Version::HTTP_11),
            (
                b"G!T /\xff?\"<>\xc3\xbc`{}|\\^#f HTTP/1.1\r\n",
                "G!T",
                b"/\xff?\"<>\xc3\xbc`{}|\\^#f",
                Version::HTTP_11,
            ),
        ] {
            let read = RequestLine::parse(line, LONGEST).unwrap();
            assert_eq!((read.method.as_str(), &line[read.target], read.version), (method, target, version));
            for end in 0..line.len() - 1 {
                assert_eq!(RequestLine::check_begin(&line[..end], LONGEST), Ok(()), "{line:?} {end}");
            }
        }
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            "GET /a b HTTP/1.1",
            "GET /a\tb HTTP/1.1",
            "GET /a\rb HTTP/1.1",
            "GET /a\x7f HTTP/1.1",
            "GET /a\0 HTTP/1.1",
            "GET /a  HTTP/1.1",
            "GET  /a HTTP/1.1",
            "GET  HTTP/1.1",
            "GET /a HTTP/1.1 ",
            "GET /a HTTP/11",
            "GET /a HTTP/1.2",
            "GET /a HTTP/2.0",
            "GET /a http/1.1",
            "GET /a\tHTTP/1.1",
            "G(T /a HTTP/1.1",
            "\rGET /a HTTP/1.1",
            " /a HTTP/1.1",
            "GET /a",
            "GET",
            "",
        ] {
            for end in ["\r\n", "\n"] {
                let line = format!("{line}{end}");
                assert_eq!(
                    RequestLine::parse(line.as_bytes(), LONGEST),
                    Err(RequestFailure::BadRequest),
                    "{line:?}"
                );
            }
        }
    }

    #[test]
    fn a_line_has_one_end() {
        assert_eq!(RequestLine::parse(b"GET / HTTP/1.1\r\r\n", LONGEST), Err(RequestFailure::BadRequest));
    }

    #[test]
    fn long_methods_are_refused_before_their_end() {
        let (long, longer) = ("A".repeat(64), "A".repeat(65));
        let line = |method: &str| format!("{method} / HTTP/1.1\r\n");
        assert_eq!(RequestLine::parse(line(&long).as_bytes(), LONGEST).unwrap().method, long.as_str());
        assert_eq!(RequestLine::check_begin(format!("{long} /").as_bytes(), LONGEST), Ok(()));
        assert_eq!(RequestLine::check_begin(long.as_bytes(), LONGEST), Ok(()));
        for begin in [longer.clone(), format!("{longer} /")] {
            let refused = RequestLine::check_begin(begin.as_bytes(), LONGEST);
            assert_eq!(refused, Err(RequestFailure::BadRequest), "{begin}");
        }
        let too_long = format!("/{}", "a".repeat(LONGEST));
        for line in [line(&longer), format!("{longer} {too_long} HTTP/1.1\r\n")] {
            assert_eq!(
                RequestLine::parse(line.as_bytes(), LONGEST),
                Err(RequestFailure::BadRequest),
                "{line}"
            );
        }
    }

    #[test]
    fn long_targets_are_refused_before_their_end() {
        let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(LONGEST));
        assert_eq!(RequestLine::parse(line.as_bytes(), LONGEST), Err(RequestFailure::UriTooLong));
        let begin = |length: usize| RequestLine::check_begin(&line.as_bytes()[..length], LONGEST);
        assert_eq!(begin("GET ".len() + LONGEST), Ok(()));
        assert_eq!(begin("GET ".len() + LONGEST + 1), Err(RequestFailure::UriTooLong));
        let endless = format!("GET / {}", "a".repeat(20));
        assert_eq!(RequestLine::check_begin(endless.as_bytes(), LONGEST), Err(RequestFailure::BadRequest));
    }
}
