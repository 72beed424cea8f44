//! Bodies of `multipart/form-data` (RFC 7578) that are whole in memory: the value of a field is found, and its
//! parts are removed, without a change to the bytes of the others.

use std::ops::Range;

use memchr::memmem;

use crate::plugin::arguments::Values;

/// The most bytes of a boundary (RFC 2046, section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// How a body of multipart is divided.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Multipart {
    /// What stands before each part, with the two dashes.
    delimiter: Vec<u8>,
}

/// A part of a body, by places in it.
struct Part {
    /// From its delimiter to the next one.
    whole: Range<usize>,
    header: Range<usize>,
    content: Range<usize>,
}

impl Multipart {
    /// Creates one with this boundary; `None` for one that there cannot be.
    pub(super) fn new(boundary: &[u8]) -> Option<Self> {
        let valid = !boundary.is_empty() && boundary.len() <= LONGEST_BOUNDARY;
        valid.then(|| Self { delimiter: [b"--", boundary].concat() })
    }

    /// The contents of the parts with this name.
    pub(super) fn values<'a>(&self, body: &'a [u8], name: &str) -> Values<'a> {
        let mut named = self.parts(body).filter(|part| part.has_name(body, name));
        match (named.next(), named.next()) {
            (None, _) => Values::None,
            (Some(part), None) => Values::One(body.get(part.content).unwrap_or_default().into()),
            (Some(_), Some(_)) => Values::Many,
        }
    }

    /// The body without the parts with this name; `None` when there are none.
    pub(super) fn without(&self, body: &[u8], name: &str) -> Option<Vec<u8>> {
        let (mut rest, mut from) = (Vec::with_capacity(body.len()), 0);
        for part in self.parts(body).filter(|part| part.has_name(body, name)) {
            rest.extend_from_slice(body.get(from..part.whole.start)?);
            from = part.whole.end;
        }
        if from == 0 {
            return None;
        }
        rest.extend_from_slice(body.get(from..)?);
        Some(rest)
    }

    fn parts<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = Part> + 'a {
        let mut next = self.delimiter_from(body, 0);
        std::iter::from_fn(move || {
            let start = next?;
            let after = start + self.delimiter.len();
            if body.get(after..)?.starts_with(b"--") {
                return None;
            }
            let line = after + memmem::find(body.get(after..)?, b"\r\n")? + 2;
            let end = self.delimiter_from(body, line)?;
            next = Some(end);
            // The line break before a delimiter belongs to the delimiter.
            let last = end.checked_sub(2)?.max(line);
            let inside = body.get(line..last)?;
            let (header, content) = match memmem::find(inside, b"\r\n\r\n") {
                Some(at) => (line..line + at, line + at + 4..last),
                None => (line..last, last..last),
            };
            Some(Part { whole: start..end, header, content })
        })
    }

    /// The place of the next delimiter that begins a line.
    fn delimiter_from(&self, body: &[u8], from: usize) -> Option<usize> {
        memmem::find_iter(body.get(from..)?, &self.delimiter)
            .map(|at| from + at)
            .find(|at| *at == 0 || *at == from || body.get(..*at).is_some_and(|before| before.ends_with(b"\r\n")))
    }
}

impl Part {
    fn has_name(&self, body: &[u8], name: &str) -> bool {
        let header = body.get(self.header.clone()).unwrap_or_default();
        let mut lines = header.split(|byte| *byte == b'\n');
        lines.any(|line| {
            let Some(at) = memchr::memchr(b':', line) else { return false };
            let (field, value) = line.split_at(at);
            field.trim_ascii().eq_ignore_ascii_case(b"content-disposition")
                && parameter(value, "name").is_some_and(|found| found == name.as_bytes())
        })
    }
}

/// The value of a parameter, such as `; name="value"`, without the quotes.
pub(super) fn parameter<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        rest = rest.get(memchr::memchr(b';', rest)? + 1..)?;
        let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (found, after) = rest.split_at(equals);
        let Some(value) = after.strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        let (value, next) = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.split_at(memchr::memchr(b'"', quoted)?),
            None => {
                let end = memchr::memchr(b';', value).unwrap_or(value.len());
                let (value, next) = value.split_at(end);
                (value.trim_ascii_end(), next)
            }
        };
        if found.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
            return Some(value);
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        for (text, value) in [
            ("form-data; name=\"a b\"", Some("a b")),
            ("form-data; filename=\"; name=x\"; name=y", Some("y")),
            ("form-data; NAME = z ; a=b", Some("z")),
            ("form-data; name; name=y", Some("y")),
            ("form-data; name=\"a", None),
            ("form-data; filename=a", None),
            ("", None),
        ] {
            assert_eq!(parameter(text.as_bytes(), "name"), value.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn odd_bodies_are_read_without_harm() {
        let multipart = Multipart::new(b"x").unwrap();
        for body in [
            "", "--", "--x", "--x--", "--x\r\n", "--x\r\n--x", "--x\r\n\r\n--x--", "--x\r\nname\r\n--x--",
            "--x\r\n--x\r\n--x\r\n--x--", "text --x\r\n\r\n\r\n--x", "--x\r\n\r\n\r\n\r\n--xx--",
        ] {
            assert_eq!(multipart.values(body.as_bytes(), "k"), Values::None, "{body}");
            assert_eq!(multipart.without(body.as_bytes(), "k"), None, "{body}");
        }
        assert!(Multipart::new(b"").is_none() && Multipart::new(&[b'x'; 71]).is_none());
    }

    #[test]
    fn preambles_and_contents_with_dashes() {
        let body = "preamble\r\n--x\r\ncontent-disposition:form-data;name=k\r\n\r\na--x\r\n\r\nb\r\n--x--\r\nend";
        let multipart = Multipart::new(b"x").unwrap();
        assert_eq!(multipart.values(body.as_bytes(), "k"), Values::One(b"a--x\r\n\r\nb".into()));
        assert_eq!(multipart.without(body.as_bytes(), "k").unwrap(), b"preamble\r\n--x--\r\nend");
    }
}
