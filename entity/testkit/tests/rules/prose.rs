//! How the prose is written: in Markdown and in the documentation of the code.

use crate::assert_none;
use crate::text::files;

/// Columns of a line of Markdown.
const COLUMNS: usize = 110;

/// Phrases that a reader has to decode, and what to say instead. `a|b c` stands for "a c" and "b c".
const BANNED: &[(&str, &str)] = &[
    ("is|are|was|were|be|been told", "name who says what, or: reads, receives, is configured with"),
    ("leads|lead|led on", "follows, continues"),
    ("is|are|was|were|be had", "is available, can be read"),
    ("puts|put|putting back", "restores, restored"),
    ("in force", "active, applied"),
    ("anew", "again, new"),
    ("as of", "since, from, like"),
    ("taken|takes|take for", "counted as, treated as"),
    ("who has", "name the thing: the data plane that …"),
    ("what of", "name the thing"),
    ("where it was", "name the revision"),
    ("is|are|was|were spoken", "is used, is negotiated"),
];

#[test]
fn markdown_has_short_lines() {
    let markdown = files().into_iter().filter(|(path, _)| path.ends_with(".md"));
    let breaches = markdown.flat_map(|(path, text)| long_lines(&path, &text));
    assert_none("a line of Markdown has at most 110 columns", &breaches.collect::<Vec<_>>());
}

#[test]
fn prose_is_plain() {
    let mut breaches = Vec::new();
    for (path, text) in files() {
        let prose = match path.rsplit_once('.') {
            _ if path == "entity/testkit/tests/rules/prose.rs" => continue,
            Some((_, "md")) => markdown_prose(&text),
            Some((_, "rs")) => documentation(&text),
            _ => continue,
        };
        breaches.extend(banned(&path, &prose));
    }
    assert_none("prose is plain English, by the words of the field", &breaches);
}

#[test]
fn breaches_of_prose_would_be_found() {
    let found = |text: &str| banned("a", &documentation(text)).len();
    assert_eq!(found("/// The session is told of it."), 1);
    assert_eq!(found("/// An old file stays in\n/// force until then."), 1, "over the end of a line");
    assert_eq!(found("//! Anew, and as\n//! of then."), 2);
    assert_eq!(found("// The session is told of it.\nlet told = \"is told\";"), 0, "documentation only");
    assert_eq!(found("/// `put back` stands in quotes.\n/// The renewal, and canewaste."), 0);
    assert_eq!(found("/// It is\n\n/// told."), 0, "two paragraphs");

    let markdown = |text: &str| banned("a", &markdown_prose(text)).len();
    assert_eq!(markdown("- is\n  told\n\n```\nput back\n```\n"), 1);

    let long = "a ".repeat(56);
    assert_eq!(long_lines("a", &format!("{long}\n{}", "é".repeat(110))).len(), 1);
    assert_eq!(
        long_lines("a", &format!("| {long} |\n```\n{long}\n```\nhttp://{}", "a".repeat(200))).len(),
        0
    );
}

/// A line of prose and its number; an empty one ends a paragraph.
type Line = (usize, String);

/// Without code.
fn markdown_prose(text: &str) -> Vec<Line> {
    let mut fenced = false;
    let lines = text.lines().enumerate().map(|(i, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        let prose = if fenced || fence { "" } else { line.trim_start_matches([' ', '-', '>', '#', '*']) };
        (i + 1, prose.to_owned())
    });
    lines.collect()
}

/// What stands after `///` and `//!`.
fn documentation(text: &str) -> Vec<Line> {
    let comments = text.lines().enumerate().map(|(i, line)| {
        let line = line.trim_start();
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).unwrap_or_default();
        (i + 1, comment.trim_start().to_owned())
    });
    let mut rest: Vec<Line> = comments.collect();
    let texts = rest.iter().map(|(_, line)| line.clone()).collect::<Vec<_>>().join("\n");
    for (line, (_, kept)) in rest.iter_mut().zip(markdown_prose(&texts)) {
        line.1 = kept;
    }
    rest
}

/// Where a phrase stands, also over the end of a line. Quoted code is none of it.
fn banned(path: &str, prose: &[Line]) -> Vec<String> {
    let words = words(prose);
    let mut found = Vec::new();
    for (phrase, instead) in BANNED {
        let alternatives = phrases(phrase);
        for at in 0..words.len() {
            let here = alternatives.iter().find(|phrase| begins_with(&words[at..], phrase));
            found.extend(
                here.map(|here| format!("{path}:{}: \"{}\": {instead}", words[at].0, here.join(" "))),
            );
        }
    }
    found
}

/// `a|b c`: the phrases "a c" and "b c".
fn phrases(pattern: &str) -> Vec<Vec<&str>> {
    let (first, rest) = pattern.split_once(' ').unwrap_or((pattern, ""));
    first.split('|').map(|first| [first].into_iter().chain(rest.split_whitespace()).collect()).collect()
}

fn begins_with(words: &[(usize, String)], phrase: &[&str]) -> bool {
    words.len() >= phrase.len() && words.iter().zip(phrase).all(|((_, word), part)| word == part)
}

/// Words in lower case; an empty one stands for whatever separates phrases.
fn words(prose: &[Line]) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (number, line) in prose {
        let mut word = String::new();
        let mut code = false;
        for c in line.chars().chain([' ']) {
            if c.is_alphanumeric() && !code {
                word.extend(c.to_lowercase());
                continue;
            }
            if !word.is_empty() {
                words.push((*number, std::mem::take(&mut word)));
            }
            code ^= c == '`';
            if c != ' ' {
                words.push((*number, String::new()));
            }
        }
        if line.is_empty() {
            words.push((*number, String::new()));
        }
    }
    words
}

/// But rows of tables, code, and what has no place to break.
fn long_lines(path: &str, text: &str) -> Vec<String> {
    let raw: Vec<_> = text.lines().collect();
    let long = markdown_prose(text).into_iter().filter(|(number, prose)| {
        let line = raw[number - 1];
        let breakable = line.trim_start_matches([' ', '-', '>', '*']).contains(' ');
        !prose.is_empty() && !prose.starts_with('|') && breakable && line.chars().count() > COLUMNS
    });
    long.map(|(number, _)| format!("{path}:{number}: {} columns", raw[number - 1].chars().count())).collect()
}
