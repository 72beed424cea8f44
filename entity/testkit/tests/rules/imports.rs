//! Resolves the paths in the sources: over `use` lines and re-exports, across modules and packages.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, below, is_test};

/// Packages whose names begin paths, and the folders of their sources.
const PACKAGES: [(&str, &str); 7] = [
    ("control", "control/src"),
    ("entity", "entity/src"),
    ("gateway", "gateway/src"),
    ("migration", "entity/migration/src"),
    ("model", "entity/model/src"),
    ("node", "entity/node/src"),
    ("wire", "entity/wire/src"),
];

/// Limit on re-exports of re-exports, against circles.
const DEPTH: usize = 16;

/// A path such as `gateway::cluster::apply`, in parts. If its first part is not a package of ours, it leads
/// into another crate.
pub(crate) type Path = Vec<String>;

/// The modules of all packages, without their tests.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    modules: BTreeMap<Path, Module>,
}

#[derive(Debug, Default)]
struct Module {
    /// Name in this module -> path in its `use` line.
    imports: BTreeMap<String, Path>,
    /// Paths of `use …::*`.
    globs: Vec<Path>,
    /// Names of the items that the module defines.
    items: BTreeSet<String>,
    /// All paths in its code, in `use` lines and elsewhere.
    paths: Vec<Said>,
}

#[derive(Clone, Debug)]
struct Said {
    line: usize,
    path: Path,
}

/// A path in a source, and the item that it resolves to.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) line: usize,
    /// The path as it is written.
    pub(crate) said: Path,
    /// The path of the definition.
    pub(crate) path: Path,
    /// The module of ours that has the definition, if there is one.
    pub(crate) module: Option<Path>,
}

impl Modules {
    pub(crate) fn of_workspace() -> Self {
        let sources = PACKAGES.iter().flat_map(|(_, folder)| below(folder));
        Self::parse(sources.filter(|source| !is_test(&source.path)).map(Source::without_tests))
    }

    pub(crate) fn parse(sources: impl IntoIterator<Item = Source>) -> Self {
        let modules =
            sources.into_iter().filter_map(|source| Some((module_of(&source.path)?, read(&source))));
        Self { modules: modules.collect() }
    }

    /// The modules of a package.
    pub(crate) fn of_package(&self, package: &str) -> impl Iterator<Item = &Path> {
        self.modules.keys().filter(move |path| path[0] == package)
    }

    /// Resolves all paths in this module.
    pub(crate) fn reached(&self, module: &[String]) -> Vec<Reached> {
        let Some(found) = self.modules.get(module) else { return Vec::new() };
        let reached = found.paths.iter().map(|said| {
            let path = self.resolve(module, &said.path, DEPTH).unwrap_or_else(|| said.path.clone());
            let own = self.deepest(&path);
            Reached { line: said.line, said: said.path.clone(), path, module: own }
        });
        reached.collect()
    }

    fn deepest(&self, path: &[String]) -> Option<Path> {
        (1..=path.len())
            .rev()
            .map(|length| &path[..length])
            .find(|path| self.is_module(path))
            .map(<[_]>::to_vec)
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.modules.contains_key(path)
    }

    /// Returns `None` if the path begins with a name that is neither imported nor a crate of ours.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let depth = depth.checked_sub(1)?;
        match first.as_str() {
            "crate" => Some(self.walk(from[..1].to_vec(), rest, depth)),
            "self" => Some(self.walk(from.to_vec(), rest, depth)),
            "super" => {
                // `super::super` goes up twice.
                let ups = path.iter().take_while(|part| *part == "super").count().min(from.len() - 1);
                Some(self.walk(from[..from.len() - ups].to_vec(), &path[ups..], depth))
            }
            _ => match self.step(from, first, depth) {
                Some(next) => Some(self.walk(next, rest, depth)),
                None if self.is_module(&path[..1]) => Some(self.walk(path[..1].to_vec(), rest, depth)),
                None => None,
            },
        }
    }

    /// Follows the rest of the path, as long as it leads through modules of ours.
    fn walk(&self, mut at: Path, path: &[String], depth: usize) -> Path {
        for (i, part) in path.iter().enumerate() {
            if !self.is_module(&at) {
                at.extend_from_slice(&path[i..]);
                return at;
            }
            at = self.step(&at, part, depth).unwrap_or_else(|| joined(&at, part));
        }
        at
    }

    /// Resolves a name in this module.
    fn step(&self, module: &[String], name: &str, depth: usize) -> Option<Path> {
        let here = self.modules.get(module)?;
        let child = joined(module, name);
        if self.is_module(&child) || here.items.contains(name) {
            return Some(child);
        }
        if let Some(path) = here.imports.get(name) {
            // In `use node;` and `use log::log`, the name means the crate and not itself.
            let itself = path.first().is_some_and(|first| first == name);
            let resolved = if itself { None } else { self.resolve(module, path, depth) };
            return Some(resolved.unwrap_or_else(|| self.crate_path(path, depth)));
        }
        here.globs.iter().find_map(|path| {
            let from = self.resolve(module, path, depth)?;
            (from != module).then(|| self.step(&from, name, depth.checked_sub(1)?)).flatten()
        })
    }

    fn crate_path(&self, path: &[String], depth: usize) -> Path {
        match depth.checked_sub(1) {
            Some(depth) if self.is_module(&path[..1]) => self.walk(path[..1].to_vec(), &path[1..], depth),
            _ => path.to_vec(),
        }
    }
}

