//! Finds the route of a request. Owns the table and its order; knows nothing of sockets, of Pingora, or of
//! the source of the configuration.
//!
//! A [`Table`] never changes. A [`Builder`] makes the next table from the one before and shares the unchanged
//! parts. The work is therefore in proportion to the change.
//!
//! A table maps hosts to tries of path prefixes (see `map` and `trie`), in whose nodes the routes are sorted
//! by [priority](self#priority). A search walks one path of the trie for each host pattern that the request's
//! host matches. It skips every subtree whose best route is worse than the match found so far.
//!
//! # Priority
//!
//! Priorities are those of Kong's `traditional_compatible` router: see [`model::Priority`]. Of routes with
//! equal priority the oldest wins, then the one with the smallest id.

mod builder;
mod bytes;
mod certificates;
mod entry;
mod host;
mod map;
mod method;
mod refusal;
mod service;
mod service_arena;
mod trie;

use std::sync::Arc;

use http::{HeaderMap, Method};

pub use builder::{Builder, Change};
pub use certificates::Certificates;
pub use entry::Entry;
pub use refusal::Refusal;
pub use service::{Host, Service};

use map::Map;
use service_arena::ServiceArena;
use trie::{Candidate, Node};

/// Every route, service and certificate of one configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By the key of the host pattern.
    hosts: Map<Arc<Node>>,
    /// Routes for any host.
    any_host: Arc<Node>,
    services: ServiceArena,
    certificates: Certificates,
    /// How many host patterns of routes have a wildcard; with none, a lookup skips wildcards.
    wildcards: usize,
    routes: usize,
}

/// The parts of a request that decide on its route, in canonical form.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: &'r Method,
    /// The host: lower case, without port and trailing dot.
    pub host: &'r str,
    /// The port that the client asked for.
    pub port: u16,
    /// The path as [`model::normalize_path`] leaves it, without the query.
    pub path: &'r str,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The server name of the TLS handshake in lower case; `None` for a plaintext request.
    pub sni: Option<&'r str>,
}

/// The route that a request takes.
#[derive(Clone, Debug)]
pub struct Match {
    /// The route.
    pub route: Arc<Entry>,
    /// Its service; `None` when the route has none.
    pub service: Option<Arc<Service>>,
    /// How many bytes of the path the route's path matched; 1 when the route has no paths.
    pub matched: usize,
}

impl Table {
    /// The matching route with the highest priority. Allocates nothing.
    pub fn lookup(&self, request: &Request<'_>) -> Option<Match> {
        let mut search = Search { table: self, request, method: method::bit(request.method), best: None };
        if let Some(root) = self.hosts.get(request.host) {
            search.walk(root);
        }
        if self.wildcards > 0 {
            host::wildcard_keys(request.host)
                .filter_map(|key| self.hosts.get(key))
                .for_each(|root| search.walk(root));
        }
        search.walk(&self.any_host);
        search.best.map(|found| self.matched(found, request))
    }

    /// Whether an upstream may read the request's path as one that leads to another route than `found`, the
    /// route of the request.
    pub fn has_another_reading(&self, request: &Request<'_>, found: &Match) -> bool {
        let leads_elsewhere = |path: &String| {
            let other = self.lookup(&Request { path, ..*request });
            other.is_none_or(|other| other.route.id != found.route.id)
        };
        model::other_readings(request.path).iter().any(leads_elsewhere)
    }

    /// The certificates for TLS handshakes with clients and with upstreams.
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    fn matched(&self, found: Matched<'_>, request: &Request<'_>) -> Match {
        let (candidate, entry) = (found.candidate, &found.candidate.entry);
        let matched = match () {
            () if candidate.is_regex => entry.matched_by_regex(candidate.path, request.path),
            // As if the first slash had matched.
            () if found.depth == 0 => request.path.len().min(1),
            () => found.depth,
        };
        Match { route: entry.clone(), service: self.service(entry).cloned(), matched }
    }

    fn service(&self, route: &Entry) -> Option<&Arc<Service>> {
        route.service.and_then(|(_, slot)| self.services.get(slot))
    }

    fn insert(&mut self, route: &Arc<Entry>) {
        for place in route.places() {
            let candidate = |port| Candidate {
                priority: place.priority,
                entry: route.clone(),
                port,
                path: place.path,
                is_regex: place.is_regex,
            };
            if route.hosts.is_empty() {
                Node::insert(&mut self.any_host, place.prefix, candidate(0));
            }
            for host in &route.hosts {
                let root = self.hosts.entry(&host.key);
                Node::insert(root, place.prefix, candidate(host.port));
            }
        }
        self.wildcards += route.hosts.iter().filter(|host| host.is_wildcard()).count();
        self.routes += 1;
    }

    fn remove(&mut self, route: &Entry) {
        for place in route.places() {
            if route.hosts.is_empty() {
                Node::remove(&mut self.any_host, place.prefix, route.id);
            }
            for host in &route.hosts {
                let root = self.hosts.entry(&host.key);
                Node::remove(root, place.prefix, route.id);
                if root.is_empty() {
                    self.hosts.remove(&host.key);
                }
            }
        }
        self.wildcards -= route.hosts.iter().filter(|host| host.is_wildcard()).count();
        self.routes -= 1;
    }
}

/// One lookup, and its best match so far.
struct Search<'t, 'r> {
    table: &'t Table,
    request: &'r Request<'r>,
    method: u16,
    best: Option<Matched<'t>>,
}

/// A match of a search.
#[derive(Clone, Copy)]
struct Matched<'t> {
    candidate: &'t Candidate,
    /// How many bytes of the path led to it.
    depth: usize,
}

impl<'t> Search<'t, '_> {
    /// Searches the nodes whose prefixes the path begins with.
    fn walk(&mut self, root: &'t Node) {
        let mut rest = self.request.path.as_bytes();
        let mut next = Some(root);
        while let Some(node) = next {
            if self.best.is_some_and(|best| best.candidate.priority > node.best) {
                return;
            }
            let Some(behind) = node.strip(rest) else { return };
            rest = behind;
            self.consider(&node.candidates, self.request.path.len() - rest.len());
            next = node.child(rest);
        }
    }

    /// Takes the first of `candidates` that is better than the match so far and accepts the request. The
    /// candidates come best first.
    fn consider(&mut self, candidates: &'t [Candidate], depth: usize) {
        for candidate in candidates {
            if self.best.is_some_and(|best| !candidate.outranks(best.candidate)) {
                return;
            }
            if self.accepts(candidate) {
                self.best = Some(Matched { candidate, depth });
                return;
            }
        }
    }

    fn accepts(&self, candidate: &Candidate) -> bool {
        let entry = &candidate.entry;
        entry.methods & self.method != 0
            && (candidate.port == 0 || candidate.port == self.request.port)
            && (!candidate.is_regex || entry.regex_matches(candidate.path, self.request.path))
            && entry.accepts(self.request)
            && self.table.service(entry).is_none_or(|service| service.enabled)
    }
}
