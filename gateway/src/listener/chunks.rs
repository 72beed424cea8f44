//! Checks the framing of a chunked body strictly (RFC 9112, section 7.1), as its bytes pass. Pingora's parser
//! accepts a size line without digits as the last one, and a bare LF as a part of an extension.

/// The most bytes of a line: a size with its extensions, or a trailer field.
const LONGEST_LINE: usize = 8 * 1024;
/// The most digits of a size: 64 bits.
const MOST_DIGITS: usize = 16;

/// Bytes that no parser accepts in a chunked body, wherever they stand outside of the data.
pub(super) const POISON: &[u8] = b"\rz";

/// The state of a chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    part: Part,
    /// Bytes of the line so far.
    line: usize,
    size: u64,
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
}

impl Default for Chunks {
    fn default() -> Self {
        Self { part: Part::Size, line: 0, size: 0 }
    }
}

impl Chunks {
    /// Checks the next `bytes`; an error is the position of the first wrong one.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            if let Part::Data(left) = self.part {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                let left = left - here as u64;
                self.part = if left == 0 { Part::DataReturn } else { Part::Data(left) };
                at += here;
            } else if self.part == Part::Complete {
                return Ok(());
            } else {
                self.part = self.next(bytes[at]).ok_or(at)?;
                at += 1;
            }
        }
        Ok(())
    }

    /// The part that follows after `byte`, which is no data; `None` if the byte is wrong here.
    fn next(&mut self, byte: u8) -> Option<Part> {
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
            (Part::Extension, _) if is_text(byte) => Some(Part::Extension),
            (Part::SizeEnd, b'\n') => Some(self.begin_data()),
            (Part::DataReturn, b'\r') => Some(Part::DataEnd),
            (Part::DataEnd, b'\n') => {
                *self = Self::default();
                Some(Part::Size)
            }
            (Part::Trailer, b'\r') => Some(Part::TrailerEnd),
            (Part::Trailer, _) if is_text(byte) => Some(Part::Trailer),
            // The line was empty, apart from its CR.
            (Part::TrailerEnd, b'\n') if self.line == 2 => Some(Part::Complete),
            (Part::TrailerEnd, b'\n') => {
                self.line = 0;
                Some(Part::Trailer)
            }
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
}

/// Whether `byte` may stand within a line.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `body` in pieces of `size` bytes; an error is the position of the first wrong byte.
    fn read(body: &[u8], size: usize) -> Result<(), usize> {
        let mut chunks = Chunks::default();
        for (index, piece) in body.chunks(size).enumerate() {
            chunks.read(piece).map_err(|at| index * size + at)?;
        }
        Ok(())
    }

    #[test]
    fn good_bodies_pass() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=b;c=\"d e\"\r\nhello\r\n000\r\n\r\n",
            "5 \r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n",
            "0\r\n\r\nGET / HTTP/1.1\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
        ] {
            for size in 1..=body.len() {
                assert_eq!(read(body.as_bytes(), size), Ok(()), "{body:?} {size}");
            }
        }
    }

    #[test]
    fn wrong_bodies_are_found_where_they_are_wrong() {
        for (body, at) in [
            ("\r\n\r\n", 0),
            (";\r\n\r\n", 0),
            (" 5\r\nhello\r\n", 0),
            ("5\nhello\r\n", 1),
            ("5;a\nb\r\nhello\r\n", 3),
            ("5;a\0\r\nhello\r\n", 3),
            ("5\r\rhello", 2),
            ("5\r\nhelloX", 8),
            ("5\r\nhello\rX", 9),
            ("5\r\nhello\n", 8),
            ("x\r\n", 0),
            ("0x5\r\n", 1),
            ("+5\r\n", 0),
            ("-0\r\n", 0),
            ("00000000000000005\r\n", 16),
            ("0\r\nX: y\n\r\n", 7),
            ("0\r\n\n", 3),
            ("0\r\n\rX", 4),
            ("3\r\nabc\r\n\r\n\r\n", 8),
        ] {
            for size in 1..=body.len() {
                assert_eq!(read(body.as_bytes(), size), Err(at), "{body:?} {size}");
            }
        }
        let long = format!("5;{}\r\n", "a".repeat(LONGEST_LINE));
        assert_eq!(read(long.as_bytes(), 1000), Err(LONGEST_LINE));
    }
}
