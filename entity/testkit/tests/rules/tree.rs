//! The files and folders of the tree.

use std::collections::BTreeSet;
use std::fs;

use crate::graph::members;
use crate::source::{Source, below};
use crate::{assert_none, root};

const FOLDERS: &[&str] = &[".ci", "benches", "control", "deploy", "entity", "gateway", "load-tests"];

const FILES: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// Folders that builds and `make run` make; git ignores them.
const MADE: &[&str] = &["data", "target"];

const PACKAGES: &[&str] = &["benches", "control", "entity", "gateway"];

#[test]
fn the_top_level_is_that_of_the_architecture() {
    let found: BTreeSet<String> = fs::read_dir(root())
        .expect("the checkout can be read")
        .map(|entry| entry.expect("the checkout can be read").file_name().to_string_lossy().into_owned())
        // Folders of an editor, and git's own, are hidden.
        .filter(|name| FOLDERS.contains(&name.as_str()) || !name.starts_with('.'))
        .filter(|name| !MADE.contains(&name.as_str()))
        .collect();
    let expected = FOLDERS.iter().chain(FILES).map(|name| (*name).to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_module_with_children_is_a_file_beside_their_folder() {
    let breaches = sources().filter(|source| source.path.ends_with("/mod.rs")).map(|source| source.path);
    assert_none("no mod.rs: the parent of foo/ is foo.rs", &breaches.collect::<Vec<_>>());
}

#[test]
fn every_exception_to_a_lint_has_its_reason() {
    assert_none(
        "an allow or expect says why: reason = \"…\"",
        &sources().flat_map(|source| exceptions_without_reason(&source)).collect::<Vec<_>>(),
    );
}

#[test]
fn an_exception_without_reason_would_be_found() {
    let found = |text| exceptions_without_reason(&Source::parse("a.rs", text)).len();
    assert_eq!(found("#[allow(dead_code)] fn f() {}"), 1);
    assert_eq!(found("#![allow(clippy::unwrap_used)]"), 1);
    assert_eq!(found("#[expect(dead_code, reason = \"kept for the wire\")] fn f() {}"), 0);
    assert_eq!(found("\"#[allow(dead_code)]\"; self.allow(x)"), 0);
}

#[test]
fn every_package_takes_its_lints_from_the_workspace_or_has_stricter_ones() {
    let breaches = members().into_iter().filter(|(_, manifest)| {
        let text = fs::read_to_string(manifest).unwrap_or_default();
        !text.contains("[lints]\nworkspace = true") && !text.contains("missing_docs = ")
    });
    let breaches = breaches.map(|(name, _)| name);
    assert_none("lints are inherited", &breaches.collect::<Vec<_>>());
}

fn sources() -> impl Iterator<Item = Source> {
    PACKAGES.iter().flat_map(|folder| below(folder))
}

fn exceptions_without_reason(source: &Source) -> Vec<String> {
    ["allow", "expect"].iter().flat_map(|name| source.attributes_without(name, "reason")).collect()
}
