//! Makes an update from records that arrive one at a time. It keeps the encoded payload, not the records.

use std::io::{self, Write};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    COMPRESS_FROM, Encoding, LEVEL, MAX_DECODED, MAX_ENCODED, Mode, Update, UpdateError, UpdateHeader,
};
use crate::position::Position;
use crate::record::Record;

/// The least bytes of a part of the output but the last.
const PART: usize = 256 * 1024;

/// Collects the records of one update.
#[derive(Default)]
pub struct UpdateWriter {
    /// All records, while they are short; later the bytes that are not compressed yet.
    pending: BytesMut,
    encoder: Option<zstd::stream::write::Encoder<'static, Parts>>,
    decoded_len: u64,
}

impl std::fmt::Debug for UpdateWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateWriter").field("decoded_len", &self.decoded_len).finish_non_exhaustive()
    }
}

impl UpdateWriter {
    /// A writer without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), UpdateError> {
        record.encode(&mut self.pending);
        self.decoded_len += record.encoded_len() as u64;
        if self.pending.len() < COMPRESS_FROM && self.encoder.is_none() {
            return Ok(());
        }
        self.compress().map_err(failed)
    }

    /// Makes the update from revision `from` to position `to` with these records.
    ///
    /// # Errors
    /// The update is longer than [`MAX_ENCODED`] or [`MAX_DECODED`], so that no receiver could read it.
    pub fn finish(self, mode: Mode, from: u64, to: Position) -> Result<Update, UpdateError> {
        let (encoding, parts) = match self.encoder {
            None => (Encoding::Plain, vec![self.pending.freeze()]),
            Some(encoder) => (Encoding::Zstd, encoder.finish().map_err(failed)?.into_parts()),
        };
        let header = UpdateHeader {
            mode,
            encoding,
            epoch: to.epoch,
            from,
            to: to.revision,
            root: to.root,
            decoded_len: self.decoded_len,
            encoded_len: parts.iter().map(|part| part.len() as u64).sum(),
        };
        if header.encoded_len > MAX_ENCODED || header.decoded_len > MAX_DECODED {
            return Err(UpdateError::TooLarge { encoded: header.encoded_len, decoded: header.decoded_len });
        }
        Ok(Update { header, parts })
    }

    fn compress(&mut self) -> io::Result<()> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(zstd::stream::write::Encoder::new(Parts::default(), LEVEL)?),
        };
        encoder.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

/// The output in parts of equal length. A single long buffer would be copied each time that it grows.
#[derive(Default)]
struct Parts {
    full: Vec<Bytes>,
    last: BytesMut,
}

impl Parts {
    fn into_parts(mut self) -> Vec<Bytes> {
        self.full.push(self.last.freeze());
        self.full
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.last.put_slice(bytes);
        if self.last.len() >= PART {
            self.full.push(std::mem::take(&mut self.last).freeze());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: io::Error) -> UpdateError {
    UpdateError::Payload(error.to_string())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Key, Kind};

    #[test]
    fn written_records_are_read_again() {
        for (count, len, encoding) in
            [(0, 0, Encoding::Plain), (3, 10, Encoding::Plain), (900, 900, Encoding::Zstd)]
        {
            let mut writer = UpdateWriter::new();
            let value = vec![b'v'; len];
            for id in 0..count {
                let record =
                    Record { key: Key { kind: Kind(2), id: Uuid::from_u128(id) }, value: Some(&value) };
                writer.push(&record).expect("it compresses");
            }
            let update = writer.finish(Mode::Snapshot, 0, Position::default()).expect("in limits");
            assert_eq!(update.header.encoding, encoding);
            assert_eq!(update.payload().expect("it decodes").len() as u64, update.header.decoded_len);
            let again = Update::from_bytes(&update.to_bytes()).expect("own bytes");
            let mut reader = again.records().expect("it decodes");
            for id in 0..count {
                let record = reader.next_record().expect("a record").expect("one more");
                assert_eq!(record.key, Key { kind: Kind(2), id: Uuid::from_u128(id) });
            }
            assert!(reader.next_record().expect("the end").is_none());
        }
    }
}
