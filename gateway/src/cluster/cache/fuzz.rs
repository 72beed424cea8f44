//! Whatever a file holds, reading it ends, and the result can be merged or is rejected.
//!
//! To fuzz longer than the one second that the tests take, set the time in milliseconds:
//! `BOLERO_RANDOM_TEST_TIME_MS=600000 BOLERO_RANDOM_ITERATIONS=1000000000 cargo test -p gateway --lib fuzz`.

use bolero::{TypeGenerator, check};
use bytes::{BufMut, Bytes};
use wire::Mode;

use super::tests::{Source, noise};
use super::{format, merge};

/// A file whose entries are changed before or after their checksums are made.
#[derive(Clone, Debug, TypeGenerator)]
struct Mutated {
    entries: Vec<Entry>,
    changes: Vec<(u16, u8)>,
    added: Vec<u8>,
}

#[derive(Clone, Debug, TypeGenerator)]
struct Entry {
    repairs: bool,
    len: u16,
    /// In the body, with a checksum that is right for it.
    changes: Vec<(u16, u8)>,
}

impl Mutated {
    fn bytes(&self) -> Vec<u8> {
        let mut source = Source::default();
        let first = source.update(Mode::Snapshot, b"{}");
        let mut bytes = Vec::new();
        format::write_file(&first, &mut bytes).unwrap();
        for entry in &self.entries {
            let mode = if entry.repairs { Mode::Repair } else { Mode::Delta };
            let mut body = source.update(mode, &noise(usize::from(entry.len) % 700)).to_bytes().to_vec();
            change(&mut body, &entry.changes);
            bytes.put_u32(u32::try_from(body.len()).unwrap());
            bytes.put_slice(&blake3::hash(&body).as_bytes()[..16]);
            bytes.put_slice(&body);
        }
        change(&mut bytes, &self.changes);
        bytes.extend_from_slice(&self.added);
        bytes
    }
}

#[test]
fn cache_file() {
    check!().with_type::<Mutated>().for_each(|input| read(input.bytes()));
}

#[test]
fn any_bytes_as_a_cache_file() {
    check!().for_each(|input: &[u8]| read(input.to_vec()));
}

fn read(bytes: Vec<u8>) {
    let found = format::parse(&Bytes::from(bytes));
    assert!(found.complaint.is_some() || !found.updates.is_empty());
    if let Ok(merged) = merge::merge(&found.updates) {
        let mut file = Vec::new();
        format::write_file(&merged, &mut file).unwrap();
        let again = format::parse(&file.into());
        assert_eq!(again.updates.len(), 1);
        assert_eq!(again.updates[0].header, merged.header);
    }
}

fn change(bytes: &mut [u8], changes: &[(u16, u8)]) {
    for (at, byte) in changes {
        let at = usize::from(*at) % bytes.len();
        bytes[at] = *byte;
    }
}
