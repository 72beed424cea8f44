//! The format of one file: how updates are written, and how any contents are read.
//!
//! Layout: seven bytes `GIBBONC`, one byte of format version, then entries: length (`u32`, big-endian),
//! checksum (the first 128 bits of BLAKE3 over the body), body ([`Update::to_bytes`]). The first entry is
//! a snapshot, each further one starts where the one before it ends.

use std::io::{self, Write};

use bytes::Bytes;
use wire::{Mode, Position, Update, UpdateHeader};

/// The first bytes of a file in every version.
const NAME: [u8; 7] = *b"GIBBONC";
/// The version that is written. Each version that is read has a branch in [`parse`].
const VERSION: u8 = 1;
const CHECKSUM: usize = 16;
const ENTRY_HEAD: usize = 4 + CHECKSUM;

/// The contents of one file.
#[derive(Debug, Default)]
pub(in super::super) struct Found {
    /// The good updates from the first on: a snapshot and the deltas that follow it without a gap.
    pub updates: Vec<Update>,
    /// Length of the file's head and its first entry, in bytes.
    pub snapshot_len: u64,
    /// Length of the good part in bytes.
    pub good_len: u64,
    /// Why the file has no more good updates.
    pub complaint: Option<Complaint>,
}

/// Why a file is not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Complaint {
    /// A later version of this program wrote it.
    Newer(u8),
    /// It holds an entity that this program must understand and does not know: a later version received it.
    Unsupported(String),
    /// The bytes are not, or no longer, those that this program wrote.
    Damaged(String),
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer(version) => {
                write!(
                    f,
                    "it has format version {version}, written by a later program; this one reads {VERSION}"
                )
            }
            Self::Unsupported(reason) | Self::Damaged(reason) => f.write_str(reason),
        }
    }
}

impl Found {
    /// The position to which the good updates lead.
    pub(in super::super) fn end(&self) -> Option<Position> {
        self.updates.last().map(|update| update.header.position())
    }

    pub(super) fn nothing(reason: impl Into<String>) -> Self {
        Self { complaint: Some(Complaint::Damaged(reason.into())), ..Self::default() }
    }
}

/// Writes a whole file with one snapshot; returns its length in bytes. Copies nothing of the snapshot.
///
/// # Errors
/// When the disk refuses.
pub(super) fn write_file(snapshot: &Update, mut to: impl Write) -> io::Result<u64> {
    to.write_all(&NAME)?;
    to.write_all(&[VERSION])?;
    write_entry(snapshot, &mut to)?;
    to.flush()?;
    Ok((NAME.len() + 1 + ENTRY_HEAD + snapshot.stored_len()) as u64)
}

/// Encodes updates as they are appended to a file: in one piece, for one write.
pub(super) fn entries(updates: &[Update]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries_len(updates));
    for update in updates {
        write_entry(update, &mut bytes).expect("memory takes what is written to it");
    }
    bytes
}

/// Length of [`entries`] in bytes.
pub(in super::super) fn entries_len(updates: &[Update]) -> usize {
    updates.iter().map(|update| ENTRY_HEAD + update.stored_len()).sum()
}

fn write_entry(update: &Update, to: &mut impl Write) -> io::Result<()> {
    let len = u32::try_from(update.stored_len()).expect("an update is at most 256 MiB");
    let mut hasher = blake3::Hasher::new();
    for chunk in update.chunks() {
        hasher.update(&chunk);
    }
    to.write_all(&len.to_be_bytes())?;
    to.write_all(&hasher.finalize().as_bytes()[..CHECKSUM])?;
    update.chunks().try_for_each(|chunk| to.write_all(&chunk))
}

/// Reads the good part of a file.
pub(super) fn parse(bytes: &Bytes) -> Found {
    let Some((name, rest)) = bytes.split_first_chunk::<7>() else {
        return Found::nothing(match bytes.len() {
            0 => "it is empty".to_owned(),
            len => format!("it has {len} bytes only"),
        });
    };
    match (*name, rest.first()) {
        (NAME, Some(&VERSION)) => parse_entries(bytes, NAME.len() + 1),
        (NAME, Some(&newer)) if newer > VERSION => {
            Found { complaint: Some(Complaint::Newer(newer)), ..Found::default() }
        }
        (NAME, Some(version)) => Found::nothing(format!("it has the unknown format version {version}")),
        (NAME, None) => Found::nothing("it is cut short after its first bytes"),
        _ => Found::nothing("it is no copy of a configuration: its first bytes are others"),
    }
}

/// Whether an update starts from `end`, the end of the one before it (`None`: it is the first).
pub(in super::super) fn follows(end: Option<Position>, next: &UpdateHeader) -> bool {
    let from = match next.mode {
        Mode::Snapshot => return end.is_none(),
        Mode::Delta => next.from,
        Mode::Repair => next.to,
    };
    end.is_some_and(|end| end.epoch == next.epoch && end.revision == from)
}

fn parse_entries(bytes: &Bytes, start: usize) -> Found {
    let mut found = Found::default();
    let (mut at, mut end) = (start, None);
    while at < bytes.len() {
        match entry(bytes, at, end) {
            Ok((update, next)) => {
                at = next;
                if found.updates.is_empty() {
                    found.snapshot_len = at as u64;
                }
                end = Some(update.header.position());
                found.updates.push(update);
            }
            Err(reason) => {
                found.complaint = Some(Complaint::Damaged(format!("the entry at byte {at} {reason}")));
                break;
            }
        }
    }
    if found.updates.is_empty() && found.complaint.is_none() {
        found.complaint = Some(Complaint::Damaged("it holds no entry".into()));
    }
    found.good_len = at as u64;
    found
}

fn entry(bytes: &Bytes, at: usize, before: Option<Position>) -> Result<(Update, usize), String> {
    let head = bytes.get(at..at + ENTRY_HEAD).ok_or("is cut short")?;
    let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let start = at + ENTRY_HEAD;
    let end = start.checked_add(len).filter(|end| *end <= bytes.len()).ok_or("is cut short")?;
    let body = bytes.slice(start..end);
    if checksum(&body) != head[4..] {
        return Err("has a wrong checksum".into());
    }
    let update = Update::from_bytes(&body).map_err(|error| format!("cannot be read: {error}"))?;
    if follows(before, &update.header) {
        Ok((update, end))
    } else {
        Err(format!("is out of order: {}", out_of_order(before, &update.header)))
    }
}

fn out_of_order(before: Option<Position>, header: &UpdateHeader) -> String {
    let mode = header.mode.as_str();
    match before {
        None => format!("a {mode} to revision {} without a snapshot before it", header.to),
        Some(before) => format!(
            "a {mode} from revision {} to {} of epoch {} after revision {} of epoch {}",
            header.from, header.to, header.epoch, before.revision, before.epoch
        ),
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&blake3::hash(body).as_bytes()[..CHECKSUM]);
    checksum
}
