//! Parts of JSON that are written straight into a buffer.

use std::fmt::Display;
use std::io::Write;

use crate::message::digits;

/// Writes a text. Bytes that are no UTF-8 become replacement characters.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    match std::str::from_utf8(text) {
        Ok(text) => write_escaped(out, text),
        Err(_) => write_escaped(out, &String::from_utf8_lossy(text)),
    }
    out.push(b'"');
}

/// Writes an array of texts.
pub(crate) fn write_texts<'t>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'t [u8]>) {
    out.push(b'[');
    for (number, text) in texts.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_text(out, text);
    }
    out.push(b']');
}

/// Writes a number that may be negative.
pub(crate) fn write_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits(number.unsigned_abs()));
}

/// Writes what its text shows, as a text.
pub(crate) fn write_display(out: &mut Vec<u8>, shown: &impl Display) {
    out.push(b'"');
    // A vector takes everything.
    write!(out, "{shown}").ok();
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f)) {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        let byte = escaped[0];
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }
        rest = &escaped[1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_were() {
        for text in ["", "plain", "\"\\\n\r\t\0\x1b\x7f", "\u{fc}\u{1f600}", "</script>"] {
            let mut out = Vec::new();
            write_text(&mut out, text.as_bytes());
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            assert!(!out.contains(&b'\n'));
        }
        let mut out = Vec::new();
        write_text(&mut out, b"a\xffb");
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), "a\u{fffd}b");
    }
}
