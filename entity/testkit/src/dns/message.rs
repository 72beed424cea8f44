//! Questions and answers as bytes (RFC 1035, section 4).

use super::Record;

/// Bytes of a header.
const HEADER: usize = 12;
/// The type of an alias.
const CNAME: u16 = 5;

/// The only question of a query.
#[derive(Debug)]
pub(super) struct Question {
    id: [u8; 2],
    /// Name, type and class as they were sent.
    bytes: Vec<u8>,
    pub(super) name: String,
    pub(super) kind: u16,
}

impl Question {
    pub(super) fn read(query: &[u8]) -> Option<Self> {
        let id = query.get(..2)?.try_into().ok()?;
        let (mut at, mut labels) = (HEADER, Vec::new());
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8(query.get(at..at + length)?.to_ascii_lowercase()).ok()?);
            at += length;
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        let bytes = query.get(HEADER..at + 4)?.to_vec();
        Some(Self { id, bytes, name: labels.join("."), kind })
    }

    /// An answer with this code, and with those of the records that have the right type, or are aliases.
    pub(super) fn answer(&self, code: u8, ttl: u32, records: &[Record]) -> Vec<u8> {
        let is_wanted = |record: &&Record| record.kind() == self.kind || record.kind() == CNAME;
        let records: Vec<_> = records.iter().filter(is_wanted).collect();
        let count = u16::try_from(records.len()).expect("tests have few records").to_be_bytes();
        let mut answer = self.header([0x81, 0x80 | code], count);
        for record in records {
            let data = record.data();
            let length = u16::try_from(data.len()).expect("data is short");
            // The name of the question, by reference to it.
            answer.extend([0xc0, 12]);
            answer.extend(record.kind().to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend(length.to_be_bytes());
            answer.extend(data);
        }
        answer
    }

    /// An answer that is too long.
    pub(super) fn truncated(&self) -> Vec<u8> {
        self.header([0x83, 0x80], [0, 0])
    }

    fn header(&self, flags: [u8; 2], records: [u8; 2]) -> Vec<u8> {
        [&self.id[..], &flags, &[0, 1], &records, &[0; 4], &self.bytes].concat()
    }
}

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::A(_) => 1,
            Self::Cname(_) => CNAME,
            Self::Aaaa(_) => 28,
            Self::Srv { .. } => 33,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::A(address) => address.octets().to_vec(),
            Self::Aaaa(address) => address.octets().to_vec(),
            Self::Cname(name) => name_bytes(name),
            Self::Srv { priority, weight, port, target } => {
                let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
                [numbers, name_bytes(target)].concat()
            }
        }
    }
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
