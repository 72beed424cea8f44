//! The plain rules of matching: each route is evaluated alone, criterion by criterion. Of the routes that
//! match, the one with the highest priority handles the request.
//!
//! The data plane answers the same question with a table, and tests compare the table with this module. The
//! control plane uses it to explain why one route matches and others do not.

use std::cmp::Reverse;

use regex::Regex;
use uuid::Uuid;

use crate::routing::split_port;
use crate::{
    Columns, HeaderPattern, PatternError, Priority, Route, RouterOrder, compile_path, normalize_pattern,
};

/// The parts of a request that decide on its route, in canonical form.
#[derive(Clone, Copy, Debug)]
pub struct MatchRequest<'r> {
    /// The method.
    pub method: &'r str,
    /// The host, as [`crate::normalize_host`] leaves it, without its port.
    pub host: &'r str,
    /// The port that the client asked for.
    pub port: u16,
    /// The path, as [`crate::normalize_path`] leaves it, without the query.
    pub path: &'r str,
    /// Names and values of the headers, in any case.
    pub headers: &'r [(&'r str, &'r str)],
    /// The server name of the TLS handshake in lower case; `None` for a plaintext request.
    pub sni: Option<&'r str>,
}

/// One criterion of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// The service is enabled, or the route has none.
    Service,
    /// The route is for HTTP.
    Protocol,
    /// One of the route's methods.
    Method,
    /// One of the route's hosts, with the port of that host.
    Host,
    /// One of the route's paths.
    Path,
    /// All of the route's headers.
    Header,
    /// One of the route's server names, over TLS.
    Sni,
}

/// How a route matches. The route with the greatest value handles the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matched {
    /// The priority, in the order in which routes are preferred.
    pub priority: u64,
    /// Among routes of equal priority: the oldest, then the smallest id, then the first path.
    order: Reverse<(i64, Uuid, usize)>,
    /// How many bytes of the path matched; 1 when the route has no paths.
    pub matched: usize,
    columns: Columns,
}

/// A route, compiled for matching.
#[derive(Debug)]
pub struct Matcher {
    route: Route,
    order: RouterOrder,
    paths: Vec<PathPattern>,
    headers: Vec<(String, Vec<HeaderPattern>)>,
}

#[derive(Debug)]
enum PathPattern {
    Prefix(String),
    Regex(Regex),
}

impl Criterion {
    /// Every criterion.
    pub const ALL: [Self; 7] =
        [Self::Service, Self::Protocol, Self::Method, Self::Host, Self::Path, Self::Header, Self::Sni];

    /// The criterion's name in the Admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Protocol => "protocol",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Header => "header",
            Self::Sni => "sni",
        }
    }
}

impl Matched {
    /// The route's path that matched; `None` when the route has none.
    pub fn path(self, route: &Route) -> Option<&str> {
        route.paths.as_ref()?.get(self.order.0.2).map(String::as_str)
    }

    /// The columns of the priority.
    pub fn columns(self) -> Columns {
        self.columns
    }
}

impl Matcher {
    /// Compiles the patterns of `route`.
    ///
    /// # Errors
    /// One of its regular expressions does not compile.
    pub fn new(route: Route) -> Result<Self, PatternError> {
        let path = |path: &String| match path.strip_prefix('~') {
            Some(pattern) => compile_path(pattern).map(|path| PathPattern::Regex(path.regex)),
            None => Ok(PathPattern::Prefix(path.clone())),
        };
        let paths = route.paths.iter().flatten().map(path).collect::<Result<_, _>>()?;
        let header = |(name, values): (&String, &Vec<String>)| {
            let patterns = values.iter().map(|value| HeaderPattern::parse(value));
            Ok((name.clone(), patterns.collect::<Result<_, PatternError>>()?))
        };
        let headers = route.headers.iter().flatten().map(header).collect::<Result<_, PatternError>>()?;
        Ok(Self { route, order: RouterOrder::default(), paths, headers })
    }

    /// The same route, which competes in `order`. Routes that are compared must have the same one.
    #[must_use]
    pub fn with_order(self, order: RouterOrder) -> Self {
        Self { order, ..self }
    }

