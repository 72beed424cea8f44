//! Reads the records of an update one at a time out of the decompressor, so that the payload is never in
//! memory as a whole.

use std::io::{BufReader, Read};

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::{Encoding, Mode, Update, UpdateError};
use crate::digest::{BUCKETS, BucketSet};
use crate::record::{self, MAX_RECORD, RecordError};
use crate::{Key, Kind, Record};

/// The largest window that a payload may request from the decompressor, as a power of two. 8 MiB is what RFC
/// 8878 (section 3.1.1.1.2) recommends to support. The control plane's level needs 2 MiB.
const MAX_WINDOW: u32 = 23;
/// How many bytes are decompressed at a time.
const CHUNK: usize = 64 << 10;
/// A buffer that grew beyond this many bytes for one record is freed.
const KEEP: usize = 1 << 20;

/// The records of one update, in order.
pub struct RecordReader<'a> {
    input: Box<dyn Read + 'a>,
    /// The decoded length that the header announces.
    announced: u64,
    /// The number of bytes read so far.
    at: u64,
    replaced: BucketSet,
    value: Vec<u8>,
}

impl std::fmt::Debug for RecordReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordReader").field("at", &self.at).field("announced", &self.announced).finish()
    }
}

impl Update {
    /// Returns a reader of the records. It needs no more memory than one record and the decompressor's
    /// window.
    ///
    /// # Errors
    /// The payload cannot be decoded, or a repair is too short for its set of buckets.
    pub fn records(&self) -> Result<RecordReader<'_>, UpdateError> {
        let mut reader = RecordReader {
            input: self.decoded()?,
            announced: self.header.decoded_len,
            at: 0,
            replaced: BucketSet::default(),
            value: Vec::new(),
        };
        if self.header.mode == Mode::Repair {
            reader.replaced = reader.read_buckets()?;
        }
        Ok(reader)
    }

    /// The payload's bytes, decoded.
    pub(super) fn decoded(&self) -> Result<Box<dyn Read + '_>, UpdateError> {
        let parts = Parts { rest: self.parts.iter(), current: Bytes::new() };
        Ok(match self.header.encoding {
            Encoding::Plain => Box::new(BufReader::with_capacity(CHUNK, parts)),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(parts).map_err(failed)?;
                decoder.window_log_max(MAX_WINDOW).map_err(failed)?;
                Box::new(BufReader::with_capacity(CHUNK, decoder))
            }
        })
    }
}

impl RecordReader<'_> {
    /// The buckets that a repair replaces; none for any other update.
    pub const fn replaced(&self) -> &BucketSet {
        &self.replaced
    }

    /// Returns the next record. Returns `None` after the last one, when the payload has exactly the announced
    /// length.
    ///
    /// # Errors
    /// The payload is not a sequence of records, or has another length than announced.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, UpdateError> {
        if self.at == self.announced {
            return self.end().map(|()| None);
        }
        let start = self.at;
        let mut header = [0; record::HEADER];
        self.check_room(record::HEADER as u64, start)?;
        self.read(&mut header)?;
        let len = u32::from_be_bytes([header[18], header[19], header[20], header[21]]);
        if len > MAX_RECORD {
            return Err(RecordError::TooLong { len, at: at(start) }.into());
        }
        self.check_room(len.into(), start)?;
        self.read_value(len)?;
        let put = record::is_put(header[0], len, at(start))?;
        let key = Key { kind: Kind(header[1]), id: Uuid::from_u128((&header[2..18]).get_u128()) };
        Ok(Some(Record { key, value: put.then_some(&self.value[..]) }))
    }

    fn read_buckets(&mut self) -> Result<BucketSet, UpdateError> {
        let mut set = [0; BUCKETS / 8];
        if self.announced < set.len() as u64 {
            return Err(UpdateError::Payload(format!("{} bytes hold no set of buckets", self.announced)));
        }
        self.read(&mut set)?;
        Ok(BucketSet(set))
    }

    /// Checks the announced length before anything is allocated for it.
    fn check_room(&self, len: u64, start: u64) -> Result<(), UpdateError> {
        if len > self.announced - self.at { Err(RecordError::Truncated(at(start)).into()) } else { Ok(()) }
    }

    fn read(&mut self, to: &mut [u8]) -> Result<(), UpdateError> {
        self.input.read_exact(to).map_err(failed)?;
        self.at += to.len() as u64;
        Ok(())
    }

    /// The buffer grows with the bytes that arrive, not with the announced length.
    fn read_value(&mut self, len: u32) -> Result<(), UpdateError> {
        if self.value.capacity() > KEEP {
            self.value = Vec::new();
        }
        self.value.clear();
        let read = self.input.by_ref().take(len.into()).read_to_end(&mut self.value).map_err(failed)?;
        self.at += read as u64;
        if read as u64 == u64::from(len) { Ok(()) } else { Err(self.wrong_length("only ")) }
    }

    fn end(&mut self) -> Result<(), UpdateError> {
        match self.input.read(&mut [0]).map_err(failed)? {
            0 => Ok(()),
            _ => Err(self.wrong_length("more than ")),
        }
    }

    fn wrong_length(&self, how: &str) -> UpdateError {
        UpdateError::Payload(format!("{how}{} bytes instead of {}", self.at, self.announced))
    }
}

