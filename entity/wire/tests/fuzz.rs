//! Fuzz targets. Whatever bytes arrive, no reader panics or reads beyond the announced length, and every
//! value survives a second pass.
//!
//! Each target runs for a second on random changes of the golden files. For longer runs, in milliseconds:
//! `BOLERO_RANDOM_TEST_TIME_MS=600000 BOLERO_RANDOM_ITERATIONS=1000000000 cargo test -p wire --test fuzz`.
//! With `cargo bolero test -p wire TARGET`, an engine guided by coverage runs the same targets.

use std::path::PathBuf;
use std::sync::LazyLock;

use bolero::{TypeGenerator, check};
use bytes::Bytes;
use wire::{
    Assembly, Digest, EntityHash, Frame, Key, MAX_FRAME, Mode, Record, Records, Update, UpdateError,
    split_repair,
};

/// A record that owns its value.
type Owned = (Key, Option<Vec<u8>>);

/// The golden frames, with which a target passes the first check.
static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("golden files").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let frames = paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "frame"));
    frames.map(|path| std::fs::read(path).expect("a golden file")).collect()
});

/// Bytes that begin as a golden frame and are then changed, cut and extended.
#[derive(Clone, Debug, TypeGenerator)]
struct Mutated {
    base: u8,
    changes: Vec<(u16, u8)>,
    cut: Option<u16>,
    added: Vec<u8>,
}

impl Mutated {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = FRAMES[usize::from(self.base) % FRAMES.len()].clone();
        for (at, byte) in &self.changes {
            let at = usize::from(*at) % bytes.len();
            bytes[at] = *byte;
        }
        if let Some(cut) = self.cut {
            bytes.truncate(usize::from(cut) % bytes.len());
        }
        bytes.extend_from_slice(&self.added);
        bytes
    }
}

#[test]
fn frame() {
    check!().with_type::<Mutated>().for_each(|input| decode(input.bytes()));
}

#[test]
fn any_bytes_as_a_frame() {
    check!().for_each(|input: &[u8]| decode(input.to_vec()));
}

/// The body of a single-frame update is what the disk holds.
#[test]
fn update() {
    check!().with_type::<Mutated>().for_each(|input| {
        let bytes = Bytes::from(input.bytes());
        if let Ok(update) = Update::from_bytes(&bytes.slice(bytes.len().min(1)..)) {
            let again = Update::from_bytes(&update.to_bytes()).expect("own bytes");
            assert_eq!(again.header, update.header);
            read(&update);
        }
    });
}

#[test]
fn any_bytes_as_records() {
    check!().for_each(|input: &[u8]| records(input));
}

fn decode(message: Vec<u8>) {
    let message = Bytes::from(message);
    let Ok(frame) = Frame::decode(&message) else { return };
    let again = frame.encode();
    if again.len() <= MAX_FRAME {
        assert_eq!(Frame::decode(&again).expect("own frame"), frame);
    }
    if let Frame::Update(header, part) = frame {
        assemble(header, part, &message);
    }
}

/// However the parts are cut, no more bytes are accepted than announced.
fn assemble(header: wire::UpdateHeader, first: Bytes, more: &Bytes) {
    let Ok(mut assembly) = Assembly::begin(header, first) else { return };
    for at in [0, 1, more.len() / 2] {
        if assembly.is_complete() || assembly.push(more.slice(at..)).is_err() {
            break;
        }
    }
    if assembly.is_complete() {
        let update = assembly.finish();
        assert_eq!(update.encoded_len(), header.encoded_len);
        read(&update);
    }
}

fn read(update: &Update) {
    let streamed = stream(update);
    let Ok(payload) = update.payload() else {
        assert!(streamed.is_err(), "a payload that cannot be decoded was read to its end");
        return;
    };
    assert_eq!(payload.len() as u64, update.header.decoded_len);
    match update.header.mode {
        Mode::Repair => {
            if let Ok((buckets, rest)) = split_repair(&payload) {
                assert!(buckets.iter().all(|bucket| buckets.contains(bucket)));
                assert_eq!(streamed.ok(), all(&rest));
                records(&rest);
            }
        }
        Mode::Snapshot | Mode::Delta => {
            assert_eq!(streamed.ok(), all(&payload));
            records(&payload);
        }
    }
}

/// The records as the decompressor yields them.
fn stream(update: &Update) -> Result<Vec<Owned>, UpdateError> {
    let mut reader = update.records()?;
    let mut all = Vec::new();
    while let Some(record) = reader.next_record()? {
        all.push((record.key, record.value.map(<[u8]>::to_vec)));
    }
    Ok(all)
}

/// The records of a decoded payload, if it holds only records.
fn all(payload: &[u8]) -> Option<Vec<Owned>> {
    let own = |record: Record<'_>| (record.key, record.value.map(<[u8]>::to_vec));
    Records::new(payload).map(|record| record.map(own).ok()).collect()
}

/// Reads records as a data plane does: hashes of all, rules of the kinds that it knows.
fn records(payload: &[u8]) {
    let mut digest = Digest::new();
    let mut read = 0;
    for record in Records::new(payload) {
        let Ok(Record { key, value }) = record else { break };
        read += Record { key, value }.encoded_len();
        digest.set(key, value.map(|bytes| EntityHash::of(key, bytes)));
    }
    assert!(read <= payload.len());
    digest.root();
}
