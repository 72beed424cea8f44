//! Reads a chunked body strictly (RFC 9112, section 7.1): what another reader might frame differently is
//! malformed.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::is_field_byte;

/// The most bytes of a line with a size and its extensions.
const LONGEST_LINE: usize = 8 * 1024;
/// The most digits of a size: 64 bits.
const MOST_DIGITS: usize = 16;
/// The most bytes of all trailers.
const MOST_TRAILERS: usize = 16 * 1024;
/// The most trailer fields.
const MOST_FIELDS: usize = 64;

/// The body breaks the rules of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The state of a chunked body.
#[derive(Debug)]
pub(super) struct Chunked {
    part: Part,
    /// Bytes of the line so far.
    line: usize,
    size: u64,
    /// The text of the trailers so far.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Size,
    Extension,
    /// The LF of a size line.
    SizeEnd,
    /// The number of data bytes that still have to come.
    Data(u64),
    DataReturn,
    DataEnd,
    Trailer,
    /// The LF of a trailer's line, or of the end.
    TrailerEnd,
    Complete,
    /// The body is malformed, whatever follows.
    Failed,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { part: Part::Size, line: 0, size: 0, trailers: Vec::new() }
    }
}

impl Chunked {
    /// Takes the next data out of `input`; `None` if more bytes are needed, or the body is complete.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let mut at = 0;
        while at < input.len() && self.part != Part::Complete {
            if let Part::Data(left) = self.part {
                input.advance(at);
                return Ok(Some(self.data(left, input)));
            }
            self.part = self.step(input[at]).unwrap_or(Part::Failed);
            if self.part == Part::Failed {
                return Err(Malformed);
            }
            at += 1;
        }
        input.advance(at);
        Ok(None)
    }

    /// Whether the last chunk and the trailers have come.
    pub(super) fn is_complete(&self) -> bool {
        self.part == Part::Complete
    }

    /// The number of data bytes that are sure to come, and of the end of their chunk.
    pub(super) fn expects(&self) -> usize {
        match self.part {
            Part::Data(left) => usize::try_from(left).unwrap_or(usize::MAX).saturating_add(2),
            _ => 0,
        }
    }

    /// The trailers of a complete body.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        let text = std::mem::take(&mut self.trailers);
        parse(&text).filter(|fields| !fields.is_empty())
    }

    fn data(&mut self, left: u64, input: &mut BytesMut) -> Bytes {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let left = left - here as u64;
        self.part = if left == 0 { Part::DataReturn } else { Part::Data(left) };
        input.split_to(here).freeze()
    }

    /// The part that follows after `byte`, which is no data; `None` if the byte is wrong here.
    fn step(&mut self, byte: u8) -> Option<Part> {
        self.line += 1;
        if self.line > LONGEST_LINE {
            return None;
        }
        match (self.part, byte) {
            (Part::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte),
            // At least one digit must have come.
            (Part::Size, b'\r') if self.line > 1 => Some(Part::SizeEnd),
            (Part::Size, b';' | b' ' | b'\t') if self.line > 1 => Some(Part::Extension),
            (Part::Extension, b'\r') => Some(Part::SizeEnd),
            (Part::Extension, _) if is_field_byte(byte) => Some(Part::Extension),
            (Part::SizeEnd, b'\n') => Some(self.begin_data()),
            (Part::DataReturn, b'\r') => Some(Part::DataEnd),
            (Part::DataEnd, b'\n') => {
                (self.line, self.size) = (0, 0);
                Some(Part::Size)
            }
            (Part::Trailer | Part::TrailerEnd, _) => self.trailer(byte),
            _ => None,
        }
    }

    fn digit(&mut self, byte: u8) -> Option<Part> {
        let digit = char::from(byte).to_digit(16)?;
        self.size = (self.size << 4) | u64::from(digit);
        (self.line <= MOST_DIGITS).then_some(Part::Size)
    }

    fn begin_data(&mut self) -> Part {
        self.line = 0;
        if self.size == 0 { Part::Trailer } else { Part::Data(self.size) }
    }

    fn trailer(&mut self, byte: u8) -> Option<Part> {
        if self.trailers.len() == MOST_TRAILERS {
            return None;
        }
        self.trailers.push(byte);
        match (self.part, byte) {
            (Part::Trailer, b'\r') => Some(Part::TrailerEnd),
            (Part::Trailer, _) if is_field_byte(byte) => Some(Part::Trailer),
            // The line was empty, apart from its CR.
            (Part::TrailerEnd, b'\n') if self.line == 2 => {
                parse(&self.trailers)?;
                Some(Part::Complete)
            }
            (Part::TrailerEnd, b'\n') => {
                self.line = 0;
                Some(Part::Trailer)
            }
            _ => None,
        }
    }
}

