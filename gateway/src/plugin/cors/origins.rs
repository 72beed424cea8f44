//! The origins that may use an API.

use std::borrow::Cow;

use model::PatternError;
use model::plugins::Cors;
use model::plugins::expressions::compile_all;
use regex::RegexSet;

/// Longer origins match no entry: the longest name of a host has 253 bytes.
const LONGEST: usize = 512;

/// The origins that may use an API.
#[derive(Debug)]
pub(super) enum Origins {
    /// All of them.
    All,
    /// One, which is stated whatever the origin of a request is: browsers compare.
    One(String),
    /// Those that a list names.
    Listed(Box<Listed>),
}

#[derive(Debug)]
pub(super) struct Listed {
    /// Whether `*` is among them.
    all: bool,
    /// Origins as they are compared.
    plain: Vec<String>,
    /// Expressions of whole origins.
    of_origins: RegexSet,
    /// Expressions of whole hosts.
    of_hosts: RegexSet,
}

/// Who may read an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed<'a> {
    /// Every origin.
    All,
    /// This one.
    Origin(Cow<'a, str>),
    /// None.
    None,
}

/// An origin as it is compared: scheme and host in lower case, without the port that the scheme implies.
struct Normal {
    text: String,
    host: std::ops::Range<usize>,
}

impl Origins {
    /// Compiles the entries of a configuration.
    ///
    /// # Errors
    /// An expression that does not compile.
    pub(super) fn compile(entries: &[String]) -> Result<Self, PatternError> {
        match entries {
            [] => return Ok(Self::All),
            [only] if only == "*" => return Ok(Self::All),
            [only] if Cors::is_plain(only) => return Ok(Self::One(only.clone())),
            _ => {}
        }
        let (plain, expressions): (Vec<_>, Vec<_>) =
            entries.iter().filter(|entry| *entry != "*").partition(|entry| Cors::is_plain(entry));
        let (of_origins, of_hosts): (Vec<_>, Vec<_>) =
            expressions.into_iter().partition(|entry| entry.contains(':'));
        let compile =
            |entries: Vec<&String>| compile_all(entries.into_iter().map(|entry| Cors::expression(entry)));
        Ok(Self::Listed(Box::new(Listed {
            all: entries.iter().any(|entry| entry == "*"),
            plain: plain.into_iter().map(|entry| Normal::of(without_path(entry)).text).collect(),
            of_origins: compile(of_origins)?,
            of_hosts: compile(of_hosts)?,
        })))
    }

    /// Whether answers to two origins may differ.
    pub(super) fn depends_on_origin(&self) -> bool {
        !matches!(self, Self::All)
    }

    /// Who may read the answer to a request of this origin.
    pub(super) fn allow(&self, origin: Option<&[u8]>) -> Allowed<'_> {
        match self {
            Self::All => Allowed::All,
            Self::One(only) => Allowed::Origin(Cow::Borrowed(only)),
            Self::Listed(listed) if listed.all => Allowed::All,
            Self::Listed(listed) => {
                let origin = origin.filter(|origin| origin.len() <= LONGEST);
                let origin = origin.and_then(|origin| std::str::from_utf8(origin).ok()).map(Normal::of);
                match origin.filter(|origin| listed.has(origin)) {
                    Some(origin) => Allowed::Origin(Cow::Owned(origin.text)),
                    None => Allowed::None,
                }
            }
        }
    }
}

impl Listed {
    fn has(&self, origin: &Normal) -> bool {
        self.plain.contains(&origin.text)
            || self.of_origins.is_match(&origin.text)
            || self.of_hosts.is_match(&origin.text[origin.host.clone()])
    }
}

/// An origin has no path: that of an entry does not count.
fn without_path(entry: &str) -> &str {
    let host = entry.find("://").map_or(0, |at| at + 3);
    entry[host..].find('/').map_or(entry, |length| &entry[..host + length])
}

impl Normal {
    fn of(origin: &str) -> Self {
        let text = origin.to_ascii_lowercase();
        let start = text.find("://").map_or(0, |at| at + 3);
        // The colons of an address of IPv6 stand in brackets.
        let after_brackets = text[start..].rfind(']').map_or(start, |at| start + at);
        let end = text[after_brackets..].find(':').map_or(text.len(), |at| after_brackets + at);
        let implied = match &text[..start] {
            "http://" => ":80",
            "https://" => ":443",
            _ => "",
        };
        let is_implied = start > 0 && !implied.is_empty() && text[end..] == *implied;
        let text = if is_implied { text[..end].to_owned() } else { text };
        let end = end.min(text.len());
        Self { text, host: start..end }
    }
}
