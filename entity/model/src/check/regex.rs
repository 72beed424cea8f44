//! Regular expressions.

use crate::routing::pattern;

/// Checks a regular expression; [`crate::compile_text`] compiles it.
pub(crate) fn regex(text: &str) -> Result<(), String> {
    pattern::check_written_text(text).map_err(|_| format!("not a valid regex: {text}"))
}
