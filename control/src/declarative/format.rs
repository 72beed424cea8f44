//! The formats of a document: JSON and YAML.

use std::path::Path;

use serde::de::DeserializeSeed;
use thiserror::Error;

use super::budget::Budget;
use super::builder::Builder;
use super::current::Current;
use super::difference::Difference;
use super::errors::Errors;
use super::header::{COMPLETE, Header, HeaderSeed};
use super::options::ReadOptions;
use super::stream::DocumentSeed;
use crate::bounded::MARK;

/// The format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML 1.2, one document. Only `true` and `false` are booleans.
    Yaml,
}

/// Why a document was not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not in the format, or exceeds a bound.
    #[error("failed parsing declarative configuration: {0}")]
    Unreadable(String),
    /// It has errors.
    #[error("{}", .0.message())]
    Invalid(Box<Errors>),
    /// It needs more than this many bytes of memory.
    #[error("the configuration needs more than {0} bytes of memory")]
    TooLarge(usize),
}

impl Format {
    /// The format by the ending of a file's name.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// The format of a text of which nothing else is known.
    pub fn of_text(text: &[u8]) -> Self {
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// Reads a document, and compares it with the current configuration.
///
/// # Errors
/// When it cannot be read, has errors, or needs more memory than the budget has.
pub fn read(
    text: &[u8],
    format: Format,
    options: &ReadOptions<'_>,
    current: &mut Current,
    budget: &mut Budget,
) -> Result<Difference, ReadError> {
    let header = read_header(text, format)?;
    let mut builder = Builder::new(options, header, current, budget);
    let read = parse_with(text, format, DocumentSeed(&mut builder));
    if let Some(most) = builder.budget().exceeded() {
        return Err(ReadError::TooLarge(most));
    }
    read.map_err(ReadError::Unreadable)?;
    match builder.finish() {
        Ok(Ok(difference)) => Ok(difference),
        Ok(Err(errors)) => Err(ReadError::Invalid(Box::new(errors))),
        Err(_) => Err(ReadError::TooLarge(budget.exceeded().unwrap_or_default())),
    }
}

/// The tags that a document itself selects entities by.
///
/// # Errors
/// When its beginning cannot be read.
pub fn select_tags(text: &[u8], format: Format) -> Result<Vec<String>, ReadError> {
    read_header(text, format).map(|header| header.select_tags().to_vec())
}

fn read_header(text: &[u8], format: Format) -> Result<Header, ReadError> {
    let mut header = Header::default();
    match parse_with(text, format, HeaderSeed(&mut header)) {
        Err(message) if !message.contains(COMPLETE) => Err(ReadError::Unreadable(message)),
        _ => Ok(header),
    }
}

/// Runs a seed over a text. No message repeats any of the text, which may be a secret.
///
/// # Errors
/// The message.
pub(crate) fn parse_with<S>(text: &[u8], format: Format, seed: S) -> Result<(), String>
where
    S: for<'de> DeserializeSeed<'de, Value = ()>,
{
    match format {
        Format::Json => run_json(text, seed),
        Format::Yaml => run_yaml(text, seed),
    }
}

fn run_json<'de>(text: &'de [u8], seed: impl DeserializeSeed<'de, Value = ()>) -> Result<(), String> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let read = seed.deserialize(&mut from).and_then(|()| from.end());
    read.map_err(|error| described(&error.to_string(), error.line(), error.column(), "JSON"))
}

fn run_yaml<'de>(text: &'de [u8], seed: impl DeserializeSeed<'de, Value = ()>) -> Result<(), String> {
    let read = serde_saphyr::with_deserializer_from_slice_with_options(text, yaml_options(), |from| {
        seed.deserialize(from)
    });
    read.map_err(|error| {
        let location = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
        let place = |number: u64| usize::try_from(number).unwrap_or_default();
        described(&error.to_string(), place(location.line()), place(location.column()), "YAML")
    })
}

/// Formats an error: a bound with its message, anything else by its place alone.
fn described(message: &str, line: usize, column: usize, format: &str) -> String {
    if message.contains(COMPLETE) {
        return COMPLETE.to_owned();
    }
    match message.split_once(MARK) {
        Some((_, bound)) => {
            let bound = bound.split(" at line ").next().unwrap_or(bound);
            format!("{}, at line {line}, column {column}", bound.lines().next().unwrap_or(bound))
        }
        None => format!("it is not {format} from line {line}, column {column}"),
    }
}

/// Levels of lists and records in a document: those of an entity, and those of entities in one another.
const DEPTH: usize = 32;
/// Aliases of a document.
const ALIASES: usize = 10_000;
/// Values that aliases add, and values that anchors keep.
const REPEATED: usize = 1_000_000;
/// Bytes that anchors keep.
const ANCHORED: usize = 64 << 20;

/// Without bounds on the size, which the length of the text has already.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_documents: 1,
            max_aliases: ALIASES,
            max_anchors: ALIASES,
            max_merge_keys: ALIASES,
            max_recorded_anchor_events: REPEATED,
            max_recorded_anchor_bytes: ANCHORED,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPEATED,
            max_replay_stack_depth: DEPTH,
        },
        emit_comments: false,
        strict_booleans: true,
        with_snippet: false,
    }
}
