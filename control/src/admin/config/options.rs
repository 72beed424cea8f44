//! The options of a query.

use std::borrow::Cow;
use std::collections::HashSet;

use model::bounds;

use crate::declarative::Format;
use crate::error::ApiError;

/// The options of `POST /config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UploadOptions {
    /// Whether the difference is only shown.
    pub(super) dry_run: bool,
    /// Whether errors are a list of entities.
    pub(super) flatten_errors: bool,
    /// Whether a document that changes nothing is answered by 304.
    pub(super) check_hash: bool,
    /// The tags that select entities.
    pub(super) select_tags: Vec<String>,
}

/// The options of `GET /config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShowOptions {
    pub(super) format: Format,
    pub(super) with_ids: bool,
    pub(super) select_tags: Vec<String>,
    /// The revision; `None`: the current one.
    pub(super) revision: Option<u64>,
}

/// The options of `POST /config/rollback`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RollbackOptions {
    /// The revision whose configuration is made again.
    pub(super) to: u64,
    pub(super) dry_run: bool,
}

/// The options of every write.
const WAITING: [&str; 2] = ["wait", "timeout"];

impl RollbackOptions {
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        check_names(query, &[&WAITING[..], &["to", "dry_run"]].concat())?;
        let to = number(query, "to")?.ok_or_else(|| invalid("to", "expected a revision"))?;
        Ok(Self { to, dry_run: flag(query, "dry_run")? })
    }
}

impl UploadOptions {
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        let own = ["dry_run", "flatten_errors", "check_hash", "select_tags"];
        check_names(query, &[&WAITING[..], &own].concat())?;
        Ok(Self {
            dry_run: flag(query, "dry_run")?,
            flatten_errors: flag(query, "flatten_errors")?,
            check_hash: flag(query, "check_hash")?,
            select_tags: tags(query)?,
        })
    }
}

impl ShowOptions {
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        check_names(query, &["format", "ids", "select_tags", "revision"])?;
        let format = match option(query, "format").as_deref() {
            None | Some("json") => Format::Json,
            Some("yaml") => Format::Yaml,
            Some(_) => return Err(invalid("format", "expected one of: json, yaml")),
        };
        let revision = number(query, "revision")?;
        Ok(Self { format, with_ids: flag(query, "ids")?, select_tags: tags(query)?, revision })
    }
}

/// Whether a `POST` to `/config` or `/config/rollback` with this query changes nothing.
pub(in crate::admin) fn is_dry_run(query: &str) -> bool {
    flag(query, "dry_run").unwrap_or(false)
}

/// Refuses an option that is not known, or is given twice: a misspelt one would let a document replace the
/// configuration of everybody.
fn check_names(query: &str, known: &[&'static str]) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        match known.iter().find(|known| **known == name) {
            None => return Err(ApiError::UnknownOption { name: name.into_owned(), known: known.join(", ") }),
            Some(name) if !seen.insert(*name) => return Err(invalid(name, "given twice")),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The first value of an option.
fn option<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

fn flag(query: &str, name: &'static str) -> Result<bool, ApiError> {
    match option(query, name).as_deref() {
        Some("true" | "1") => Ok(true),
        None | Some("false" | "0") => Ok(false),
        Some(_) => Err(invalid(name, "expected true or false")),
    }
}

fn number(query: &str, name: &'static str) -> Result<Option<u64>, ApiError> {
    let Some(text) = option(query, name) else { return Ok(None) };
    // The database's numbers have a sign.
    let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    number.map(Some).ok_or_else(|| invalid(name, "expected a revision"))
}

/// Tags, separated by commas.
fn tags(query: &str) -> Result<Vec<String>, ApiError> {
    let Some(text) = option(query, "select_tags") else { return Ok(Vec::new()) };
    let tags: Vec<String> = text.split(',').map(str::to_owned).collect();
    if tags.len() > bounds::TAGS || tags.iter().any(|tag| tag.is_empty() || tag.len() > bounds::TAG) {
        return Err(invalid("select_tags", "expected tags, separated by commas"));
    }
    Ok(tags)
}

fn invalid(name: &'static str, message: &'static str) -> ApiError {
    ApiError::InvalidOption { name, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed() {
        let options =
            UploadOptions::parse("dry_run=1&flatten_errors=true&select_tags=a,b%2dc&wait=applied").unwrap();
        assert!(options.dry_run && options.flatten_errors && !options.check_hash);
        assert_eq!(options.select_tags, ["a", "b-c"]);
        assert!(is_dry_run("dry_run=true") && is_dry_run("a=b&dry_run=1"));
        assert!(!is_dry_run("") && !is_dry_run("dry_run=false&dry_run=true") && !is_dry_run("dry_run=yes"));
        for query in [
            "dry_run=yes",
            "dry_run",
            "dryrun=true",
            "tags=a",
            "select_tags=",
            "select_tags=a,,b",
            "select_tags=a&select_tags=b",
            "check_hash=2",
        ] {
            assert!(UploadOptions::parse(query).is_err(), "{query}");
        }
        assert_eq!(ShowOptions::parse("format=yaml&ids=true").unwrap().format, Format::Yaml);
        assert!(ShowOptions::parse("format=xml").is_err());
        assert_eq!(RollbackOptions::parse("to=7").unwrap(), RollbackOptions { to: 7, dry_run: false });
        for query in ["", "to=", "to=-1", "to=x", "to=18446744073709551615"] {
            assert!(RollbackOptions::parse(query).is_err(), "{query}");
        }
    }
}
