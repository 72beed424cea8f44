//! A route as the table holds it: compiled patterns, parsed flags, little memory.

mod declared;

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method};
use model::{HeaderPattern, PathHandling, Priority, RouterOrder, kind};
use regex::Regex;
use uuid::Uuid;

use super::host::HostPattern;
use super::{Request, method};
use crate::section::{References, Refusal, Section};

/// A route, compiled. Requests read the first fields; they lie in one line of the cache with the counts before
/// them. In a large table hardly a route is in a cache, and each further line is a wait for memory.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Entry {
    /// Fields that few routes have; boxed, so that the others do not pay for them.
    extras: Option<Box<Extras>>,
    references: References,
    pub(super) methods: u16,
    /// Status for plaintext requests if `tls_only`, except for gRPC.
    pub redirect_status: u16,
    /// Whether plaintext requests are answered instead of being proxied.
    pub tls_only: bool,
    /// Whether the route is for gRPC, and for nothing else.
    pub grpc: bool,
    /// Whether the matched part of the path is stripped.
    pub strip_path: bool,
    /// Whether the client's `Host` goes upstream.
    pub preserve_host: bool,
    /// How the upstream path is composed.
    pub path_handling: PathHandling,
    /// Whether the route is for HTTP at all; if not, it never matches.
    for_http: bool,
    /// What the route says of buffering, without effect: Kong's clients and logs show it.
    pub request_buffering: bool,
    /// The same of responses.
    pub response_buffering: bool,
    paths: Box<[Path]>,
    /// Identity.
    pub id: Uuid,
    /// Creation time, in seconds since 1970.
    pub created_at: i64,
    /// Unique name.
    pub name: Option<Box<str>>,
    pub(super) hosts: Box<[HostPattern]>,
    base: Priority,
    regex_priority: i32,
}

#[derive(Clone, Debug)]
enum Path {
    Prefix(Box<str>),
    Regex { regex: Regex, texts: Box<RegexTexts> },
}

/// The texts of a regular expression.
#[derive(Clone, Debug)]
struct RegexTexts {
    /// The literal prefix of every path that it matches.
    literal: Box<str>,
    /// What the route declares. The compiled expression has another text.
    declared: Box<str>,
}

/// A required header, and the values of which it must have one.
type HeaderRule = (HeaderName, Box<[HeaderPattern]>);

#[derive(Clone, Debug, Default)]
struct Extras {
    /// Methods without a bit of their own.
    methods: Box<[Box<str>]>,
    headers: Box<[HeaderRule]>,
    snis: Box<[HostPattern]>,
}

/// The position of a route in the trie of a host.
pub(super) struct TrieKey<'e> {
    pub(super) prefix: &'e [u8],
    pub(super) priority: u64,
    pub(super) path: u32,
    pub(super) is_regex: bool,
}

impl Section for Entry {
    type Entity = model::Route;

    fn compile(route: &model::Route, references: References) -> Result<Self, Refusal> {
        let methods = some(route.methods.as_ref());
        let hosts = some(route.hosts.as_ref()).map(host_patterns);
        let paths = some(route.paths.as_ref()).map(|paths| compile_paths(route, paths)).transpose()?;
        let headers = route.headers.as_ref().filter(|headers| !headers.is_empty());
        let snis = some(route.snis.as_ref());
        let extras = Extras {
            methods: methods.map(other_methods).unwrap_or_default(),
            headers: headers.map(|_| compile_headers(route)).transpose()?.unwrap_or_default(),
            snis: snis.map(host_patterns).unwrap_or_default(),
        };
        Ok(Self {
            id: route.id,
            name: route.name.as_deref().map(Into::into),
            created_at: route.created_at,
            strip_path: route.strip_path,
            preserve_host: route.preserve_host,
            path_handling: route.path_handling,
            tls_only: route.is_tls_only(),
            redirect_status: route.https_redirect_status_code,
            grpc: route.is_grpc(),
            for_http: route.protocols.iter().any(|protocol| protocol.is_http()),
            request_buffering: route.request_buffering,
            response_buffering: route.response_buffering,
            methods: methods.map_or(method::ANY, method_bits),
            base: Priority::of(route),
            hosts: hosts.unwrap_or_default(),
            paths: paths.unwrap_or_default(),
            regex_priority: route.regex_priority,
            extras: extras.is_needed().then(|| Box::new(extras)),
            references,
        })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }
}

impl Entry {
    /// The id of the route's service.
    pub fn service_id(&self) -> Option<Uuid> {
        self.references.to(kind::SERVICE).next()
    }

