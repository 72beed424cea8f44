//! Handmade frames of HTTP/2 (RFC 9113, section 4.1) and header blocks (RFC 7541): no library makes the bytes
//! that these tests send.

use std::ops::BitOr;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Data = 0,
    Headers = 1,
    Reset = 3,
    Settings = 4,
    Ping = 6,
    Continuation = 9,
}

#[derive(Clone, Copy)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const NONE: Self = Self(0);
    pub(super) const END_STREAM: Self = Self(1);
    pub(super) const END_HEADERS: Self = Self(4);
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A sequence of frames.
#[derive(Default)]
pub(super) struct Frames(Vec<u8>);

impl Frames {
    pub(super) fn add(mut self, kind: Kind, flags: Flags, stream: u32, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.0.extend_from_slice(&length[1..]);
        self.0.extend_from_slice(&[kind as u8, flags.0]);
        self.0.extend_from_slice(&stream.to_be_bytes());
        self.0.extend_from_slice(payload);
        self
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The header block of a GET request.
pub(super) fn get(path: &str) -> Vec<u8> {
    request(0x82, path)
}

/// The header block of a request whose body follows.
pub(super) fn post(path: &str) -> Vec<u8> {
    request(0x83, path)
}

/// The method by its index in the static table, `:scheme: http`, and literals for the names 4 and 1 in it.
fn request(method: u8, path: &str) -> Vec<u8> {
    [vec![method, 0x86, 0x04], string(path), vec![0x01], string("h.example")].concat()
}

/// A field that is not put into the dynamic table.
pub(super) fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0x00], string(name), string(value)].concat()
}

/// A field that is put into the dynamic table, where its index is 62.
pub(super) fn indexed_literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], string(name), string(value)].concat()
}

/// A length in 7 bits and, if needed, further bytes (RFC 7541, section 5.1), and the text.
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.push(text.len() as u8);
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 0x80);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
