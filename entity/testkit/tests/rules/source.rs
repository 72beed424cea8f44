//! Rust source as the rules read it: a list of tokens without comments, the text of literals kept apart.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path from the top of the checkout.
    pub(crate) path: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A name, a number, or punctuation; `::` is one token.
    Code,
    /// The text of a string.
    Literal,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), tokens: tokenize(text) }
    }

    /// Removes the modules and functions under `#[cfg(test)]`.
    pub(crate) fn without_tests(mut self) -> Self {
        let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
        while let Some(start) = self.find(&marker) {
            let end = item_end(&self.tokens, start + marker.len());
            self.tokens.drain(start..end);
        }
        self
    }

    /// Finds paths through this crate or module: `name::…`, or `name` in a `use`.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut in_use = false;
        for (i, token) in self.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Code) {
            in_use = (in_use || token.text == "use") && token.text != ";";
            let field = i > 0 && self.tokens[i - 1].text == ".";
            if token.text == name && !field && (in_use || self.text(i + 1) == "::") {
                found.push(self.at(i, name));
            }
        }
        found
    }

    /// All tokens with their lines; a literal is an empty one.
    pub(crate) fn words(&self) -> Vec<(usize, &str)> {
        (0..self.tokens.len()).map(|i| (self.tokens[i].line, self.text(i))).collect()
    }

    /// Finds this sequence of tokens.
    pub(crate) fn says(&self, sequence: &[&str]) -> Vec<String> {
        let starts = (0..self.tokens.len()).filter(|&i| self.is_at(sequence, i));
        starts.map(|i| self.at(i, &sequence.concat())).collect()
    }

    /// Finds three tokens in a row that satisfy the condition.
    pub(crate) fn triples(&self, condition: impl Fn(&str, &str, &str) -> bool) -> Vec<String> {
        let at = |i| [self.text(i), self.text(i + 1), self.text(i + 2)];
        let found = (0..self.tokens.len()).filter(|&i| matches!(at(i), [a, b, c] if condition(a, b, c)));
        found.map(|i| self.at(i, &at(i).concat())).collect()
    }

    /// Finds attributes `#[name(…)]` or `#![name(…)]` that do not contain `word`.
    pub(crate) fn attributes_without(&self, name: &str, word: &str) -> Vec<String> {
        let begins =
            |i: usize| self.is_at(&["#", "[", name, "("], i) || self.is_at(&["#", "!", "[", name, "("], i);
        let says = |i: usize| {
            (i..self.tokens.len())
                .map(|i| self.text(i))
                .take_while(|text| *text != "]")
                .any(|text| text == word)
        };
        let found = (0..self.tokens.len()).filter(|&i| begins(i) && !says(i));
        found.map(|i| self.at(i, name)).collect()
    }

    /// Finds strings whose text satisfies the condition.
    pub(crate) fn literals(&self, condition: impl Fn(&str) -> bool) -> Vec<String> {
        let literals = self.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Literal);
        literals
            .filter(|(_, token)| condition(&token.text))
            .map(|(i, token)| self.at(i, &token.text))
            .collect()
    }

    fn find(&self, sequence: &[&str]) -> Option<usize> {
        (0..self.tokens.len()).find(|&i| self.is_at(sequence, i))
    }

    fn is_at(&self, sequence: &[&str], start: usize) -> bool {
        sequence.iter().enumerate().all(|(i, text)| self.text(start + i) == *text)
    }

    /// The text of a token of code; empty past the end.
    fn text(&self, i: usize) -> &str {
        self.tokens.get(i).filter(|token| token.kind == Kind::Code).map_or("", |token| &token.text)
    }

    fn at(&self, i: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, self.tokens[i].line)
    }
}

/// The sources of a module and of those below it: of `a/b`, the files `a/b.rs` and `a/b/**.rs`.
pub(crate) fn module(path: &str) -> Vec<Source> {
    let (file, folder) = (root().join(format!("{path}.rs")), root().join(path));
    let mut paths = Vec::new();
    if folder.is_dir() {
        collect(&folder, &mut paths);
    }
    paths.extend(file.is_file().then_some(file));
    paths.sort();
    assert!(!paths.is_empty(), "there is no module {path}: a rule is about it");
    paths.iter().map(|path| read(path)).collect()
}

