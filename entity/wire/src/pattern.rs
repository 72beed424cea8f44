//! Regular expressions of routes: compiled by the same code where they are accepted and where they are
//! used, with the same limits.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::parse::Parser;

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
    // Alone, before it is put in a group: `/a)|(/b` would leave the group, and its anchor with it.
    Parser::new().parse(pattern).map_err(|error| regex::Error::Syntax(error.to_string()))?;
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

impl PatternError {
    /// What is wrong, in one line: the parser's own message is a drawing over several.
    pub fn reason(&self) -> String {
        let text = self.0.to_string();
        let last = text.lines().last().unwrap_or_default().trim();
        last.strip_prefix("error: ").unwrap_or(last).to_owned()
    }
}

fn compile(pattern: &str) -> Result<Regex, PatternError> {
    Ok(RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_anchored_at_their_start_alone() {
        let regex = compile_path(r"/a|/b(?<rest>\d+)").unwrap();
        for (path, matches) in [("/a", true), ("/ax", true), ("/x/a", false), ("/b1", true), ("/b", false)] {
            assert_eq!(regex.is_match(path), matches, "{path}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_a_reason() {
        for (pattern, reason) in [
            ("/(", "unclosed group"),
            ("/a)|(/b", "unopened group"),
            ("/[z-a]", "invalid character class range"),
            ("/(?=a)", "look-around"),
            (r"/(a)\1", "backreferences are not supported"),
            (r"/\w{1000}{1000}", "exceeds size limit"),
        ] {
            let error = compile_path(pattern).unwrap_err().reason();
            assert!(error.contains(reason), "{pattern}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(HeaderPattern::parse("~*a)|(b").is_err());
        assert!(matches!(HeaderPattern::parse("Text"), Ok(HeaderPattern::Value(value)) if value == "text"));
    }
}
