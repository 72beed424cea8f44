//! Routes on whose order the two [orders](RouterOrder) disagree, each pair with a request that shows it. For
//! those who move from Kong 3.4 to 3.9: the same routes may lead elsewhere.

mod sample;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::matching::{MatchRequest, Matcher, decide};
use crate::priority::Priority;
use crate::{Route, RouterOrder};

/// Pairs of classes that are compared, at most: less than a second.
const CLASS_PAIRS: usize = 50_000_000;
/// Pairs of routes for which a request is sought, at most.
const PAIRS: usize = 100_000;
/// Evaluations of one route for one request, at most: some seconds.
const EVALUATIONS: usize = 4_000_000;
/// Disagreements that are returned, at most.
const FOUND: usize = 100;

/// Where the two orders disagree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disagreements {
    /// At most one for each pair of routes.
    pub found: Vec<Disagreement>,
    /// Whether the search has ended at one of its bounds: there may be more.
    pub bounded: bool,
}

/// A request that the two orders lead to different routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The route that [`RouterOrder::Strict`] prefers.
    pub strict: Uuid,
    /// The route that [`RouterOrder::Kong3`] prefers.
    pub kong3: Uuid,
    /// The request.
    pub request: SampleRequest,
}

/// A request that two routes match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRequest {
    /// The method.
    pub method: String,
    /// The host, without a port.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
    /// Names and values of headers.
    pub headers: Vec<(String, String)>,
}

/// The routes with one pair of priorities, by index, each with the index of its path.
type Class = ((u64, u64), Vec<(usize, usize)>);

/// Returns requests on which the two orders disagree. The search is bounded, and does not know every request that
/// a regular expression matches.
pub fn disagreements(routes: &[Route]) -> Disagreements {
    let classes = classes(routes);
    let mut result = Disagreements { bounded: count_of_pairs(&classes) > CLASS_PAIRS, ..Default::default() };
    let mut pairs = inverted_pairs(classes).peekable();
    // Most configurations have no such pair, and so need no matchers.
    let matchers = if pairs.peek().is_some() { Matchers::new(routes) } else { return result };
    let (mut sought, mut seen) = (0, BTreeSet::new());
    let mut left = EVALUATIONS / routes.len().max(1);
    for ((a, path_of_a), (b, path_of_b)) in pairs {
        if sought == PAIRS || result.found.len() == FOUND || left == 0 {
            result.bounded = true;
            break;
        }
        sought += 1;
        let Some(request) = sample::common(&routes[a], path_of_a, &routes[b], path_of_b) else { continue };
        left -= 1;
        let Some((strict, kong3)) = matchers.winners(&request) else { continue };
        if strict != kong3 && seen.insert((strict, kong3)) {
            result.found.push(Disagreement { strict, kong3, request });
        }
    }
    result
}

fn classes(routes: &[Route]) -> Vec<Class> {
    let mut classes = BTreeMap::<_, Vec<_>>::new();
    for (index, route) in routes.iter().enumerate() {
        for (path, columns) in columns(route) {
            let key = (columns.priority(RouterOrder::Strict), columns.priority(RouterOrder::Kong3));
            classes.entry(key).or_default().push((index, path));
        }
    }
    classes.into_iter().collect()
}

const fn count_of_pairs(classes: &[Class]) -> usize {
    classes.len().saturating_mul(classes.len().saturating_sub(1)) / 2
}

/// The pairs of routes, each with one of its paths, that the two orders put in opposite order, or of which Kong's
/// prefers neither, so that their age decides.
fn inverted_pairs(classes: Vec<Class>) -> impl Iterator<Item = ((usize, usize), (usize, usize))> {
    let count = classes.len();
    let pairs = (0..count).flat_map(move |a| (a + 1..count).map(move |b| (a, b))).take(CLASS_PAIRS);
    // The first of a pair has the lower strict priority.
    pairs.flat_map(move |(a, b)| {
        let (low, high) = (&classes[a], &classes[b]);
        let inverted = low.0.0 < high.0.0 && low.0.1 >= high.0.1;
        let members = if inverted { (low.1.clone(), high.1.clone()) } else { Default::default() };
        let (low, high) = members;
        low.into_iter().flat_map(move |one| high.clone().into_iter().map(move |other| (one, other)))
    })
}

/// The columns of a route under each of its paths.
fn columns(route: &Route) -> Vec<(usize, crate::Columns)> {
    let base = Priority::of(route);
    let of = |(index, path): (usize, &String)| {
        let columns = match path.starts_with('~') {
            true => base.under_regex(route.regex_priority),
            false => base.under_prefix(path.len()),
        };
        (index, columns)
    };
    match route.paths.as_deref().unwrap_or_default() {
        [] => vec![(0, base.under_prefix(0))],
        paths => paths.iter().enumerate().map(of).collect(),
    }
}

/// The routes, compiled for each of the orders.
struct Matchers {
    strict: Vec<Matcher>,
    kong3: Vec<Matcher>,
}

impl Matchers {
    fn new(routes: &[Route]) -> Self {
        let compile = |order| {
            let matchers = routes.iter().filter_map(|route| Matcher::new(route.clone()).ok());
            matchers.map(|matcher| matcher.with_order(order)).collect()
        };
        Self { strict: compile(RouterOrder::Strict), kong3: compile(RouterOrder::Kong3) }
    }

    /// The routes that a request takes in each order.
    fn winners(&self, request: &SampleRequest) -> Option<(Uuid, Uuid)> {
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let asked = MatchRequest {
            method: &request.method,
            host: &request.host,
            port: request.port,
            path: &request.path,
            headers: &headers,
            sni: None,
        };
        let winner = |all: &[Matcher]| {
            decide(all.iter().map(|matcher| (matcher, true)), &asked).map(|(matcher, _)| matcher.route().id)
        };
        Some((winner(&self.strict)?, winner(&self.kong3)?))
    }
}

#[cfg(test)]
mod tests;
