//! A request that two routes match, found from their criteria.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::SampleRequest;
use crate::Route;
use crate::routing::{HeaderPattern, compile_path, normalize_path, split_port};

/// The most characters that a repetition adds to a sample.
const REPEATED: u32 = 64;

/// A request that two routes may both match, `a` by one of its paths and `b` by one of its own; `None` if
/// none was found.
pub(super) fn common(a: &Route, path_of_a: usize, b: &Route, path_of_b: usize) -> Option<SampleRequest> {
    let (host, port) = host(list(a.hosts.as_ref()), list(b.hosts.as_ref()))?;
    Some(SampleRequest {
        method: method(list(a.methods.as_ref()), list(b.methods.as_ref()))?,
        host,
        port,
        path: path(path_at(a, path_of_a), path_at(b, path_of_b))?,
        headers: headers(a).chain(headers(b)).collect(),
    })
}

fn list(values: Option<&Vec<String>>) -> &[String] {
    values.map(Vec::as_slice).unwrap_or_default()
}

fn path_at(route: &Route, index: usize) -> Option<&str> {
    list(route.paths.as_ref()).get(index).map(String::as_str)
}

fn method(a: &[String], b: &[String]) -> Option<String> {
    match (a, b) {
        ([], []) => Some("GET".to_owned()),
        ([], [first, ..]) | ([first, ..], []) => Some(first.clone()),
        _ => a.iter().find(|method| b.contains(method)).cloned(),
    }
}

/// A host that a pattern of each list accepts, and a port.
fn host(a: &[String], b: &[String]) -> Option<(String, u16)> {
    let any = [String::new()];
    let (a, b) = (if a.is_empty() { &any } else { a }, if b.is_empty() { &any } else { b });
    a.iter().find_map(|one| b.iter().find_map(|other| common_host(one, other)))
}

fn common_host(one: &str, other: &str) -> Option<(String, u16)> {
    let (one, port) = split(one);
    let (other, other_port) = split(other);
    let port = match (port, other_port) {
        (Some(port), Some(other)) if port != other => return None,
        (port, other) => port.or(other).unwrap_or(80),
    };
    Some((common_name(one, other)?, port))
}

fn split(pattern: &str) -> (&str, Option<u16>) {
    match split_port(pattern) {
        Some((name, port)) => (name, port.parse().ok()),
        None => (pattern, None),
    }
}

fn common_name(one: &str, other: &str) -> Option<String> {
    let wild = |name: &str| name.contains('*');
    match (one, other) {
        ("", "") => Some("example.test".to_owned()),
        ("", name) | (name, "") => Some(name.replace('*', "sample")),
        (one, other) if !wild(one) && !wild(other) => one.eq_ignore_ascii_case(other).then(|| one.to_owned()),
        (exact, pattern) | (pattern, exact) if !wild(exact) => {
            accepts(pattern, exact).then(|| exact.to_owned())
        }
        (one, other) => {
            // The longer of two endings, or of two beginnings; or a beginning and an ending together.
            let joined = match (one.strip_suffix('*'), other.strip_prefix('*')) {
                (Some(begin), Some(end)) => Some(format!("{}{end}", begin.trim_end_matches('.'))),
                _ => None,
            };
            let longer = if one.len() >= other.len() { one } else { other };
            let candidates = [joined, Some(longer.replace('*', "sample"))];
            candidates.into_iter().flatten().find(|name| accepts(one, name) && accepts(other, name))
        }
    }
}

fn accepts(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.len() > end.len() && name.ends_with(end),
        (_, Some(begin)) => name.len() > begin.len() && name.starts_with(begin),
        _ => pattern == name,
    }
}

/// A path that both accept; `None` stands for a route without paths.
fn path(one: Option<&str>, other: Option<&str>) -> Option<String> {
    let candidates = [one, other].map(|path| path.map_or_else(|| Some("/".to_owned()), of_path));
    let fits = |path: &str, candidate: &String| match path.strip_prefix('~') {
        Some(pattern) => compile_path(pattern).is_ok_and(|regex| regex.regex.is_match(candidate)),
        None => candidate.starts_with(path),
    };
    let fits_both = |candidate: &String| [one, other].into_iter().flatten().all(|path| fits(path, candidate));
    candidates
        .into_iter()
        .flatten()
        .find(|candidate| normalize_path(candidate).is_none() && fits_both(candidate))
}

/// A path that a route's path accepts.
fn of_path(path: &str) -> Option<String> {
    match path.strip_prefix('~') {
        Some(pattern) => of_regex(pattern),
        None => Some(path.to_owned()),
    }
}

/// A text that a regular expression matches from its beginning.
fn of_regex(pattern: &str) -> Option<String> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let mut text = String::new();
    sample(&hir, &mut text);
    Some(text)
}

fn sample(hir: &Hir, text: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => text.extend(of_class(class)),
        HirKind::Repetition(repetition) => {
            (0..repetition.min.min(REPEATED)).for_each(|_| sample(&repetition.sub, text));
        }
        HirKind::Capture(capture) => sample(&capture.sub, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| sample(part, text)),
        HirKind::Alternation(choices) => choices.iter().take(1).for_each(|choice| sample(choice, text)),
    }
}

/// A character of a class, a letter or digit if it has one.
fn of_class(class: &Class) -> Option<char> {
    let has = |character: char| match class {
        Class::Unicode(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&character)),
        Class::Bytes(class) => class.iter().any(|range| {
            u8::try_from(character).is_ok_and(|byte| (range.start()..=range.end()).contains(&byte))
        }),
    };
    ('a'..='z').chain('0'..='9').chain('A'..='Z').chain("-._~/".chars()).find(|character| has(*character))
}

/// One value for each header of a route.
fn headers(route: &Route) -> impl Iterator<Item = (String, String)> {
    let value = |pattern: &str| match pattern.strip_prefix(HeaderPattern::MARK) {
        Some(regex) => of_regex(regex),
        None => Some(pattern.to_owned()),
    };
    let all = route.headers.iter().flatten();
    all.filter_map(move |(name, values)| Some((name.clone(), value(values.first()?)?)))
}
