//! Finds the end of a request header while its bytes come, and refuses what is too large or no header as soon
//! as that is certain. No byte is looked at twice, however small the pieces are.

use memchr::memchr;

use super::request_line::RequestLine;
use crate::client::HeaderLimits;
use crate::error::RequestFailure;

/// The state of one header. The lines before `line` have been looked at.
#[derive(Debug, Default)]
pub(super) struct Head {
    request_line: Option<RequestLine>,
    /// Where the fields begin.
    fields_begin: usize,
    /// Where the line begins that has not ended yet.
    line: usize,
    /// How many bytes have been searched for the end of that line.
    searched: usize,
    fields: usize,
}

/// A complete header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complete {
    pub(super) line: RequestLine,
    /// Its length in bytes.
    pub(super) length: usize,
}

impl Head {
    /// Looks for the end of the header in `bytes`, which begin as they did at the call before.
    ///
    /// # Errors
    /// Those of the request line, and [`RequestFailure::HeaderTooLarge`].
    pub(super) fn find(
        &mut self,
        bytes: &[u8],
        limits: &HeaderLimits,
    ) -> Result<Option<Complete>, RequestFailure> {
        while let Some(length) = memchr(b'\n', &bytes[self.searched..]) {
            let end = self.searched + length + 1;
            let line = &bytes[self.line..end];
            (self.line, self.searched) = (end, end);
            if self.request_line.is_none() {
                self.request_line = Some(RequestLine::parse(line, limits.target_bytes)?);
                self.fields_begin = end;
            } else if !matches!(line, b"\n" | b"\r\n") {
                self.fields += 1;
            } else if let Some(line) = self.request_line.take() {
                self.check_size(end, limits)?;
                return Ok(Some(Complete { line, length: end }));
            }
            self.check_size(end, limits)?;
        }
        self.searched = bytes.len();
        if self.request_line.is_none() {
            RequestLine::check_begin(bytes, limits.target_bytes)?;
        }
        self.check_size(bytes.len(), limits)?;
        Ok(None)
    }

    /// Whether the request line is complete.
    pub(super) fn has_line(&self) -> bool {
        self.request_line.is_some()
    }

    fn check_size(&self, length: usize, limits: &HeaderLimits) -> Result<(), RequestFailure> {
        // The empty line at the end is no field.
        let fields = if self.fields_begin == 0 { 0 } else { length - self.fields_begin };
        if self.fields > limits.fields || fields > limits.bytes + 2 || length > limits.text_bytes() {
            return Err(RequestFailure::HeaderTooLarge);
        }
        Ok(())
    }
}

/// The length of the empty lines before a request, which are ignored (RFC 9112, section 2.2).
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        match &bytes[length..] {
            [b'\r', b'\n', ..] => length += 2,
            [b'\n', ..] => length += 1,
            _ => return length,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::parse::parse;
    use super::*;
    use crate::client::limits::LONGEST_METHOD;

    const LIMITS: HeaderLimits =
        HeaderLimits { time: Duration::from_secs(10), target_bytes: 100, bytes: 1000, fields: 5 };

    /// Looks at `sent`, which comes in pieces of `size` bytes. Returns the length of the header, or of the bytes
    /// that had come when it was refused.
    fn find(sent: &[u8], size: usize) -> Result<usize, (RequestFailure, usize)> {
        let mut head = Head::default();
        for end in (0..sent.len()).step_by(size).map(|begin| (begin + size).min(sent.len())) {
            match head.find(&sent[..end], &LIMITS) {
                Ok(None) => {}
                Ok(Some(complete)) => return Ok(complete.length),
                Err(failure) => return Err((failure, end)),
            }
        }
        Ok(0)
    }

    #[test]
    fn a_header_ends_with_an_empty_line() {
        for (header, behind) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET"),
            ("GET /a?b HTTP/1.0\r\n\r\n", ""),
            ("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", "hello\r\n\r\n"),
            ("GET /a HTTP/1.1\nHost: h\n\n", "\n"),
            ("GET /a HTTP/1.1\r\nHost: h\n\r\n", ""),
        ] {
            let sent = [header, behind].concat();
            for size in 1..=sent.len() {
                assert_eq!(find(sent.as_bytes(), size), Ok(header.len()), "{sent:?} {size}");
            }
        }
    }

    #[test]
    fn a_wrong_line_is_refused_at_its_end() {
        let line = "GET /a\tb HTTP/1.1\r\n";
        assert_eq!(find(line.as_bytes(), 1), Err((RequestFailure::BadRequest, line.len())));
    }

    #[test]
    fn limits_are_held_before_the_end() {
        let begin = "GET / HTTP/1.1\r\n";
        let fields = format!("{begin}{}", "A: b\r\n".repeat(100));
        let six = begin.len() + 6 * "A: b\r\n".len();
        assert_eq!(find(fields.as_bytes(), 1), Err((RequestFailure::HeaderTooLarge, six)));
        let endless = format!("{begin}A: {}", "x".repeat(10_000));
        let length = begin.len() + LIMITS.bytes + "\r\n".len();
        assert_eq!(find(endless.as_bytes(), 1), Err((RequestFailure::HeaderTooLarge, length + 1)));
        let method = "A".repeat(10_000);
        assert_eq!(find(method.as_bytes(), 1), Err((RequestFailure::BadRequest, LONGEST_METHOD + 1)));
        let target = format!("GET /{}", "x".repeat(1000));
        assert_eq!(find(target.as_bytes(), 1), Err((RequestFailure::UriTooLong, 105)));
        let whole = format!("{begin}A: {}\r\n\r\n", "x".repeat(10_000));
        assert_eq!(find(whole.as_bytes(), whole.len()), Err((RequestFailure::HeaderTooLarge, whole.len())));
    }

    proptest! {
        /// Whatever comes, its pieces make no difference, and a header that is accepted has a host.
        #[test]
        fn any_bytes_are_read_alike_in_any_pieces(
            parts in prop::collection::vec(part(), 0..20),
            size in 1..40_usize,
        ) {
            let sent = parts.concat();
            let whole = find(&sent, sent.len().max(1)).ok();
            prop_assert_eq!(find(&sent, size).ok(), whole);
            if let Ok(Some(Complete { line, length })) = Head::default().find(&sent, &LIMITS) {
                let is_old = line.version == http::Version::HTTP_10;
                if let Ok(parsed) = parse(Bytes::copy_from_slice(&sent[..length]), line, &LIMITS) {
                    prop_assert!(is_old || parsed.request.authority.is_some());
                    prop_assert!(parsed.request.headers().len() <= LIMITS.fields);
                }
            }
        }
    }

    /// What headers are made of, and anything else.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        static KNOWN: [&str; 16] = [
            "GET ",
            "/",
            " HTTP/1.1",
            "HTTP/1.0",
            "\r\n",
            "\n",
            "\r",
            ": ",
            "Host: h\r\n",
            " ",
            "\t",
            "\0",
            "GET / HTTP/1.1\r\nHost: h\r\n",
            "http://h",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\n",
        ];
        let known = prop::sample::select(&KNOWN[..]).prop_map(|known| known.as_bytes().to_vec());
        prop_oneof![8 => known, 1 => prop::collection::vec(any::<u8>(), 0..200)]
    }

    #[test]
    fn empty_lines_are_counted() {
        for (bytes, length) in
            [("", 0), ("GET", 0), ("\r\n\nGET", 3), ("\r", 0), ("\r\r\n", 0), ("\n\r\n", 3)]
        {
            assert_eq!(empty_lines(bytes.as_bytes()), length, "{bytes:?}");
        }
    }
}
