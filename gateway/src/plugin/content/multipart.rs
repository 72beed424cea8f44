//! A multipart form (RFC 7578), whose parts are changed by name. A part that is not changed keeps its bytes.

use memchr::memmem;

use super::media_type::parameter;
use super::{ENTRIES, TooManyEntries};

/// The most parts: each has a header of its own.
const PARTS: usize = ENTRIES / 20;
/// The most bytes of a boundary (RFC 2046, section 5.1.1).
const BOUNDARY: usize = 70;

/// A multipart form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Multipart {
    boundary: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// `None` for a part that has none.
    name: Option<Vec<u8>>,
    /// The lines of the header, each with its end.
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Multipart {
    /// Reads a form with the boundary that its type states. `None` for one that is not well-formed. An empty body
    /// is a form without parts.
    ///
    /// # Errors
    /// When there are too many parts.
    pub(in crate::plugin) fn parse(content_type: &[u8], body: &[u8]) -> Result<Option<Self>, TooManyEntries> {
        let boundary = parameter(content_type, "boundary");
        let Some(boundary) = boundary.filter(|boundary| (1..=BOUNDARY).contains(&boundary.len())) else {
            return Ok(None);
        };
        let parts = if body.is_empty() { Some(Vec::new()) } else { parse_parts(&boundary, body)? };
        Ok(parts.map(|parts| Self { boundary, parts }))
    }

    /// The body.
    pub(in crate::plugin) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut add = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| body.extend_from_slice(piece));
        for part in &self.parts {
            add(&[b"--", &self.boundary, b"\r\n", &part.header, b"\r\n", &part.body, b"\r\n"]);
        }
        add(&[b"--", &self.boundary, b"--\r\n"]);
        body
    }

    /// The bodies of the parts of a name.
    pub(in crate::plugin) fn bodies(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter(move |part| part.has(name)).map(|part| &*part.body)
    }

    /// Removes all parts of a name. Returns whether there was one.
    pub(in crate::plugin) fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.parts.len();
        self.parts.retain(|part| !part.has(name));
        self.parts.len() < before
    }

    /// Gives all parts of one name another one, in place of those that have it. Returns whether there was one.
    pub(in crate::plugin) fn rename(&mut self, old: &[u8], new: &[u8]) -> bool {
        if old == new || !self.contains(old) {
            return false;
        }
        self.remove(new);
        self.parts.iter_mut().filter(|part| part.has(old)).for_each(|part| part.rename(new));
        true
    }

    /// Replaces all parts of a name by one, if there is one. Returns whether there was.
    pub(in crate::plugin) fn replace(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some(first) = self.parts.iter().position(|part| part.has(name)) else { return false };
        self.parts[first] = self.part(name, value);
        let mut index = 0;
        self.parts.retain(|part| {
            index += 1;
            index <= first + 1 || !part.has(name)
        });
        true
    }

    /// Adds a part, if there is none of its name. Returns whether it was added.
    pub(in crate::plugin) fn add(&mut self, name: &[u8], value: &[u8]) -> bool {
        let absent = !self.contains(name);
        if absent {
            self.append(name, value);
        }
        absent
    }

    /// Adds a part.
    pub(in crate::plugin) fn append(&mut self, name: &[u8], value: &[u8]) {
        let part = self.part(name, value);
        self.parts.push(part);
    }

    /// A part with a value in which nothing ends the part: the boundary is the client's, and so may the value be.
    fn part(&self, name: &[u8], value: &[u8]) -> Part {
        let mut body = Vec::with_capacity(value.len());
        for &byte in value {
            body.push(byte);
            if body.ends_with(&self.boundary) {
                body.truncate(body.len() - self.boundary.len());
            }
        }
        let header = [disposition(name, None).as_slice(), b"\r\n"].concat();
        Part { name: Some(name.to_vec()), header, body }
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.parts.iter().any(|part| part.has(name))
    }
}

impl Part {
    /// Reads what stands between two boundaries: a header, an empty line, a body.
    fn parse(text: &[u8]) -> Option<Self> {
        let (header, body) = match text.strip_prefix(b"\r\n") {
            Some(body) => (&b""[..], body),
            None => {
                let end = memmem::find(text, b"\r\n\r\n")?;
                (&text[..end + 2], &text[end + 4..])
            }
        };
        let name = lines(header).find_map(|line| parameter(disposition_of(line)?, "name"));
        Some(Self { name, header: header.to_vec(), body: body.to_vec() })
    }

