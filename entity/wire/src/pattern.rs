//! Regular expressions of routes. The control plane that accepts them and the data plane that uses them
//! compile them with the same code and the same limits.

mod spelling;

use regex::{Regex, RegexBuilder, RegexSetBuilder};
use regex_syntax::ast::parse::Parser;
use regex_syntax::hir::literal::Extractor;

/// A pattern that does not compile or exceeds a limit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(#[from] regex::Error);

/// The most bytes of a compiled expression: one route must not use the memory of thousands.
const SIZE_LIMIT: usize = 1 << 20;
/// The most bytes of a path's compiled expression. The worst case of a match is proportional to this and to
/// the length of the path.
const PATH_SIZE_LIMIT: usize = 1 << 17;
/// The most bytes of all compiled expressions of one route.
const TOGETHER: usize = 4 << 20;

/// The regular expression of a route's path.
#[derive(Clone, Debug)]
pub struct PathRegex {
    /// The expression, anchored at its start.
    pub regex: Regex,
    /// A literal with which every match begins. It may be shorter than possible.
    pub literal: String,
}

/// Compiles the regular expression of a route's path (without its leading `~`), anchored at its start.
/// Characters that canonical paths encode may be written unencoded, and encodings in any spelling: `~/ü|` and
/// `~/%c3%bc%7c` are the same.
///
/// # Errors
/// The expression does not parse, or would exceed the limit once compiled.
pub fn compile_path(pattern: &str) -> Result<PathRegex, PatternError> {
    let syntax = |error: String| PatternError(regex::Error::Syntax(error));
    // The pattern is parsed alone before it goes into a group: `/a)|(/b` would close the group and lose its
    // anchor.
    Parser::new().parse(pattern).map_err(|error| syntax(error.to_string()))?;
    let anchored = format!("^(?:{pattern})");
    let written = regex_syntax::parse(&anchored).map_err(|error| syntax(error.to_string()))?;
    let canonical = spelling::canonical(&written);
    let text = if canonical == written { anchored } else { canonical.to_string() };
    let prefixes = Extractor::new().extract(&canonical);
    let literal = prefixes.longest_common_prefix().and_then(|literal| std::str::from_utf8(literal).ok());
    Ok(PathRegex { regex: compile(&text, PATH_SIZE_LIMIT)?, literal: literal.unwrap_or_default().to_owned() })
}

/// A pattern for the values of one request header.
#[derive(Clone, Debug)]
pub enum HeaderPattern {
    /// A value, compared without regard to case; stored in lower case.
    Value(String),
    /// A regular expression, written `~*…`, without regard to case.
    Regex(Regex),
}

impl HeaderPattern {
    /// The prefix of a value that is a regular expression.
    pub const MARK: &str = "~*";

    /// Parses one listed value of a route's `headers`.
    ///
    /// # Errors
    /// Those of [`compile_path`].
    pub fn parse(value: &str) -> Result<Self, PatternError> {
        match value.strip_prefix(Self::MARK) {
            Some(pattern) => compile(&format!("(?i){pattern}"), SIZE_LIMIT).map(Self::Regex),
            None => Ok(Self::Value(value.to_ascii_lowercase())),
        }
    }
}

impl PatternError {
    /// The reason in one line: the parser's own message is a drawing over several.
    pub fn reason(&self) -> String {
        let text = self.0.to_string();
        let last = text.lines().last().unwrap_or_default().trim();
        last.strip_prefix("error: ").unwrap_or(last).to_owned()
    }
}

/// Checks that expressions that each compile are small enough together.
pub(crate) fn check_together(patterns: &[&str]) -> Result<(), String> {
    let grouped = patterns.iter().map(|pattern| format!("^(?:{pattern})"));
    match RegexSetBuilder::new(grouped).size_limit(TOGETHER).build() {
        Err(regex::Error::CompiledTooBig(_)) => Err(format!(
            "the {} regular expressions of a route must have together at most {TOGETHER} bytes once compiled",
            patterns.len()
        )),
        _ => Ok(()),
    }
}

fn compile(pattern: &str, size_limit: usize) -> Result<Regex, PatternError> {
    Ok(RegexBuilder::new(pattern).size_limit(size_limit).dfa_size_limit(SIZE_LIMIT).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_anchored_at_their_start_alone() {
        let regex = compile_path(r"/a|/b(?<rest>\d+)").unwrap().regex;
        for (path, matches) in [("/a", true), ("/ax", true), ("/x/a", false), ("/b1", true), ("/b", false)] {
            assert_eq!(regex.is_match(path), matches, "{path}");
        }
    }

    #[test]
    fn literals_are_what_every_match_begins_with() {
        for (pattern, literal) in [
            (r"/users/\d+$", "/users/"),
            ("/users?", "/user"),
            ("/users*", "/user"),
            ("/a{0,2}", "/"),
            ("/users+", "/users"),
            ("/a|/b", "/"),
            ("(?i)/a", "/"),
            ("(?<id>/a)", "/a"),
            ("/a.b", "/a"),
            ("/plain", "/plain"),
            ("/%c3%bc/x+", "/%C3%BC/x"),
            ("/\u{fc}\"", "/%C3%BC%22"),
            ("/%c[3]", "/%C3"),
            ("", ""),
        ] {
            assert_eq!(compile_path(pattern).unwrap().literal, literal, "{pattern}");
        }
    }

    #[test]
    fn spellings_of_a_pattern_match_the_canonical_path() {
        for (pattern, path, matches) in [
            ("/\u{fc}/$", "/%C3%BC/", true),
            ("/%c3%bc/$", "/%C3%BC/", true),
            ("(?i)/\u{fc}$", "/%C3%9C", true),
            ("/[\u{e4}\u{fc}]+$", "/%C3%BC%C3%A4", true),
            ("/[\u{e4}\u{fc}]$", "/%C3%B6", false),
            (r"/a\|b$", "/a%7Cb", true),
            (r#"/\{"x"\}$"#, "/%7B%22x%22%7D", true),
            (r"/a\\b$", "/a%5Cb", true),
            ("/%61dmin$", "/admin", true),
            ("/%[0-9A-F]{2}$", "/%7C", true),
            (r"/a\sb$", "/a%20b", true),
            ("/[^/]+$", "/%C3%BC", true),
            (r"/\d+/\w+/.+$", "/12/a_b/%C3%BC", true),
            (r"/\d+$", "/12x", false),
            (r"/\w{1,200}$", "/abc", true),
            ("/(\u{fc})+x$", "/%C3%BC%C3%BCx", true),
            ("/a%2fb$", "/a%2Fb", true),
        ] {
            assert_eq!(compile_path(pattern).unwrap().regex.is_match(path), matches, "{pattern} {path}");
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
