//! A record: one entity, put or deleted. The change log, updates and the disk all hold records in this
//! layout.
//!
//! Layout: `op: u8` (1 put, 2 delete), `kind: u8`, `id: 16 bytes`, `len: u32` big-endian, then `len`
//! canonical bytes. A delete has `len` 0.

use bytes::{BufMut, BytesMut};
use uuid::Uuid;

use crate::{Key, Kind};

/// The most bytes of one record's value. The Admin API accepts bodies of 10 MB.
pub const MAX_RECORD: u32 = 64 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;
/// The bytes before the value.
pub(crate) const HEADER: usize = 1 + 1 + 16 + 4;

/// One entity put (`value` holds its canonical bytes) or deleted (`None`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key of the entity.
    pub key: Key,
    /// The canonical bytes of the entity, or `None` when it is deleted.
    pub value: Option<&'a [u8]>,
}

/// Bytes that are not a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end within a record.
    #[error("a record is cut short at byte {0}")]
    Truncated(usize),
    /// The operation is neither put nor delete.
    #[error("unknown operation {op} at byte {at}")]
    Operation {
        /// The byte in place of the operation.
        op: u8,
        /// Offset in bytes.
        at: usize,
    },
    /// A delete that has a value.
    #[error("a delete carries a value at byte {0}")]
    ValueOnDelete(usize),
    /// A value longer than [`MAX_RECORD`].
    #[error("a record of {len} bytes at byte {at} is over the limit of {}", MAX_RECORD)]
    TooLong {
        /// Length of the value in bytes.
        len: u32,
        /// Offset in bytes.
        at: usize,
    },
}

impl Record<'_> {
    /// Length of the encoded record in bytes.
    pub fn encoded_len(&self) -> usize {
        HEADER + self.value.map_or(0, <[u8]>::len)
    }

    /// Appends the encoded record.
    pub fn encode(&self, to: &mut BytesMut) {
        let value = self.value.unwrap_or_default();
        to.reserve(self.encoded_len());
        to.put_u8(if self.value.is_some() { PUT } else { DELETE });
        to.put_u8(self.key.kind.0);
        to.put_slice(self.key.id.as_bytes());
        to.put_u32(u32::try_from(value.len()).expect("the Admin API takes bodies of 10 MB at most"));
        to.put_slice(value);
    }
}

/// Whether a record with this operation and a value of `len` bytes puts an entity, or deletes it.
pub(crate) const fn is_put(op: u8, len: u32, at: usize) -> Result<bool, RecordError> {
    match op {
        PUT => Ok(true),
        DELETE if len == 0 => Ok(false),
        DELETE => Err(RecordError::ValueOnDelete(at)),
        op => Err(RecordError::Operation { op, at }),
    }
}

/// Iterator over the records of a payload; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// The records of `payload`.
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let rest = &self.payload[self.at..];
        let taken = rest.get(..len).ok_or(RecordError::Truncated(self.at))?;
        self.at += len;
        Ok(taken)
    }

    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        let start = self.at;
        let header = self.take(HEADER)?;
        let (op, kind) = (header[0], Kind(header[1]));
        let id = Uuid::from_slice(&header[2..18]).map_err(|_| RecordError::Truncated(start))?;
        let len = u32::from_be_bytes([header[18], header[19], header[20], header[21]]);
        let value = self.take(len as usize)?;
        let value = is_put(op, len, start)?.then_some(value);
        Ok(Record { key: Key { kind, id }, value })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.at = self.payload.len();
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cut_payload_is_an_error_at_every_length() {
        let mut payload = BytesMut::new();
        Record { key: Key { kind: Kind(1), id: Uuid::from_u128(7) }, value: Some(b"{}") }
            .encode(&mut payload);
        for len in 1..payload.len() {
            let read: Result<Vec<_>, _> = Records::new(&payload[..len]).collect();
            assert!(matches!(read, Err(RecordError::Truncated(_))), "{len} bytes: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            all in proptest::collection::vec(
                (any::<u8>(), any::<u128>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))),
                0..20,
            )
        ) {
            let mut payload = BytesMut::new();
            let records: Vec<Record<'_>> = all
                .iter()
                .map(|(kind, id, value)| Record {
                    key: Key { kind: Kind(*kind), id: Uuid::from_u128(*id) },
                    value: value.as_deref(),
                })
                .collect();
            records.iter().for_each(|record| record.encode(&mut payload));
            let read: Result<Vec<_>, _> = Records::new(&payload).collect();
            prop_assert_eq!(read, Ok(records));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = Records::new(&bytes).count();
            prop_assert!(read <= bytes.len());
        }
    }
}
