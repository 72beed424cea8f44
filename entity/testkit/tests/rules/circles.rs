//! Modules that use each other can only be understood together. The modules of a package do not.
//!
//! A module is compared with the others of the same parent; everything below a module counts as part of it. A
//! module and its parent may use each other: the parent is the face of its children.

use std::collections::{BTreeMap, BTreeSet};

use crate::assert_none;
use crate::imports::{Modules, Path, Reached, made_up};

const PACKAGES: [&str; 7] = ["control", "entity", "gateway", "migration", "model", "node", "wire"];

/// The siblings that each module uses, and a place of each use.
type Uses = BTreeMap<Path, BTreeMap<Path, String>>;

#[test]
fn modules_of_a_package_do_not_use_each_other_in_a_circle() {
    let modules = Modules::of_workspace();
    let all: Uses = PACKAGES.iter().flat_map(|package| uses(&modules, package)).collect();
    let circles: Vec<_> = circles(&all).iter().map(Circle::to_string).collect();
    assert_none("no circle between modules", &circles);
}

#[test]
fn circle_over_a_re_export_is_found() {
    let modules = made_up(&[
        ("gateway/src/lib.rs", "pub mod a; pub mod b; pub mod c; pub mod face; pub use a::A;"),
        ("gateway/src/a.rs", "pub mod below; pub struct A; use crate::c::C;"),
        ("gateway/src/a/below.rs", "use super::A; use crate::face::B;"),
        ("gateway/src/b.rs", "pub struct B; fn f(a: crate::A) {}"),
        ("gateway/src/c.rs", "pub struct C;"),
        ("gateway/src/face.rs", "pub use crate::b::B;"),
    ]);
    let uses = uses(&modules, "gateway");
    let found: Vec<_> = circles(&uses).into_iter().map(|circle| circle.name).collect();
    assert_eq!(found, ["gateway: a, b"]);
}

/// Modules of one parent, each of which reaches each.
struct Circle {
    name: String,
    uses: Vec<String>,
}

impl std::fmt::Display for Circle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:\n    {}", self.name, self.uses.join("\n    "))
    }
}

fn uses(modules: &Modules, package: &str) -> Uses {
    let mut uses = Uses::new();
    for from in modules.of_package(package) {
        for reached in modules.reached(from) {
            let Some(to) = &reached.module else { continue };
            if let Some((user, used)) = siblings(from, to) {
                let place = || describe(from, &reached);
                uses.entry(user).or_default().entry(used).or_insert_with(place);
            }
        }
    }
    uses
}

/// The ancestors of both that have the same parent; `None` if one is the other's ancestor.
fn siblings(from: &Path, to: &Path) -> Option<(Path, Path)> {
    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let both = common > 0 && common < from.len().min(to.len());
    both.then(|| (from[..=common].to_vec(), to[..=common].to_vec()))
}

fn describe(from: &Path, reached: &Reached) -> String {
    format!(
        "{}, line {}: {} is {}",
        from.join("::"),
        reached.line,
        reached.said.join("::"),
        reached.path.join("::")
    )
}

fn circles(uses: &Uses) -> Vec<Circle> {
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for start in uses.keys() {
        let members: BTreeSet<_> =
            reach(uses, start).into_iter().filter(|other| reach(uses, other).contains(start)).collect();
        if members.len() > 1 && seen.insert(members.clone()) {
            circles.push(circle(uses, &members));
        }
    }
    circles
}

fn reach<'a>(uses: &'a Uses, start: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![start];
    while let Some(next) = todo.pop() {
        for used in uses.get(next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(used) {
                todo.push(used);
            }
        }
    }
    reached
}

fn circle(uses: &Uses, members: &BTreeSet<&Path>) -> Circle {
    let parent = members.first().map(|first| first[..first.len() - 1].join("::")).unwrap_or_default();
    let names: Vec<_> = members.iter().filter_map(|member| member.last().map(String::as_str)).collect();
    let within = members.iter().filter_map(|member| uses.get(*member)).flatten();
    let within = within.filter(|(used, _)| members.contains(used)).map(|(_, place)| place.clone());
    Circle { name: format!("{parent}: {}", names.join(", ")), uses: within.collect() }
}
