//! What is noted of a request while it is served, for logs and traces. Noted only if something will read it: a
//! plugin with a last phase, or the access log.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::message::{FieldLines, FieldSink};
use crate::names::Name;

/// The most attempts of which something is noted.
const MOST_TRIES: usize = 64;

/// What is noted of a request.
#[derive(Debug, Default)]
pub struct Notes {
    /// Bytes of the header of the answer. Of HTTP/2, about those that HTTP/1 would need.
    pub answer_header_bytes: u64,
    /// Bytes of the body of the answer that were queued for the client, and of a tunnel to it.
    pub answer_bytes: u64,
    /// Path and query that the upstream was sent, or would have been; empty if none was found.
    pub upstream_target: Vec<u8>,
    /// The attempts.
    pub tries: SmallVec<[Try; 1]>,
    /// The fields of the answer.
    pub answer: NotedFields,
    /// When the look-up of the upstream's name began, and how long it took.
    pub looked_up: Option<(Instant, Duration)>,
    /// When the header of the upstream's answer had come.
    pub answered: Option<Instant>,
    /// Time from the header of the upstream's answer to the end of its body.
    pub received: Option<Duration>,
}

/// An attempt to have an upstream answer.
#[derive(Clone, Debug)]
pub struct Try {
    /// When it began.
    pub begun: Instant,
    /// Time to choose an address and to connect to it.
    pub connected: Duration,
    /// The address; `None`: none was found.
    pub address: Option<SocketAddr>,
    /// The status of the answer, or the one with which the gateway answers such a failure.
    pub code: Option<u16>,
    /// Whether it failed.
    pub is_failed: bool,
    /// When its answer had come, or it had failed.
    pub ended: Option<Instant>,
}

/// Header fields in their order.
#[derive(Clone, Debug, Default)]
pub struct NotedFields {
    text: BytesMut,
    /// The ends of each name and of each value.
    ends: SmallVec<[(u32, u32); 16]>,
}

impl Notes {
    /// Notes that an attempt begins. The last one of too many stands for all that follow.
    pub fn begin_try(&mut self, begun: Instant) {
        if self.tries.len() >= MOST_TRIES {
            self.tries.pop();
        }
        self.tries.push(Try {
            begun,
            connected: Duration::ZERO,
            address: None,
            code: None,
            is_failed: false,
            ended: None,
        });
    }

    /// Notes the address of the present attempt, if it is known.
    pub fn connect(&mut self, address: Option<SocketAddr>) {
        if let Some(last) = self.tries.last_mut() {
            last.address = address.or(last.address);
            last.connected = last.begun.elapsed();
        }
    }

    /// Notes the end of the present attempt: the status of its answer, or of its failure. One that ends with its
    /// client has none.
    pub fn end_try(&mut self, code: Option<u16>, is_failed: bool) {
        let now = Instant::now();
        if let Some(last) = self.tries.last_mut() {
            (last.code, last.is_failed, last.ended) = (code, is_failed && code.is_some(), Some(now));
        }
        self.answered = Some(now).filter(|_| !is_failed).or(self.answered);
    }

    /// Notes the end of the body of the upstream's answer.
    pub fn end_body(&mut self) {
        self.received = self.answered.map(|answered| answered.elapsed());
    }
}

impl NotedFields {
    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let begins = [0].into_iter().chain(self.ends.iter().map(|(_, end)| *end));
        begins
            .zip(&self.ends)
            .map(|(begin, (middle, end))| (self.part(begin, *middle), self.part(*middle, *end)))
    }

    /// The first value of a field, whose name may be in any case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.iter();
        all.find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The bytes of the fields as HTTP/1 writes them.
    pub fn size(&self) -> u64 {
        (self.text.len() + self.ends.len() * ": \r\n".len()) as u64
    }

    fn part(&self, begin: u32, end: u32) -> &[u8] {
        self.text.get(begin as usize..end as usize).unwrap_or_default()
    }
}

impl FieldSink for NotedFields {
    fn known(&mut self, name: &'static Name, value: &[u8]) {
        self.received(name.written.as_bytes(), value);
    }

    // A header is smaller than 4 GiB.
    fn received(&mut self, name: &[u8], value: &[u8]) {
        self.text.put_slice(name);
        let middle = self.text.len() as u32;
        self.text.put_slice(value);
        self.ends.push((middle, self.text.len() as u32));
    }
}

/// Writes fields, and notes them.
pub struct Noting<'n> {
    /// Where they are written.
    pub sink: &'n mut dyn FieldSink,
    /// Where they are noted.
    pub noted: &'n mut NotedFields,
}

impl FieldSink for Noting<'_> {
    fn known(&mut self, name: &'static Name, value: &[u8]) {
        self.noted.known(name, value);
        self.sink.known(name, value);
    }

    fn received(&mut self, name: &[u8], value: &[u8]) {
        self.noted.received(name, value);
        self.sink.received(name, value);
    }

    fn fixed(&mut self, name: &'static Name, value: &'static str) {
        self.noted.fixed(name, value);
        self.sink.fixed(name, value);
    }

    fn unique(&mut self, name: &'static Name, value: &[u8]) {
        self.noted.unique(name, value);
        self.sink.unique(name, value);
    }

    fn lines(&mut self, lines: &FieldLines) {
        self.noted.lines(lines);
        self.sink.lines(lines);
    }
}

impl std::fmt::Debug for Noting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Noting").field("noted", &self.noted).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_noted_as_they_are_written() {
        let (mut noted, mut text) = (NotedFields::default(), BytesMut::new());
        let mut sink = Noting { sink: &mut text, noted: &mut noted };
        sink.received(b"A", b"1");
        sink.fixed(&crate::names::VIA, "x");
        sink.received(b"a", b"");
        let all: Vec<_> = noted.iter().collect();
        assert_eq!(all, [(&b"A"[..], &b"1"[..]), (b"Via", b"x"), (b"a", b"")]);
        assert_eq!((noted.get("VIA"), noted.get("b")), (Some(&b"x"[..]), None));
        assert_eq!(noted.size(), text.len() as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_noted_up_to_a_bound() {
        let mut notes = Notes::default();
        for _ in 0..100 {
            notes.begin_try(Instant::now());
            notes.connect(None);
            notes.end_try(Some(502), true);
        }
        assert_eq!((notes.tries.len(), notes.answered), (MOST_TRIES, None));
        notes.begin_try(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        notes.end_try(Some(200), false);
        tokio::time::advance(Duration::from_secs(2)).await;
        notes.end_body();
        assert_eq!(notes.received, Some(Duration::from_secs(2)));
    }
}