    fn has(&self, name: &[u8]) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// Changes the name. The name of a file, and the other lines, stay. So do the ends of lines: a boundary behind a
    /// line feed alone is none, and must not become one.
    fn rename(&mut self, name: &[u8]) {
        let mut header = Vec::new();
        for line in self.header.split_inclusive(|byte| *byte == b'\n') {
            let text = without_end(line);
            match disposition_of(text) {
                Some(field) => {
                    header.extend(disposition(name, parameter(field, "filename").as_deref()));
                    header.extend_from_slice(&line[text.len()..]);
                }
                None => header.extend_from_slice(line),
            }
        }
        (self.name, self.header) = (Some(name.to_vec()), header);
    }
}

/// Reads the parts. `None` for a body that is not well-formed.
fn parse_parts(boundary: &[u8], body: &[u8]) -> Result<Option<Vec<Part>>, TooManyEntries> {
    let delimiter = [b"\r\n--", boundary].concat();
    let find = memmem::Finder::new(&delimiter);
    let begin = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => Some(rest),
        // A preamble stands before the first boundary.
        None => find.find(body).map(|at| &body[at + delimiter.len()..]),
    };
    let Some(mut rest) = begin else { return Ok(None) };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        if parts.len() == PARTS {
            return Err(TooManyEntries);
        }
        let Some(text) = next_line(rest) else { return Ok(None) };
        let Some(end) = find.find(text) else { return Ok(None) };
        let Some(part) = Part::parse(&text[..end]) else { return Ok(None) };
        parts.push(part);
        rest = &text[end + delimiter.len()..];
    }
    Ok(Some(parts))
}

/// The text behind the end of this line, on which only blanks may stand.
fn next_line(text: &[u8]) -> Option<&[u8]> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text[blanks..].strip_prefix(b"\r\n")
}

/// The lines of a header, without their ends.
fn lines(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split_inclusive(|byte| *byte == b'\n').map(without_end)
}

/// A line without its end.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The value of a line, if it is a `Content-Disposition`.
fn disposition_of(line: &[u8]) -> Option<&[u8]> {
    let at = memchr::memchr(b':', line)?;
    line[..at].trim_ascii().eq_ignore_ascii_case(b"content-disposition").then(|| &line[at + 1..])
}

/// The line that names a part, without its end.
fn disposition(name: &[u8], file: Option<&[u8]>) -> Vec<u8> {
    let mut line = b"Content-Disposition: form-data; name=\"".to_vec();
    quote(name, &mut line);
    if let Some(file) = file {
        line.extend_from_slice(b"\"; filename=\"");
        quote(file, &mut line);
    }
    line.push(b'"');
    line
}

