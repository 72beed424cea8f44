//! Joins the service's path and the request's path into the upstream path.

use serde::{Deserialize, Serialize};

use crate::types::Word;

/// How service path, route path and request path form the upstream path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathHandling {
    /// Joined with exactly one slash between the parts.
    #[default]
    V0,
    /// Concatenated as they are.
    V1,
}

impl Word for PathHandling {
    const ALL: &'static [Self] = &[Self::V0, Self::V1];

    fn as_str(self) -> &'static str {
        match self {
            Self::V0 => "v0",
            Self::V1 => "v1",
        }
    }
}

/// The path that goes upstream. `base` is the service's path, `/` if it has none. `matched` is the number of
/// bytes of `path` that the route matched; `strip` removes them.
pub fn upstream_path(handling: PathHandling, strip: bool, base: &str, path: &str, matched: usize) -> String {
    let rest = path.get(matched..).unwrap_or_default();
    match (handling, strip) {
        (PathHandling::V0, true) => strip_v0(base, path, without_dots(rest)),
        (PathHandling::V0, false) => keep_v0(base, path),
        (PathHandling::V1, true) => strip_v1(base, without_dots(rest)),
        (PathHandling::V1, false) => base.to_owned() + without_slash(path),
    }
}

/// Joins the two with exactly one slash. When nothing is left of the request's path, a slash at its end
/// stays.
fn strip_v0(base: &str, path: &str, rest: &str) -> String {
    let open = base.strip_suffix('/').unwrap_or(base);
    // The path "/" alone has no slash to keep, except where the base has one as well.
    let ends_open = path.ends_with('/') && (path.len() > 1 || base.ends_with('/'));
    match rest {
        "" if base == "/" => base.to_owned(),
        "" if ends_open => [open, "/"].concat(),
        "" => open.to_owned(),
        _ if rest.starts_with('/') => [open, rest].concat(),
        _ => [open, "/", rest].concat(),
    }
}

fn keep_v0(base: &str, path: &str) -> String {
    match base.strip_suffix('/') {
        Some(open) => [open, "/", without_slash(path)].concat(),
        None if path == "/" => base.to_owned(),
        None => [base, path].concat(),
    }
}

fn strip_v1(base: &str, rest: &str) -> String {
    if base.ends_with('/') { base.to_owned() + without_slash(rest) } else { base.to_owned() + rest }
}

fn without_slash(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// The rest behind a prefix that ended within a segment may begin with dots. They must not act as a dot
/// segment.
fn without_dots(rest: &str) -> &str {
    match rest {
        "." | ".." => "",
        _ => rest.strip_prefix("../").or_else(|| rest.strip_prefix("./")).unwrap_or(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table() {
        for row in include_str!("../../tests/upstream_paths.txt").lines().filter(|row| !row.starts_with('#'))
        {
            let columns: Vec<_> = row.split_whitespace().collect();
            let [handling, base, route, path, stripped, kept] = columns[..] else { panic!("{row}") };
            let handling = if handling == "v1" { PathHandling::V1 } else { PathHandling::V0 };
            assert_eq!(upstream_path(handling, true, base, path, route.len()), stripped, "{row}");
            assert_eq!(upstream_path(handling, false, base, path, route.len()), kept, "{row}");
        }
    }
}
