//! The bytes of a health report. All numbers are big-endian.
//!
//! ```text
//! report:  len: u8, then len bytes: flags: u8 (1 full, 2 first, 4 last), revision: u64, targets: u32;
//!          then entries to the end
//! entry:   len: u16, then len bytes: target: 16 bytes, record type: u8, error: text, count: u16,
//!          then count addresses
//! address: len: u8, then len bytes: family: u8 (4, 6), 4 or 16 bytes, port: u16, weight: u16,
//!          health: u8, since: u64, error: text
//! text:    len: u8, then len bytes of UTF-8; empty for none
//! ```
//!
//! A later version may append to a report's header, to an entry and to an address: a reader skips what it
//! does not know.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{Buf, BufMut, BytesMut};
use uuid::Uuid;

use super::{
    AddressHealth, Health, HealthReport, IpAddr, MAX_ADDRESSES, MAX_ERROR_TEXT, MAX_HEALTH_FRAME, RecordType,
    ReportPart, TargetHealth,
};

const FULL: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// Bytes of the header after its length.
const HEADER: u8 = 1 + 8 + 4;
/// Bytes of the frame's type and the header.
const BEFORE_ENTRIES: usize = 2 + HEADER as usize;
/// Bytes of an entry without its error and its addresses: length, id, record type, text's length, count.
const ENTRY: usize = 2 + 16 + 1 + 1 + 2;
/// Bytes of an address without its IP address and its error: length, family, port, weight, health, since,
/// text's length.
const ADDRESS: usize = 1 + 1 + 2 + 2 + 1 + 8 + 1;

/// Bytes that are not a health report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// The bytes end within a value.
    #[error("the report is cut short")]
    Truncated,
    /// An address is neither IPv4 nor IPv6.
    #[error("unknown address family {0}")]
    Family(u8),
    /// An entry has more addresses than [`MAX_ADDRESSES`].
    #[error("{0} addresses of a target are over the limit of {MAX_ADDRESSES}")]
    Addresses(u16),
    /// A text is longer than [`MAX_ERROR_TEXT`], or not UTF-8.
    #[error("an error text is longer than {MAX_ERROR_TEXT} bytes, or not UTF-8")]
    Text,
}

impl HealthReport {
    /// The number of leading entries that fit in one frame: at least one.
    pub fn fitting(entries: &[TargetHealth]) -> usize {
        let mut left = MAX_HEALTH_FRAME - BEFORE_ENTRIES;
        let fits = |entry: &&TargetHealth| {
            let rest = left.checked_sub(entry.encoded_len());
            left = rest.unwrap_or_default();
            rest.is_some()
        };
        entries.iter().take_while(fits).count().max(1)
    }

    pub(crate) fn encode(&self, to: &mut BytesMut) {
        to.reserve(BEFORE_ENTRIES + self.entries.iter().map(TargetHealth::encoded_len).sum::<usize>());
        to.put_u8(HEADER);
        to.put_u8(flags(self.part));
        to.put_u64(self.revision);
        to.put_u32(self.targets);
        self.entries.iter().for_each(|entry| entry.encode(to));
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, HealthError> {
        let len = take_u8(&mut bytes)?;
        let mut header = take(&mut bytes, len.into())?;
        let part = part(take_u8(&mut header)?);
        let revision = header.try_get_u64().map_err(|_| HealthError::Truncated)?;
        let targets = header.try_get_u32().map_err(|_| HealthError::Truncated)?;
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let len = take_u16(&mut bytes)?;
            entries.push(TargetHealth::decode(take(&mut bytes, len.into())?)?);
        }
        Ok(Self { part, revision, targets, entries })
    }
}

impl TargetHealth {
    /// The length of the encoded entry in bytes.
    pub fn encoded_len(&self) -> usize {
        let addresses = self.addresses.iter().take(MAX_ADDRESSES);
        ENTRY + cut(self.dns_error.as_ref()).len() + addresses.map(AddressHealth::encoded_len).sum::<usize>()
    }

