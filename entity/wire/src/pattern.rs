//! Regular expressions of routes: compiled by the same code where they are accepted and where they are
//! used, with the same limits.

use regex::{Regex, RegexBuilder};

/// A pattern was refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(#[from] regex::Error);

/// Upper bound of a compiled expression in bytes: one route must not take the memory of thousands.
const SIZE_LIMIT: usize = 1 << 20;

/// Compiles the regular expression of a route's path (without its leading `~`), anchored at its start.
///
/// # Errors
/// When it does not parse or would be larger than the limit once compiled.
pub fn compile_path(pattern: &str) -> Result<Regex, PatternError> {
    compile(&format!("^(?:{pattern})"))
}

/// What a route asks of the values of one request header.
#[derive(Clone, Debug)]
pub enum HeaderPattern {
    /// A value, compared without regard to case; held in lower case.
    Value(String),
    /// A regular expression, written `~*…`, without regard to case.
    Regex(Regex),
}

impl HeaderPattern {
    /// Parses one listed value of a route's `headers`.
    ///
    /// # Errors
    /// As [`compile_path`].
    pub fn parse(value: &str) -> Result<Self, PatternError> {
        match value.strip_prefix("~*") {
            Some(pattern) => compile(&format!("(?i){pattern}")).map(Self::Regex),
            None => Ok(Self::Value(value.to_ascii_lowercase())),
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, PatternError> {
    Ok(RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build()?)
}