/// Parses the trailer fields with the empty line behind them; `None` if they are none.
fn parse(text: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    if text.len() <= 2 {
        return Some(fields);
    }
    let mut space = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let httparse::Status::Complete((_, parsed)) = httparse::parse_headers(text, &mut space).ok()? else {
        return None;
    };
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        fields.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, the trailers and what lies behind the body, fed in pieces of `size` bytes.
    fn read(body: &str, size: usize) -> Result<(String, Option<HeaderMap>, String), Malformed> {
        let (mut chunked, mut input, mut data) = (Chunked::default(), BytesMut::new(), Vec::new());
        for piece in body.as_bytes().chunks(size) {
            input.extend_from_slice(piece);
            while let Some(part) = chunked.next(&mut input)? {
                data.extend_from_slice(&part);
            }
        }
        let trailers = chunked.take_trailers();
        assert!(chunked.is_complete(), "{body:?}");
        Ok((String::from_utf8(data).unwrap(), trailers, String::from_utf8(input.to_vec()).unwrap()))
    }

    #[test]
    fn good_bodies_are_read() {
        for (body, data, behind) in [
            ("0\r\n\r\n", "", ""),
            ("5;a=b;c=\"d e\"\r\nhello\r\n000\r\n\r\n", "hello", ""),
            ("5 \r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", "hello0123456789", ""),
            ("0\r\n\r\nGET / HTTP/1.1\n", "", "GET / HTTP/1.1\n"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ] {
            for size in 1..=body.len() {
                assert_eq!(
                    read(body, size),
                    Ok((data.to_owned(), None, behind.to_owned())),
                    "{body:?} {size}"
                );
            }
        }
    }

    #[test]
    fn trailers_are_kept() {
        let body = "1\r\na\r\n0\r\nX: y\r\nX:  z \r\nEmpty:\r\n\r\n";
        for size in 1..=body.len() {
            let trailers = read(body, size).unwrap().1.unwrap();
            assert!(trailers.get_all("x").iter().eq(["y", "z"]) && trailers["empty"].is_empty());
        }
    }

    #[test]
    fn wrong_bodies_are_malformed() {
        for body in [
            "\r\n\r\n",
            ";\r\n\r\n",
            " 5\r\nhello\r\n",
            "5\nhello\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\0\r\nhello\r\n",
            "5\r\rhello",
            "5\r\nhelloX",
            "5\r\nhello\rX",
            "5\r\nhello\n",
            "x\r\n",
            "0x5\r\n",
            "+5\r\n",
            "-0\r\n",
            "00000000000000005\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX y\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\n\n",
            "0\r\n\rX",
            "3\r\nabc\r\n\r\n\r\n",
        ] {
            for size in 1..=body.len() {
                assert_eq!(read(body, size), Err(Malformed), "{body:?} {size}");
            }
        }
    }

    #[test]
    fn lines_and_trailers_have_a_bound() {
        let extension = format!("5;{}\r\n", "a".repeat(LONGEST_LINE));
        let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(MOST_TRAILERS / 6 + 1));
        let fields = format!("0\r\n{}\r\n", "X: y\r\n".repeat(MOST_FIELDS + 1));
        for body in [extension, trailers, fields] {
            assert_eq!(read(&body, 1000), Err(Malformed));
        }
    }
}