/// Writes a name within quotes, as browsers do.
fn quote(text: &[u8], line: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' => line.extend_from_slice(b"%22"),
            b'\r' => line.extend_from_slice(b"%0D"),
            b'\n' => line.extend_from_slice(b"%0A"),
            _ => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=\"B\"";

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(disposition, body): &(&str, &str)| {
            format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{body}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--B--\r\n"
    }

    fn changed(body: &str, change: impl FnOnce(&mut Multipart)) -> String {
        let mut multipart = Multipart::parse(TYPE, body.as_bytes()).unwrap().unwrap();
        change(&mut multipart);
        String::from_utf8(multipart.encode()).unwrap()
    }

    #[test]
    fn parts_are_changed_by_name() {
        let (a, b, file) =
            (("name=\"a\"", "1"), ("name=\"b\"", "x\r\n--y"), ("name=\"a\"; filename=\"f\"", ""));
        let body = form(&[a, b, file]);
        assert_eq!(changed(&body, |_| {}), body);
        assert_eq!(changed(&body, |form| assert!(form.remove(b"a"))), form(&[b]));
        assert_eq!(changed(&body, |form| assert!(!form.remove(b"x"))), body);
        let renamed = form(&[("name=\"c\"", "1"), b, ("name=\"c\"; filename=\"f\"", "")]);
        assert_eq!(changed(&body, |form| assert!(form.rename(b"a", b"c"))), renamed);
        let over = form(&[("name=\"b\"", "1"), ("name=\"b\"; filename=\"f\"", "")]);
        assert_eq!(changed(&body, |form| assert!(form.rename(b"a", b"b"))), over);
        let replaced = form(&[("name=\"a\"", "v"), b]);
        assert_eq!(changed(&body, |form| assert!(form.replace(b"a", b"v"))), replaced);
        assert_eq!(changed(&body, |form| assert!(!form.add(b"a", b"v"))), body);
        let added = form(&[a, b, file, ("name=\"q%22%0D%0A\"", "v")]);
        assert_eq!(changed(&body, |form| assert!(form.add(b"q\"\r\n", b"v"))), added);
    }

    #[test]
    fn other_lines_of_a_part_stay() {
        let part = |name: &str| {
            format!(
                "--B\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; name={name}; filename=f\r\nX: 1\r\n\r\n\
                 1\r\n--B--\r\n"
            )
        };
        let renamed = changed(&part("a"), |form| assert!(form.rename(b"a", b"b")));
        let line = "Content-Disposition: form-data; name=\"b\"; filename=\"f\"";
        assert_eq!(
            renamed,
            format!("--B\r\nContent-Type: text/plain\r\n{line}\r\nX: 1\r\n\r\n1\r\n--B--\r\n")
        );
    }

    /// Behind a line feed alone, a boundary is a part of the header.
    #[test]
    fn renamed_parts_hide_no_other_part() {
        let body = "--B\r\nContent-Disposition: form-data; name=a\n--B\nX: 1\r\n\r\n1\r\n--B--\r\n";
        let renamed = changed(body, |form| assert!(form.rename(b"a", b"b")));
        assert_eq!(renamed, body.replace("name=a", "name=\"b\""));
        assert_eq!(Multipart::parse(TYPE, renamed.as_bytes()).unwrap().unwrap().parts.len(), 1);
    }

    #[test]
    fn forms_may_have_a_preamble_and_parts_without_a_header() {
        let body = "preamble\r\n--B \r\n\r\nx\r\n--B--\r\nepilogue";
        assert_eq!(changed(body, |_| {}), "--B\r\n\r\nx\r\n--B--\r\n");
        assert_eq!(changed("", |form| form.append(b"a", b"1")), form(&[("name=\"a\"", "1")]));
        assert_eq!(changed("--B--", |_| {}), "--B--\r\n");
    }

    #[test]
    fn values_do_not_end_their_part() {
        let typed = b"multipart/form-data; boundary=xy";
        let mut form = Multipart::parse(typed, b"").unwrap().unwrap();
        form.append(b"a", b"1\r\n--xxyy\r\nContent-Disposition: form-data; name=role\r\n\r\nroot\r\n--xy--");
        let again = Multipart::parse(typed, &form.encode()).unwrap().unwrap();
        assert_eq!((again.parts.len(), again), (1, form));
    }

    #[test]
    fn broken_forms_are_none() {
        for body in [
            "x",
            "--B",
            "--B\r\n",
            "--B\r\nx",
            "--B\r\nx\r\n--B--",
            "--B\r\nx: 1\r\n\r\n1",
            "--Bx\r\n\r\n1\r\n--B--",
        ] {
            assert_eq!(Multipart::parse(TYPE, body.as_bytes()), Ok(None), "{body:?}");
        }
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=", "x"] {
            assert_eq!(Multipart::parse(content_type.as_bytes(), b""), Ok(None), "{content_type}");
        }
        let long = format!("multipart/form-data; boundary={}", "b".repeat(BOUNDARY + 1));
        assert_eq!(Multipart::parse(long.as_bytes(), b""), Ok(None));
    }

    #[test]
    fn forms_are_bounded() {
        let part = ("name=a", "");
        assert!(Multipart::parse(TYPE, form(&vec![part; PARTS]).as_bytes()).is_ok());
        assert_eq!(Multipart::parse(TYPE, form(&vec![part; PARTS + 1]).as_bytes()), Err(TooManyEntries));
    }
}
