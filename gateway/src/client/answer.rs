//! Writes the header of an answer for its client, in the version of the client's connection.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, DATE};
use http::{StatusCode, Version};
use pingora::protocols::http::date::get_cached_date;

use super::{Client, Request};
use crate::error::RequestFailure;
use crate::message::{FieldSink, Framing, MapSink};
use crate::names;
use crate::notes::{Notes, Noting};

/// Bytes of the status line and the empty line, as HTTP/1 writes them.
const STATUS: u64 = 19;
/// Bytes of the field with the date.
const DATED: u64 = 37;

/// The header of an answer, apart from its fields.
#[derive(Clone, Debug)]
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// The reason phrase of HTTP/1; empty for the usual one.
    pub reason: Bytes,
    /// How the body is delimited where it comes from.
    pub framing: Framing,
    /// The length that the answer states, also if it has no body.
    pub length: Option<u64>,
}

/// Writes the header of the answer to `request`, with the fields that `write` writes, and begins its body.
/// `write` returns whether it wrote a date.
pub fn begin_answer(
    client: &mut Client,
    request: &Request,
    head: &AnswerHead,
    notes: Option<&mut Notes>,
    write: impl FnOnce(&mut dyn FieldSink) -> bool,
) {
    match client {
        Client::Http1(client) => {
            let framing = framing_for(request.version, head.framing);
            if framing == Framing::Close {
                client.close();
            }
            let keeps_alive = client.keeps_alive();
            let text = client.head();
            let begin = text.len();
            begin_text(text, head);
            let (mut notes, has_date) = write_noting(text, notes, write);
            if !has_date {
                text.known(&names::DATE, get_cached_date().as_bytes());
            }
            let length = stated_length(head).or(implied_length(head, request.is_head));
            let delimited =
                if framing == Framing::Chunked { Delimited::Chunked } else { Delimited::By(length) };
            delimited.write(text);
            let connection: &[u8] = if keeps_alive { b"keep-alive" } else { b"close" };
            text.received(b"Connection", connection);
            text.extend_from_slice(b"\r\n");
            if let Some(notes) = &mut notes {
                delimited.write(&mut notes.answer);
                notes.answer.received(b"Connection", connection);
                notes.answer_header_bytes = (text.len() - begin) as u64;
            }
            client.begin_write(framing);
        }
        Client::Http2(client) => {
            let mut answer = http::Response::new(());
            *answer.status_mut() = head.status;
            let mut sink = MapSink::with_capacity(16);
            let (notes, has_date) = write_noting(&mut sink, notes, write);
            let mut fields = sink.into_fields();
            if !has_date {
                fields.append(DATE, get_cached_date());
            }
            let length = stated_length(head);
            if let Some(length) = length {
                fields.insert(CONTENT_LENGTH, length.into());
            }
            if let Some(notes) = notes {
                Delimited::By(length).write(&mut notes.answer);
                let date = if has_date { 0 } else { DATED };
                notes.answer_header_bytes = notes.answer.size() + STATUS + date;
            }
            *answer.headers_mut() = fields;
            client.send_head(answer, head.framing == Framing::Empty);
        }
    }
}

/// How the body of an answer is delimited, as a field says it.
enum Delimited {
    Chunked,
    /// By a length, or by the end of something else.
    By(Option<u64>),
}

impl Delimited {
    fn write(&self, sink: &mut dyn FieldSink) {
        match self {
            Self::Chunked => sink.received(b"Transfer-Encoding", b"chunked"),
            Self::By(Some(length)) => sink.known_number(&names::CONTENT_LENGTH, *length),
            Self::By(None) => {}
        }
    }
}

/// Lets `write` write fields to `sink`, and notes them. Returns the notes, and what `write` has returned.
fn write_noting<'n>(
    sink: &mut dyn FieldSink,
    notes: Option<&'n mut Notes>,
    write: impl FnOnce(&mut dyn FieldSink) -> bool,
) -> (Option<&'n mut Notes>, bool) {
    let Some(notes) = notes else { return (None, write(sink)) };
    let has_date = write(&mut Noting { sink, noted: &mut notes.answer });
    (Some(notes), has_date)
}

/// Writes an interim answer, if the client's version has any.
pub fn interim_answer(
    client: &mut Client,
    request: &Request,
    head: &AnswerHead,
    write: impl FnOnce(&mut dyn FieldSink) -> bool,
) {
    match client {
        Client::Http1(client) => {
            if request.version == Version::HTTP_11 {
                let text = client.head();
                begin_text(text, head);
                write(text);
                text.extend_from_slice(b"\r\n");
            }
        }
        Client::Http2(client) => {
            let mut answer = http::Response::new(());
            *answer.status_mut() = head.status;
            let mut sink = MapSink::with_capacity(4);
            write(&mut sink);
            *answer.headers_mut() = sink.into_fields();
            client.send_interim(answer);
        }
    }
}

/// Writes the header that ends HTTP on the connection.
///
/// # Errors
/// [`RequestFailure::UpstreamInvalid`] for a client of HTTP/2, which has no change of protocol.
pub fn switch_protocols(
    client: &mut Client,
    head: &AnswerHead,
    notes: Option<&mut Notes>,
    write: impl FnOnce(&mut dyn FieldSink) -> bool,
) -> Result<(), RequestFailure> {
    let Client::Http1(client) = client else { return Err(RequestFailure::UpstreamInvalid) };
    let text = client.head();
    let begin = text.len();
    begin_text(text, head);
    let (mut notes, _) = write_noting(text, notes, write);
    let upgrade: [(&[u8], &[u8]); 2] = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")];
    upgrade.iter().for_each(|(name, value)| text.received(name, value));
    text.extend_from_slice(b"\r\n");
    if let Some(notes) = &mut notes {
        upgrade.iter().for_each(|(name, value)| notes.answer.received(name, value));
        notes.answer_header_bytes = (text.len() - begin) as u64;
    }
    client.begin_tunnel();
    Ok(())
}

/// How a body is delimited for a client of HTTP/1 (RFC 9112, section 6).
fn framing_for(version: Version, framing: Framing) -> Framing {
    match framing {
        Framing::Chunked | Framing::Close if version == Version::HTTP_11 => Framing::Chunked,
        Framing::Chunked | Framing::Close => Framing::Close,
        known => known,
    }
}

/// The length that the answer states.
fn stated_length(head: &AnswerHead) -> Option<u64> {
    match head.framing {
        Framing::Length(length) => Some(length),
        Framing::Empty if head.status == StatusCode::NO_CONTENT => None,
        Framing::Empty => head.length,
        Framing::Chunked | Framing::Close => None,
    }
}

/// The length of an answer that states none, since it ended with its header in HTTP/2. Without one, a client of
/// HTTP/1 would wait for the end of the connection, except where no answer has a body (RFC 9112, section 6.3).
fn implied_length(head: &AnswerHead, is_head: bool) -> Option<u64> {
    let never_has_a_body = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    (head.framing == Framing::Empty && !never_has_a_body && !is_head).then_some(0)
}

fn begin_text(text: &mut BytesMut, head: &AnswerHead) {
    text.reserve(1024);
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(head.status.as_str().as_bytes());
    text.extend_from_slice(b" ");
    if head.reason.is_empty() {
        text.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    } else {
        text.extend_from_slice(&head.reason);
    }
    text.extend_from_slice(b"\r\n");
}
