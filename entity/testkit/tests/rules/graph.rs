//! The dependencies that each package may have, read from cargo's metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::{assert_none, root};

/// Dependencies that a package's code must not reach: (package, rule, names or prefixes that end with `*`).
const NEVER: &[(&str, &str, &[&str])] = &[
    (
        "gateway",
        "the gateway knows no rows, no database, no Admin API and no control plane",
        &["entity", "migration", "sea-orm*", "sqlx*", "axum*", "control"],
    ),
    ("control", "the control plane knows no proxy", &["pingora*", "gateway"]),
    (
        "wire",
        "the protocol knows kinds as numbers, and is free of runtime, proxy, database and clock",
        &["tokio*", "pingora*", "sea-orm*", "axum*", "time", "chrono", "entity", "model", "node"],
    ),
    (
        "model",
        "what a configuration consists of is free of runtime, proxy, database and clock",
        &[
            "tokio*", "pingora*", "sea-orm*", "axum*", "time", "chrono", "entity", "node", "gateway",
            "control",
        ],
    ),
    ("model-derive", "the macro knows no kind", &["model", "wire"]),
    (
        "entity",
        "rows know no kind and no protocol",
        &["wire", "model", "migration", "node", "gateway", "control"],
    ),
    (
        "migration",
        "history is never imported from the present",
        &["entity", "wire", "model", "node", "control"],
    ),
    (
        "node",
        "what both programs share knows neither of them",
        &["entity", "gateway", "control", "pingora*", "sea-orm*"],
    ),
];

/// Packages of the workspace that may depend on everything: they test and measure the others.
const FREE: [&str; 2] = ["benches", "testkit"];

/// The dependencies of the workspace's packages. Paths alone are not enough: a dependency is normal,
/// development or build.
#[derive(Debug, Default)]
struct Graph {
    /// Package -> its dependencies to build and run.
    needs: BTreeMap<String, BTreeSet<String>>,
    /// Package -> further dependencies of its tests.
    tests_need: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of_workspace() -> Self {
        Self::parse(&metadata(&[]))
    }

    fn parse(metadata: &Value) -> Self {
        let names: BTreeMap<&str, &str> = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let mut graph = Self::default();
        for node in list(&metadata["resolve"]["nodes"]) {
            let from = names[text(&node["id"])];
            for dependency in list(&node["deps"]) {
                let to = names[text(&dependency["pkg"])];
                for kind in list(&dependency["dep_kinds"]) {
                    graph.add(from, to, kind["kind"] == "dev");
                }
            }
        }
        graph
    }

    fn add(&mut self, from: &str, to: &str, for_tests: bool) {
        let edges = if for_tests { &mut self.tests_need } else { &mut self.needs };
        edges.entry(from.to_owned()).or_default().insert(to.to_owned());
    }

    /// Everything that the package's code and its own tests are linked with.
    fn reach(&self, package: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut todo: Vec<&str> = [&self.needs, &self.tests_need]
            .iter()
            .filter_map(|edges| edges.get(package))
            .flatten()
            .map(String::as_str)
            .collect();
        while let Some(next) = todo.pop() {
            if reached.insert(next) {
                todo.extend(self.needs.get(next).into_iter().flatten().map(String::as_str));
            }
        }
        reached
    }

    fn breaches(&self, package: &str, never: &[&str]) -> Vec<String> {
        let forbidden = |name: &str| {
            never.iter().any(|rule| match rule.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == *rule,
            })
        };
        let reached = self.reach(package);
        reached
            .into_iter()
            .filter(|name| forbidden(name))
            .map(|name| format!("{package} -> {name}"))
            .collect()
    }
}

/// The packages of the workspace, each with its manifest.
pub(crate) fn members() -> BTreeMap<String, PathBuf> {
    let metadata = metadata(&["--no-deps"]);
    let packages = list(&metadata["packages"]).iter();
    packages
        .map(|package| (text(&package["name"]).to_owned(), text(&package["manifest_path"]).into()))
        .collect()
}

fn metadata(more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

#[test]
fn every_package_has_its_rule() {
    let ruled = |name: &str| FREE.contains(&name) || NEVER.iter().any(|(package, ..)| *package == name);
    let without: Vec<_> = members().into_keys().filter(|name| !ruled(name)).collect();
    assert_none("a package says in NEVER what it must not know", &without);
}

#[test]
fn no_package_depends_on_what_it_must_not_know() {
    let graph = Graph::of_workspace();
    for (package, rule, never) in NEVER {
        assert!(graph.needs.contains_key(*package), "there is no package {package}");
        assert_none(rule, &graph.breaches(package, never));
    }
}

#[test]
fn a_forbidden_dependency_is_found_through_others_and_in_tests() {
    let mut graph = Graph::default();
    graph.add("gateway", "wire", false);
    graph.add("gateway", "testkit", true);
    graph.add("testkit", "sea-orm-migration", false);
    graph.add("wire", "helper", false);
    graph.add("helper", "tokio-util", false);
    graph.add("helper", "axum", true);

    assert_eq!(graph.breaches("gateway", &["sea-orm*"]), ["gateway -> sea-orm-migration"]);
    assert_eq!(graph.breaches("wire", &["tokio*", "axum"]), ["wire -> tokio-util"]);
    assert!(graph.breaches("wire", &["tokio", "sea-orm*"]).is_empty());
}

#[test]
fn the_metadata_is_read_as_cargo_writes_it() {
    let metadata = serde_json::json!({
        "packages": [{ "id": "1", "name": "control" }, { "id": "2", "name": "pingora-core" }],
        "resolve": { "nodes": [
            { "id": "1", "deps": [{ "pkg": "2", "dep_kinds": [{ "kind": "dev" }, { "kind": "build" }] }] },
            { "id": "2", "deps": [] },
        ]},
    });
    assert_eq!(Graph::parse(&metadata).breaches("control", &["pingora*"]), ["control -> pingora-core"]);
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo's metadata has a list here")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo's metadata has a string here")
}
