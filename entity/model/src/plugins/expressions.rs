//! Regular expressions of plugins over short texts of a request: compiled by the same code where they are accepted
//! and where they are used.

use regex::{RegexSet, RegexSetBuilder};

use crate::routing::{PatternError, pattern};

/// The most bytes of all compiled expressions of one list. What a match takes at worst is in proportion to this and
/// to the length of the text.
const TOGETHER: usize = 1 << 20;

/// Compiles the expressions of a list.
///
/// # Errors
/// One does not parse, or all together exceed the limit.
pub fn compile_all<T: AsRef<str>>(
    expressions: impl IntoIterator<Item = T>,
) -> Result<RegexSet, PatternError> {
    Ok(RegexSetBuilder::new(expressions).size_limit(TOGETHER).dfa_size_limit(TOGETHER).build()?)
}

/// Checks one expression, by a narrower limit.
pub(super) fn check(expression: &str) -> Result<(), PatternError> {
    pattern::check_written_text(expression)
}

/// Checks expressions that are each valid for their size together.
pub(super) fn check_together<T: AsRef<str>>(expressions: &[T]) -> Result<(), String> {
    match compile_all(expressions) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "the {} regular expressions must have together at most {TOGETHER} bytes once compiled",
            expressions.len()
        )),
    }
}