    /// The positions of the route in the tries of its hosts, where routes are preferred in `order`.
    pub(super) fn places(&self, order: RouterOrder) -> impl Iterator<Item = TrieKey<'_>> {
        let everywhere = self.paths.is_empty().then(|| TrieKey {
            prefix: b"",
            priority: self.base.under_prefix(0).priority(order),
            path: u32::MAX,
            is_regex: false,
        });
        let paths = self.paths.iter().zip(0..).map(move |(path, index)| TrieKey {
            prefix: path.literal().as_bytes(),
            priority: match path {
                Path::Prefix(prefix) => self.base.under_prefix(prefix.len()),
                Path::Regex { .. } => self.base.under_regex(self.regex_priority),
            }
            .priority(order),
            path: index,
            is_regex: matches!(path, Path::Regex { .. }),
        });
        everywhere.into_iter().chain(paths).filter(|_| self.for_http)
    }

    /// Checks the remaining conditions of a request whose host, port, method bit and path match.
    pub(super) fn accepts(&self, request: &Request<'_>) -> bool {
        self.extras.as_ref().is_none_or(|extras| extras.accept(self.methods, request))
    }

    /// Whether the regular expression at path number `index` matches `path`.
    pub(super) fn regex_matches(&self, index: u32, path: &str) -> bool {
        self.regex(index).is_some_and(|regex| regex.is_match(path))
    }

    /// How many bytes of `path` the regular expression at path number `index` matches.
    pub(super) fn matched_by_regex(&self, index: u32, path: &str) -> usize {
        self.regex(index).and_then(|regex| regex.find(path)).map_or(0, |found| found.end())
    }

    /// What a regular expression of the route captures of `path`: by name, or by number. The first one that matches
    /// counts.
    pub(crate) fn capture<'p>(&self, path: &'p str, wanted: &str) -> Option<&'p str> {
        let captured = self.regexes().find_map(|regex| regex.captures(path))?;
        let found = match wanted.parse() {
            Ok(number) => captured.get(number),
            Err(_) => captured.name(wanted),
        };
        found.map(|found| found.as_str())
    }

    /// The names of what [`Entry::capture`] finds of `path`.
    pub(crate) fn capture_names(&self, path: &str) -> impl Iterator<Item = &str> {
        let matching = self.regexes().find(|regex| regex.is_match(path));
        matching.into_iter().flat_map(|regex| regex.capture_names().flatten())
    }

    fn regexes(&self) -> impl Iterator<Item = &Regex> {
        (0..).zip(&*self.paths).filter_map(|(index, _)| self.regex(index))
    }

    fn regex(&self, index: u32) -> Option<&Regex> {
        match self.paths.get(index as usize) {
            Some(Path::Regex { regex, .. }) => Some(regex),
            Some(Path::Prefix(_)) | None => None,
        }
    }
}

impl Path {
    /// The literal prefix of every path that matches.
    fn literal(&self) -> &str {
        match self {
            Self::Prefix(prefix) => prefix,
            Self::Regex { texts, .. } => &texts.literal,
        }
    }
}

impl Extras {
    fn is_needed(&self) -> bool {
        !(self.methods.is_empty() && self.headers.is_empty() && self.snis.is_empty())
    }

    fn accept(&self, methods: u16, request: &Request<'_>) -> bool {
        self.accept_method(methods, request.method)
            && self.headers.iter().all(|(name, patterns)| {
                request.headers.get_all(name).iter().any(|value| matches_any(value, patterns))
            })
            && self.accept_sni(request.sni)
    }

    fn accept_method(&self, methods: u16, method: &Method) -> bool {
        methods == method::ANY
            || method::bit(method) != method::OTHER
            || self.methods.iter().any(|name| **name == *method.as_str())
    }

    /// Server names count for requests over TLS only.
    fn accept_sni(&self, sni: Option<&str>) -> bool {
        let Some(sni) = sni else { return true };
        self.snis.is_empty()
            || self.snis.iter().any(|pattern| match &*pattern.key {
                suffix if suffix.starts_with('.') => sni.ends_with(suffix),
                prefix if prefix.ends_with('.') => sni.starts_with(prefix),
                exact => sni == exact,
            })
    }
}

fn matches_any(value: &HeaderValue, patterns: &[HeaderPattern]) -> bool {
    patterns.iter().any(|pattern| match pattern {
        HeaderPattern::Value(wanted) => value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()),
        HeaderPattern::Regex(regex) => {
            std::str::from_utf8(value.as_bytes()).is_ok_and(|value| regex.is_match(value))
        }
    })
}

/// Treats an empty list like a missing one.
fn some<T>(list: Option<&Vec<T>>) -> Option<&[T]> {
    list.map(Vec::as_slice).filter(|list| !list.is_empty())
}

fn host_patterns(hosts: &[String]) -> Box<[HostPattern]> {
    hosts.iter().map(|host| HostPattern::new(host)).collect()
}

fn method_bits(names: &[String]) -> u16 {
    names.iter().filter_map(|name| name.parse().ok()).fold(0, |bits, method| bits | method::bit(&method))
}

fn other_methods(names: &[String]) -> Box<[Box<str>]> {
    let is_other = |name: &&String| name.parse().is_ok_and(|name| method::bit(&name) == method::OTHER);
    names.iter().filter(is_other).map(|name| name.as_str().into()).collect()
}

fn refuse(route: &model::Route, field: &str, message: impl ToString) -> Refusal {
    Refusal::new(model::Route::key(route.id), Some(field), message)
}

fn compile_paths(route: &model::Route, paths: &[String]) -> Result<Box<[Path]>, Refusal> {
    let compile = |path: &String| match path.strip_prefix('~') {
        None => Ok(Path::Prefix(path.as_str().into())),
        Some(pattern) => match model::compile_path(pattern) {
            Ok(compiled) => {
                let texts = RegexTexts { literal: compiled.literal.into(), declared: path.as_str().into() };
                Ok(Path::Regex { regex: compiled.regex, texts: Box::new(texts) })
            }
            Err(error) => Err(refuse(route, "paths", error)),
        },
    };
    paths.iter().map(compile).collect()
}

fn compile_headers(route: &model::Route) -> Result<Box<[HeaderRule]>, Refusal> {
    let compile = |(name, values): (&String, &Vec<String>)| {
        let refuse = |error: String| refuse(route, "headers", format!("{name}: {error}"));
        let patterns = values.iter().map(|value| HeaderPattern::parse(value)).collect::<Result<_, _>>();
        let patterns = patterns.map_err(|error| refuse(error.to_string()))?;
        let name = name.parse().map_err(|_| refuse("not a header name".to_owned()))?;
        Ok((name, patterns))
    };
    route.headers.iter().flatten().map(compile).collect()
}
