//! Texts that no file of the tree may contain, in any language.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{assert_none, root};

/// Files that are not ours, or that a build makes.
const LEFT_OUT: [&str; 4] = [".git", "data", "target", "Cargo.lock"];

/// Lines that only other people's sources have.
const OF_OTHERS: [&str; 4] =
    ["Copyright (c)", "Copyright ©", "SPDX-License-Identifier", "All rights reserved"];

/// Files that must have such lines.
const LICENCES: [&str; 3] = ["LICENSE", "deny.toml", "entity/testkit/tests/rules/text.rs"];

/// Parents of the folders of a developer's machine. `/root` stands for the account in commands of deploy/.
const WORKPLACES: [&str; 5] = ["/work", "/home", "/Users", "/root", "/workspace"];

#[test]
fn no_source_of_others_is_in_the_tree() {
    let ours = files().into_iter().filter(|(path, _)| !LICENCES.contains(&path.as_str()));
    let found = ours.flat_map(|(path, text)| {
        lines(&path, &text, |line| OF_OTHERS.iter().any(|mark| line.contains(mark)))
    });
    assert_none("a crate of the registry is a dependency, not a copy", &found.collect::<Vec<_>>());
}

#[test]
fn no_path_of_a_workplace_is_in_the_tree() {
    let ours = files().into_iter().filter(|(path, _)| path != "entity/testkit/tests/rules/text.rs");
    let found = ours.flat_map(|(path, text)| lines(&path, &text, names_a_workplace));
    assert_none("paths are relative, or those of an installation", &found.collect::<Vec<_>>());
}

#[test]
fn path_of_a_workplace_would_be_found() {
    assert!(names_a_workplace("let path = \"/home/me/gibbon\";"));
    assert!(names_a_workplace("see /root/gibbon/target"));
    assert!(!names_a_workplace("GET /workers/1 and /homepage/, https://example.com/home/a"));
    assert!(!names_a_workplace("paths: /home, /work"));
}

/// Whether the line has a path such as `/home/me`, but not within another path.
fn names_a_workplace(line: &str) -> bool {
    WORKPLACES.iter().any(|folder| {
        line.match_indices(&format!("{folder}/")).any(|(at, found)| {
            let before = line[..at].chars().next_back();
            let after = line[at + found.len()..].chars().next();
            !before.is_some_and(|c| c.is_alphanumeric() || "./}*-_".contains(c))
                && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
        })
    })
}

fn lines(path: &str, text: &str, is_breach: impl Fn(&str) -> bool) -> Vec<String> {
    let found = text.lines().enumerate().filter(|(_, line)| is_breach(line));
    found.map(|(i, line)| format!("{path}:{}: {}", i + 1, line.trim())).collect()
}

/// All texts of the tree that are ours, with their paths from the top.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    collect(&root(), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).ok()?.to_string_lossy().into_owned();
        // A file that is not text has no lines.
        Some((name, fs::read_to_string(path).ok()?))
    };
    paths.into_iter().filter_map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}
