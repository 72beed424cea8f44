//! Regular expressions of routes: compiled by the same code where they are accepted and where they are
//! used. The Admin API has narrower limits than data planes, which take what older versions accepted.

mod spelling;

use regex::{Regex, RegexBuilder, RegexSetBuilder};
use regex_syntax::ast::parse::Parser;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

/// A pattern that does not compile or exceeds a limit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(#[from] regex::Error);

/// The most bytes of a compiled expression: one route must not use the memory of thousands.
const SIZE_LIMIT: usize = 1 << 20;
/// Upper bound of the compiled expression of a path, or of another text, that is written now. What a match takes at
/// worst is in proportion to this and to the length of the text.
const WRITTEN_SIZE_LIMIT: usize = 1 << 17;
/// Upper bound of all compiled expressions of one route.
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
    let written = PathPattern::parse(pattern)?;
    let canonical = written.canonical();
    // The canonical spelling may be larger than what an older version accepted: that stays loadable as it is written.
    let (regex, used) = match compile(&canonical.text, SIZE_LIMIT) {
        Ok(regex) => (regex, canonical),
        Err(_) => (compile(&written.text, SIZE_LIMIT)?, written),
    };
    let prefixes = Extractor::new().extract(&used.hir);
    let literal = prefixes.longest_common_prefix().and_then(|literal| std::str::from_utf8(literal).ok());
    Ok(PathRegex { regex, literal: literal.unwrap_or_default().to_owned() })
}

/// Compiles a regular expression as it is written: for a part of a request that has no canonical form.
///
/// # Errors
/// As [`compile_path`].
pub fn compile_text(pattern: &str) -> Result<Regex, PatternError> {
    compile(pattern, SIZE_LIMIT)
}

/// Checks an expression for [`compile_text`] that is written now: its limit is narrower.
///
/// # Errors
/// As [`compile_path`].
pub(crate) fn check_written_text(pattern: &str) -> Result<(), PatternError> {
    compile(pattern, WRITTEN_SIZE_LIMIT).map(drop)
}

/// Checks the rules for a path's expression that is written now, which are narrower than those of [`compile_path`].
///
/// # Errors
/// As [`compile_path`], and when a class of characters is empty.
pub(crate) fn check_written_path(pattern: &str) -> Result<(), PatternError> {
    let written = PathPattern::parse(pattern)?;
    if spelling::has_empty_class(&written.hir) {
        return Err(syntax("a class of characters is empty, so that nothing can match"));
    }
    compile(&written.canonical().text, WRITTEN_SIZE_LIMIT).map(drop)
}

/// The expression of a path, anchored at its start.
struct PathPattern {
    text: String,
    hir: Hir,
}

impl PathPattern {
    fn parse(pattern: &str) -> Result<Self, PatternError> {
        // Alone, before it is put in a group: `/a)|(/b` would leave the group, and its anchor with it.
        Parser::new().parse(pattern).map_err(syntax)?;
        let text = format!("^(?:{pattern})");
        let hir = regex_syntax::parse(&text).map_err(syntax)?;
        Ok(Self { text, hir })
    }

    /// The same expression over canonical paths.
    fn canonical(&self) -> Self {
        let hir = spelling::canonical(&self.hir);
        let text = if hir == self.hir { self.text.clone() } else { hir.to_string() };
        Self { text, hir }
    }
}

fn syntax(error: impl ToString) -> PatternError {
    PatternError(regex::Error::Syntax(error.to_string()))
}

/// A pattern for the values of one request header.
#[derive(Clone, Debug)]
pub enum HeaderPattern {
    /// A value, compared without regard to case; stored in lower case.
    Value(String),
    /// A regular expression, written `~*…`, without regard to case.
    Regex(Regex),
}

/// Begins an expression that does not regard case.
const ANY_CASE: &str = "(?i)";

impl HeaderPattern {
    /// The prefix of a value that is a regular expression.
    pub const MARK: &str = "~*";

    /// Parses one listed value of a route's `headers`.
    ///
    /// # Errors
    /// Those of [`compile_path`].
    pub fn parse(value: &str) -> Result<Self, PatternError> {
        match value.strip_prefix(Self::MARK) {
            Some(pattern) => compile(&format!("{ANY_CASE}{pattern}"), SIZE_LIMIT).map(Self::Regex),
            None => Ok(Self::Value(value.to_ascii_lowercase())),
        }
    }

    /// The value as it is listed, apart from the case of one that is no expression.
    pub fn declared(&self) -> String {
        match self {
            Self::Value(value) => value.clone(),
            Self::Regex(regex) => {
                let pattern = regex.as_str();
                format!("{}{}", Self::MARK, pattern.strip_prefix(ANY_CASE).unwrap_or(pattern))
            }
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
            (r"/\p{Greek}+$", "/%CE%B1%CE%B2", true),
            (r"/\p{Greek}+$", "/%C3%BC", false),
            (r"/\p{Greek}+$", "/a", false),
            (r"/\p{Han}$", "/%E4%BD%A0", true),
            (r"/\w+$", "/%C3%BC", true),
            (r"/\w$", "/%C3%BC", true),
            (r"/\w$", "/%C3%BC%C3%BC", false),
            (r"/\w+$", "/a%2Fb", false),
            (r"/\d+$", "/%C3%BC", false),
            ("/[^/]$", "/%C3%BC", true),
            ("/[^/]+$", "/a/%C3%BC", false),
            ("/.$", "/%F0%9F%98%80", true),
            ("/.+x$", "/%C3%BCx", true),
            ("/[^a]$", "/%C3%BC", true),
            ("/[^a]$", "/a", false),
            ("/(?i)\u{e9}$", "/%C3%89", true),
            ("/(?i)\u{e9}$", "/%C3%88", false),
            ("/[\u{3b1}-\u{3c9}]+$", "/%CE%B1%CF%89", true),
            ("/[\u{3b1}-\u{3c9}]+$", "/%CF%8A", false),
            ("/[ -\\x7f]+$", "/%20%7F", true),
        ] {
            assert_eq!(compile_path(pattern).unwrap().regex.is_match(path), matches, "{pattern} {path}");
        }
    }

    /// A data plane loads what an older control plane accepted, up to a megabyte as it is written.
    #[test]
    fn large_expressions_compile_and_cannot_be_written() {
        for pattern in [r"/[a-z]{10000}", r"/[a-z]{10}(x|y|z){2000}"] {
            assert!(compile_path(pattern).is_ok(), "{pattern}");
            let error = check_written_path(pattern).unwrap_err().reason();
            assert!(error.contains("exceeds size limit"), "{pattern}: {error}");
        }
        for pattern in ["/[^/]{1,100}/.+$", r"/\w{1,100}$", r"/\d{4}-\d\d$", r"/\p{Greek}+"] {
            assert!(check_written_path(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn empty_classes_cannot_be_written() {
        for pattern in ["/[a&&b]", r"/a[^\x00-\x{10FFFF}]*b"] {
            let error = check_written_path(pattern).unwrap_err().reason();
            assert!(error.contains("a class of characters is empty"), "{pattern}: {error}");
            assert!(compile_path(pattern).is_ok(), "{pattern}");
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