    /// The route.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The criteria that the request does not meet; empty when the route matches. `enabled` says whether the
    /// route's service is enabled, or the route has none.
    pub fn unmet(&self, request: &MatchRequest<'_>, enabled: bool) -> Vec<Criterion> {
        Criterion::ALL.into_iter().filter(|criterion| !self.meets(*criterion, request, enabled)).collect()
    }

    /// How the route matches; `None` when it does not.
    pub fn hit(&self, request: &MatchRequest<'_>, enabled: bool) -> Option<Matched> {
        let meets = |criterion| self.meets(criterion, request, enabled);
        if Criterion::ALL.into_iter().all(meets) { self.best_path(request.path) } else { None }
    }

    fn meets(&self, criterion: Criterion, request: &MatchRequest<'_>, enabled: bool) -> bool {
        let route = &self.route;
        match criterion {
            Criterion::Service => enabled,
            Criterion::Protocol => route.protocols.iter().any(|protocol| protocol.is_http()),
            Criterion::Method => any(route.methods.as_ref(), |method| method == request.method),
            Criterion::Host => any(route.hosts.as_ref(), |host| accepts_host(host, request)),
            Criterion::Path => self.best_path(request.path).is_some(),
            Criterion::Header => self.accepts_headers(request.headers),
            Criterion::Sni => self.accepts_sni(request.sni),
        }
    }

    /// Each path competes with a priority of its own.
    fn best_path(&self, path: &str) -> Option<Matched> {
        let base = Priority::of(&self.route);
        let hit = |index, columns: Columns, matched| {
            let order = Reverse((self.route.created_at, self.route.id, index));
            Matched { priority: columns.priority(self.order), order, matched, columns }
        };
        if self.paths.is_empty() {
            return Some(hit(0, base.under_prefix(0), path.len().min(1)));
        }
        let judge = |(index, pattern): (usize, &PathPattern)| match pattern {
            PathPattern::Prefix(prefix) => path
                .starts_with(prefix.as_str())
                .then(|| hit(index, base.under_prefix(prefix.len()), prefix.len())),
            PathPattern::Regex(regex) => regex
                .find(path)
                .map(|found| hit(index, base.under_regex(self.route.regex_priority), found.end())),
        };
        self.paths.iter().enumerate().filter_map(judge).max()
    }

    fn accepts_headers(&self, sent: &[(&str, &str)]) -> bool {
        let accepts = |pattern: &HeaderPattern, value: &str| match pattern {
            HeaderPattern::Value(wanted) => value.eq_ignore_ascii_case(wanted),
            HeaderPattern::Regex(regex) => regex.is_match(value),
        };
        self.headers.iter().all(|(name, patterns)| {
            let mut values = sent.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            values.any(|(_, value)| patterns.iter().any(|pattern| accepts(pattern, value)))
        })
    }

    fn accepts_sni(&self, sni: Option<&str>) -> bool {
        sni.is_none_or(|sni| any(self.route.snis.as_ref(), |pattern| accepts_name(pattern, sni)))
    }
}

/// Chooses the route for a request. Each route comes with the state of its service (enabled or not).
pub fn decide<'m>(
    routes: impl IntoIterator<Item = (&'m Matcher, bool)>,
    request: &MatchRequest<'_>,
) -> Option<(&'m Matcher, Matched)> {
    let hits = routes.into_iter().filter_map(|(route, enabled)| Some((route, route.hit(request, enabled)?)));
    hits.max_by_key(|(_, hit)| *hit)
}

/// An empty list means the same as no list: every value matches.
fn any(list: Option<&Vec<String>>, accepts: impl Fn(&str) -> bool) -> bool {
    list.is_none_or(|list| list.is_empty() || list.iter().any(|one| accepts(one)))
}

fn accepts_host(pattern: &str, request: &MatchRequest<'_>) -> bool {
    let (name, port) = split_port(pattern).unwrap_or((pattern, ""));
    let port_fits = port.is_empty() || port.parse() == Ok(request.port);
    port_fits && accepts_name(name, request.host)
}

/// Matches `*.suffix`, `prefix.*` or a name. Patterns may have any case, and the dot of the root.
fn accepts_name(pattern: &str, name: &str) -> bool {
    let pattern = normalize_pattern(pattern);
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => name.ends_with(suffix),
        (_, Some(prefix)) => name.starts_with(prefix),
        _ => name == pattern,
    }
}