/// Whether a file belongs to the module, or to one below it.
pub(crate) fn is_within(file: &str, module: &str) -> bool {
    file.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// All sources of these folders, without the files beside them that are for tests.
pub(crate) fn below(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Whether the file contains only tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root()).expect("it was found below the root");
    Source::parse(&path.to_string_lossy(), &text)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("a folder can be read").path()) {
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, token) = lex(rest, first);
        if let Some((kind, text)) = token {
            tokens.push(Token { line, kind, text: text.to_owned() });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The length of the token at the beginning, and its kind and text, if it is one.
fn lex(rest: &str, first: char) -> (usize, Option<(Kind, &str)>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some((length, text)) = string(rest) {
        return (length, Some((Kind::Literal, text)));
    }
    if first == '\'' {
        return (character_or_lifetime(rest), None);
    }
    if first.is_whitespace() {
        return (first.len_utf8(), None);
    }
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let length = match word {
        0 if rest.starts_with("::") => 2,
        0 => first.len_utf8(),
        word => word,
    };
    (length, Some((Kind::Code, &rest[..length])))
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// A string `"…"`, also with `b` or `c` before it, or raw.
fn string(rest: &str) -> Option<(usize, &str)> {
    let prefix = rest.find(|c: char| !matches!(c, 'b' | 'c' | 'r'))?;
    let raw = rest[..prefix].ends_with('r');
    let hashes = if raw { rest[prefix..].chars().take_while(|c| *c == '#').count() } else { 0 };
    let start = prefix + hashes + 1;
    if prefix > 2 || !rest[prefix + hashes..].starts_with('"') {
        return None;
    }
    let end = if raw {
        rest[start..].find(&format!("\"{}", "#".repeat(hashes))).map_or(rest.len(), |at| start + at)
    } else {
        escaped_end(rest, start)
    };
    Some(((end + 1 + hashes).min(rest.len()), &rest[start..end]))
}

/// The end of the string that began before `start`: its closing quote.
fn escaped_end(rest: &str, start: usize) -> usize {
    let mut escaped = false;
    for (at, c) in rest[start..].char_indices() {
        match c {
            '"' if !escaped => return start + at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

fn character_or_lifetime(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        // The character after the backslash may be a quote itself.
        (Some((_, '\\')), Some((at, c))) => {
            let after = at + c.len_utf8();
            rest[after..].find('\'').map_or(rest.len(), |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The end of the item that begins at `start`: past its block, or past its semicolon if that comes first.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(start).filter(|(_, token)| token.kind == Kind::Code) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return i + 1,
            "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[test]
fn comments_and_literals_are_no_code() {
    let source = Source::parse(
        "a.rs",
        r##"
        // use pingora::A;
        /* pingora::B /* nested */ pingora::C */
        const T: &str = "pingora::D \" pingora::E";
        const R: &[u8] = br#"a " pingora::F"#;
        fn f<'a>(x: &'a str) -> char { if x == "" { '"' } else { '\'' } }
        use pingora_core::{self as core, apps};
        type S = ::pingora::Server;
        "##,
    );
    assert_eq!(source.names("pingora"), ["a.rs:8: pingora"]);
    assert_eq!(source.names("pingora_core"), ["a.rs:7: pingora_core"]);
    assert_eq!(source.literals(|text| text.contains("pingora")).len(), 2);
}

#[test]
fn a_name_counts_as_a_path_or_in_a_use_only() {
    let source = Source::parse(
        "a.rs",
        "use crate::{cluster, live};\nlet cluster = config.cluster;\nf(self.cluster::<u8>());\ncluster::run();",
    );
    assert_eq!(source.names("cluster"), ["a.rs:1: cluster", "a.rs:4: cluster"]);
}

#[test]
fn tests_are_left_out_whole() {
    let text = "fn a() { one(); }\n#[cfg(test)]\nuse x::y;\n#[cfg(test)]\nmod tests { fn b() { if true { two(); } } }\nfn c() { three(); }";
    let source = Source::parse("a.rs", text).without_tests();
    assert_eq!(source.says(&["one", "("]).len(), 1);
    assert!(source.says(&["two", "("]).is_empty());
    assert_eq!(source.says(&["three", "("]), ["a.rs:6: three("]);
}
