//! Compiles the lists of a configuration.

use model::plugins::edits::pair;
use model::template::Template;

use crate::plugin::Unusable;
use crate::plugin::edits::Edits;

/// Compiles the lists of names, of old and new names, and of values that are replaced, added, and appended.
pub(super) fn edits<N>(
    [remove, rename, replace, add, append]: [&Vec<String>; 5],
    name: impl Fn(&str) -> N,
) -> Result<Edits<N, Template>, Unusable> {
    let both = |entry: &String| pair(entry).map(|(old, new)| (name(old), name(new)));
    let value = |entry: &String| {
        let (own, value) = pair(entry)?;
        Some((name(own), Template::parse(value).ok()?))
    };
    Ok(Edits {
        // As in Kong, a value that is written with a name does not count.
        remove: remove.iter().filter_map(|entry| pair(entry)).map(|(own, _)| name(own)).collect(),
        rename: all("rename", rename.iter(), both)?,
        replace: all("replace", replace.iter(), value)?,
        add: all("add", add.iter(), value)?,
        append: all("append", append.iter(), value)?,
    })
}

/// Compiles the entries of a list.
pub(super) fn all<'c, T>(
    field: &'static str,
    entries: impl Iterator<Item = &'c String>,
    compile: impl Fn(&'c String) -> Option<T>,
) -> Result<Vec<T>, Unusable> {
    let entries = entries.map(|entry| compile(entry).ok_or_else(|| unusable(field, entry)));
    entries.collect()
}

fn unusable(field: &'static str, entry: &str) -> Unusable {
    Unusable { field, message: format!("invalid value: {entry}").into() }
}