/// The module of a file: `gateway::cluster::apply` for `gateway/src/cluster/apply.rs`; `None` outside of the
/// packages.
pub(crate) fn module_of(file: &str) -> Option<Path> {
    let (package, folder) = PACKAGES.iter().find(|(_, folder)| file.starts_with(&format!("{folder}/")))?;
    let inside = file.strip_prefix(folder)?.trim_start_matches('/').strip_suffix(".rs")?;
    let parts = inside.split('/').filter(|part| *part != "lib");
    Some(std::iter::once(*package).chain(parts).map(str::to_owned).collect())
}

fn joined(module: &[String], name: &str) -> Path {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn read(source: &Source) -> Module {
    const DEFINE: [&str; 9] =
        ["struct", "enum", "union", "trait", "type", "fn", "const", "static", "macro_rules"];
    let words = source.words();
    let mut module = Module::default();
    let mut at = 0;
    while at < words.len() {
        let (line, word) = words[at];
        if word == "use" {
            let mut tree = Tree { words: &words, at: at + 1, module: &mut module };
            tree.read(Vec::new());
            at = tree.at;
            continue;
        }
        if DEFINE.contains(&word)
            && let Some((_, name)) = words.get(at + 1)
        {
            module.items.insert((*name).to_owned());
        }
        let path = path_at(&words, at);
        if path.len() > 1 {
            at += 2 * path.len() - 1;
            module.paths.push(Said { line, path });
        } else {
            at += 1;
        }
    }
    module
}

/// The path `a::b::c` that begins here.
fn path_at(words: &[(usize, &str)], start: usize) -> Path {
    let mut path = Vec::new();
    let mut at = start;
    while let Some((_, word)) = words.get(at).filter(|(_, word)| is_name(word)) {
        path.push((*word).to_owned());
        match words.get(at + 1) {
            Some((_, "::")) => at += 2,
            _ => break,
        }
    }
    path
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The reader of one `use` line.
struct Tree<'a> {
    words: &'a [(usize, &'a str)],
    at: usize,
    module: &'a mut Module,
}

impl Tree<'_> {
    fn word(&self) -> &str {
        self.words.get(self.at).map_or(";", |(_, word)| word)
    }

    /// Reads from the first part of a path to its end: its comma, brace or semicolon.
    fn read(&mut self, mut path: Path) {
        loop {
            match self.word() {
                "{" => {
                    self.at += 1;
                    while !matches!(self.word(), "}" | ";") {
                        self.read(path.clone());
                    }
                    self.at += 1;
                }
                "*" => {
                    self.module.globs.push(path.clone());
                    self.at += 1;
                }
                "::" => self.at += 1,
                "," => {
                    self.at += 1;
                    return;
                }
                "}" | ";" => return,
                word => {
                    let name = word.to_owned();
                    let line = self.words[self.at].0;
                    self.at += 1;
                    if name != "self" || path.is_empty() {
                        path.push(name);
                    }
                    if self.word() != "::" {
                        self.import(line, &path);
                    }
                }
            }
        }
    }

    fn import(&mut self, line: usize, path: &Path) {
        let mut name = path.last().cloned().unwrap_or_default();
        if self.word() == "as" {
            name = self.words.get(self.at + 1).map_or_else(String::new, |(_, word)| (*word).to_owned());
            self.at += 2;
        }
        self.module.imports.insert(name, path.clone());
        self.module.paths.push(Said { line, path: path.clone() });
    }
}

#[cfg(test)]
pub(crate) fn made_up(files: &[(&str, &str)]) -> Modules {
    Modules::parse(files.iter().map(|(path, text)| Source::parse(path, text)))
}

#[test]
fn path_over_re_exports_leads_to_its_definition() {
    let modules = made_up(&[
        ("gateway/src/lib.rs", "pub mod a; pub mod b; pub mod c;"),
        (
            "gateway/src/a.rs",
            "use crate::b::{self as other, Thing}; fn f() { other::deep::g(); node::link::h() }",
        ),
        (
            "gateway/src/b.rs",
            "pub use crate::c::*; pub use pingora::apps as deep; pub use super::c::d::E as Thing;",
        ),
        ("gateway/src/c.rs", "pub mod d; pub use self::d::E; pub struct F;"),
        ("gateway/src/c/d.rs", "pub struct E; fn f() { super::super::b::F::new() }"),
        ("entity/node/src/lib.rs", "pub use tungstenite as link;"),
    ]);
    let reached = |module: &str| {
        let module: Path = module.split("::").map(str::to_owned).collect();
        modules.reached(&module).into_iter().map(|reached| reached.path.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(
        reached("gateway::a"),
        ["gateway::b", "gateway::c::d::E", "pingora::apps::g", "tungstenite::h"]
    );
    assert_eq!(reached("gateway::c::d"), ["gateway::c::F::new"]);
}
