//! Dependencies are the published ones: none is patched, copied into the tree, or taken from elsewhere.

use std::fs;

use crate::{assert_none, root};

#[test]
fn every_dependency_is_the_published_one() {
    let (lock, ours) = (read("Cargo.lock"), members());
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    let is_published =
        |package: &str| package.contains("\nsource = \"registry+") && package.contains("\nchecksum = \"");
    let others = packages.iter().filter(|package| !is_published(package));
    let others: Vec<_> = others.map(|package| name(package)).filter(|name| !ours.contains(name)).collect();
    assert!(ours.len() > 5 && packages.len() > 100, "the lock file and the members are read");
    assert_none("every package comes from the registry, with its checksum", &others);
}

#[test]
fn nothing_is_patched() {
    let manifest = read("Cargo.toml");
    assert!(
        !manifest.contains("[patch") && !manifest.contains("[replace"),
        "a crate is used as it is published"
    );
}

/// The names of the packages of the workspace.
fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, list) = manifest.split_once("members = [").expect("the workspace lists its members");
    let (list, _) = list.split_once(']').expect("the list ends");
    let folders = list.split('"').skip(1).step_by(2);
    folders.map(|folder| name(&read(&format!("{folder}/Cargo.toml")))).collect()
}

fn name(package: &str) -> String {
    let (_, name) = package.split_once("name = \"").expect("a package has a name");
    name.split('"').next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