    fn encode(&self, to: &mut BytesMut) {
        let len = self.encoded_len() - 2;
        to.put_u16(u16::try_from(len).expect("addresses and their texts are bounded: at most 42 kB"));
        to.put_slice(self.target.as_bytes());
        to.put_u8(self.record_type.number());
        put_text(self.dns_error.as_ref(), to);
        let count = self.addresses.len().min(MAX_ADDRESSES);
        to.put_u16(u16::try_from(count).expect("it is at most MAX_ADDRESSES"));
        self.addresses[..count].iter().for_each(|address| address.encode(to));
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, HealthError> {
        let (target, rest) = bytes.split_first_chunk().ok_or(HealthError::Truncated)?;
        bytes = rest;
        let record_type = RecordType::from_number(take_u8(&mut bytes)?);
        let dns_error = take_text(&mut bytes)?;
        let count = take_u16(&mut bytes)?;
        if usize::from(count) > MAX_ADDRESSES {
            return Err(HealthError::Addresses(count));
        }
        // Only what is there is allocated, whatever the count says.
        let mut addresses = Vec::new();
        for _ in 0..count {
            let len = take_u8(&mut bytes)?;
            addresses.push(AddressHealth::decode(take(&mut bytes, len.into())?)?);
        }
        Ok(Self { target: Uuid::from_bytes(*target), record_type, dns_error, addresses })
    }
}

impl AddressHealth {
    fn encoded_len(&self) -> usize {
        let ip = if self.address.is_ipv4() { 4 } else { 16 };
        ADDRESS + ip + cut(self.last_error.as_ref()).len()
    }

    fn encode(&self, to: &mut BytesMut) {
        to.put_u8(u8::try_from(self.encoded_len() - 1).expect("the text is bounded: at most 159 bytes"));
        match self.address {
            IpAddr::V4(ip) => {
                to.put_u8(4);
                to.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                to.put_u8(6);
                to.put_slice(&ip.octets());
            }
        }
        to.put_u16(self.port);
        to.put_u16(self.weight);
        to.put_u8(self.health.number());
        to.put_u64(self.since);
        put_text(self.last_error.as_ref(), to);
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, HealthError> {
        let address = match take_u8(&mut bytes)? {
            4 => IpAddr::V4(Ipv4Addr::from_bits(bytes.try_get_u32().map_err(|_| HealthError::Truncated)?)),
            6 => IpAddr::V6(Ipv6Addr::from_bits(bytes.try_get_u128().map_err(|_| HealthError::Truncated)?)),
            family => return Err(HealthError::Family(family)),
        };
        let port = take_u16(&mut bytes)?;
        let weight = take_u16(&mut bytes)?;
        let health = Health::from_number(take_u8(&mut bytes)?);
        let since = bytes.try_get_u64().map_err(|_| HealthError::Truncated)?;
        let last_error = take_text(&mut bytes)?;
        Ok(Self { address, port, weight, health, since, last_error })
    }
}

const fn flags(part: ReportPart) -> u8 {
    match part {
        ReportPart::Changes => 0,
        ReportPart::Full { first, last } => {
            FULL | if first { FIRST } else { 0 } | if last { LAST } else { 0 }
        }
    }
}

const fn part(flags: u8) -> ReportPart {
    match flags & FULL {
        0 => ReportPart::Changes,
        _ => ReportPart::Full { first: flags & FIRST != 0, last: flags & LAST != 0 },
    }
}

/// The beginning of a text that a report may hold, cut between two characters.
fn cut(text: Option<&String>) -> &str {
    let text = text.map_or("", String::as_str);
    &text[..text.floor_char_boundary(MAX_ERROR_TEXT)]
}

fn put_text(text: Option<&String>, to: &mut BytesMut) {
    let text = cut(text);
    to.put_u8(u8::try_from(text.len()).expect("it was cut"));
    to.put_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Result<Option<String>, HealthError> {
    let len = usize::from(take_u8(bytes)?);
    let text = std::str::from_utf8(take(bytes, len)?).map_err(|_| HealthError::Text)?;
    if len > MAX_ERROR_TEXT {
        return Err(HealthError::Text);
    }
    Ok((len > 0).then(|| text.to_owned()))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], HealthError> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(HealthError::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

fn take_u8(bytes: &mut &[u8]) -> Result<u8, HealthError> {
    bytes.try_get_u8().map_err(|_| HealthError::Truncated)
}

fn take_u16(bytes: &mut &[u8]) -> Result<u16, HealthError> {
    bytes.try_get_u16().map_err(|_| HealthError::Truncated)
}
