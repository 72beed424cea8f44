//! file-log: appends an entry for each request to a file of the data plane.

use std::collections::BTreeMap;

use model_derive::Record;

use super::{custom_field, redact};
use crate::bounds;
use crate::check::text;
use crate::plugin::PluginConfig;
use crate::record::Check;

/// The configuration of file-log.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct FileLog {
    /// The path of the file. It is made if it does not exist; its folder is not.
    #[field(required, longest = bounds::PLUGIN_TEXT, is = file_name)]
    pub path: String,
    /// Whether a file that has been renamed is left at once, and not only at a signal.
    #[field(default = false)]
    pub reopen: bool,
    /// Fields of the entry: programs of Lua that return a constant, a look-up, or nil to remove the field.
    #[field(
        most = custom_field::MOST,
        longest = custom_field::LONGEST,
        key = custom_field::name,
        is = custom_field::program
    )]
    pub custom_fields_by_lua: Option<BTreeMap<String, String>>,
    /// The headers and the arguments of queries whose values entries do not show.
    #[field(
        set,
        quiet,
        default = redact::usual(),
        most = redact::MOST,
        longest = bounds::HEADER_NAME,
        is = text::not_empty
    )]
    pub redact: Vec<String>,
}

impl Check for FileLog {}

impl PluginConfig for FileLog {
    const NAME: &'static str = "file-log";
    const PRIORITY: i32 = 9;
}

fn file_name(path: &str) -> Result<(), String> {
    let wrong = |c: char| matches!(c, '*' | '&' | '%' | '`' | '\\') || c.is_control();
    let valid = !path.is_empty() && path.trim() == path && !path.chars().any(wrong);
    if valid { Ok(()) } else { Err("not a valid filename".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for good in ["/dev/stdout", "/var/log/a b.log", "a"] {
            assert_eq!(file_name(good), Ok(()), "{good}");
        }
        for bad in ["", "/a*", "/a&b", "%a", "`a`", "a\\b", " a", "a\n", "a\0"] {
            assert!(file_name(bad).is_err(), "{bad:?}");
        }
    }
}
