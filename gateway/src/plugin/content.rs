//! Queries and bodies that plugins read and change: form arguments, JSON objects, multipart forms.
//!
//! Every form is bounded in what it holds, beside the bound of the body itself: an entry costs far more memory than
//! the two bytes that it may take in a body.

mod arguments;
mod editable;
#[cfg(test)]
mod fuzz;
mod json;
mod media_type;
mod multipart;

pub(super) use arguments::{Arguments, encode_component};
pub(super) use json::{Json, Path};
pub(super) use media_type::{MediaType, media_type};
pub(super) use multipart::Multipart;

pub(super) use super::edits::TooManyEntries;

/// The most entries of one body or query: arguments, parts, or members of one object.
const ENTRIES: usize = 20_000;