/// The parts one after the other.
struct Parts<'a> {
    rest: std::slice::Iter<'a, Bytes>,
    current: Bytes,
}

impl Read for Parts<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.rest.next() {
                Some(part) => self.current = part.clone(),
                None => return Ok(0),
            }
        }
        let len = to.len().min(self.current.len());
        self.current.split_to(len).copy_to_slice(&mut to[..len]);
        Ok(len)
    }
}

fn failed(error: std::io::Error) -> UpdateError {
    UpdateError::Payload(error.to_string())
}

fn at(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::{MAX_DECODED, UpdateHeader};
    use super::*;
    use crate::Position;

    fn record(len: usize) -> BytesMut {
        let mut payload = BytesMut::new();
        Record { key: Key { kind: Kind(1), id: Uuid::from_u128(7) }, value: Some(&vec![b'a'; len]) }
            .encode(&mut payload);
        payload
    }

    fn update(payload: BytesMut) -> Update {
        Update::new(Mode::Snapshot, 0, Position::default(), payload.freeze())
    }

    fn read_all(update: &Update) -> Result<usize, String> {
        let mut reader = update.records().map_err(|error| error.to_string())?;
        let mut count = 0;
        while reader.next_record().map_err(|error| error.to_string())?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn every_record_is_read_however_the_payload_is_cut_and_encoded() {
        for len in [0, 10, 600, 300_000] {
            let payload = [record(len), record(len + 1)].concat();
            let mut update = update(payload[..].into());
            assert_eq!(read_all(&update), Ok(2), "{len}");
            let whole = update.parts.concat();
            update.parts = whole.chunks(7).map(Bytes::copy_from_slice).collect();
            assert_eq!(read_all(&update), Ok(2), "{len}, in parts");
        }
    }

    #[test]
    fn payload_longer_or_shorter_than_announced_is_refused() {
        for len in [10, 5000] {
            let good = update(record(len));
            let with =
                |decoded_len| Update { header: UpdateHeader { decoded_len, ..good.header }, ..good.clone() };
            let announced = good.header.decoded_len;
            assert!(read_all(&with(announced - 1)).unwrap_err().contains("cut short"));
            assert!(read_all(&with(0)).unwrap_err().contains("more than 0 bytes"));
            assert!(read_all(&with(announced + 100)).is_err());
        }
    }

    /// A record announces four gigabytes, and so does an update: neither is allocated.
    #[test]
    fn lengths_are_checked_before_they_are_allocated() {
        let mut payload = record(0);
        payload[18..22].copy_from_slice(&u32::MAX.to_be_bytes());
        let mut lying = update(payload.clone());
        lying.header.decoded_len = MAX_DECODED;
        assert!(read_all(&lying).unwrap_err().contains("over the limit"), "{:?}", read_all(&lying));
        payload[18..22].copy_from_slice(&MAX_RECORD.to_be_bytes());
        let mut lying = update(payload);
        lying.header.decoded_len = MAX_DECODED;
        let mut reader = lying.records().unwrap();
        assert!(reader.next_record().unwrap_err().to_string().contains("instead of"));
        assert!(reader.value.capacity() < 4096, "{}", reader.value.capacity());
    }

    #[test]
    fn window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        std::io::copy(&mut &record(1 << 20)[..], &mut encoder).unwrap();
        let encoded = encoder.finish().unwrap();
        let mut wide = update(record(1 << 20));
        (wide.header.encoded_len, wide.parts) = (encoded.len() as u64, vec![encoded.into()]);
        assert!(read_all(&wide).unwrap_err().contains("too much memory"), "{:?}", read_all(&wide));
    }
}
