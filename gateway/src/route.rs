//! Finds the route of a request. Owns the routes and their order; knows nothing of sockets, of Pingora, or of
//! the source of the configuration.
//!
//! [`Routes`] map hosts to tries of path prefixes (see `trie`), in whose nodes the routes are sorted by
//! [priority](self#priority). A search walks one path of the trie for each host pattern that the request's
//! host matches. It skips every subtree whose best route is worse than the match found so far. Versions share
//! the unchanged parts: the work of a change is in proportion to the change.
//!
//! # Priority
//!
//! Priorities are those of Kong's `traditional_compatible` router, in one of two orders: see
//! [`model::Priority`]. Of routes with equal priority the oldest wins, then the one with the smallest id. The
//! routes are sorted by the order of their configuration; when that changes, all are sorted again.

mod bytes;
mod entry;
mod host;
mod method;
mod trie;

use std::sync::Arc;

use http::{HeaderMap, Method};
use model::RouterOrder;
use smallvec::SmallVec;
use uuid::Uuid;

pub use entry::Entry;

use crate::section::{ById, Changes, KeyOf, Map, Refusal, Service, Settings, Store};
use trie::{Candidate, Node};

/// Every route of one configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    by_id: Map<Entry, ById>,
    order: RouterOrder,
    /// By the key of the host pattern.
    hosts: Map<HostRoutes, ByHost>,
    /// Routes for any host.
    any_host: Node,
    /// How many host patterns of routes have a wildcard; with none, a lookup skips wildcards.
    wildcards: usize,
}

/// The routes of one host pattern. A single route needs no further memory for its place.
#[derive(Clone, Debug)]
struct HostRoutes {
    key: SmallVec<[u8; 32]>,
    root: Node,
}

/// Keys a map by the keys of host patterns.
#[derive(Clone, Copy, Debug)]
struct ByHost;

impl KeyOf<HostRoutes> for ByHost {
    type Key = [u8];

    fn key(value: &HostRoutes) -> &[u8] {
        &value.key
    }

    fn same(a: &[u8], b: &[u8]) -> bool {
        bytes::same(a, b)
    }
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

impl Routes {
    /// The matching route with the highest priority, and its service of `services`. Allocates nothing.
    pub fn lookup(&self, request: &Request<'_>, services: &Map<Service, ById>) -> Option<Match> {
        let mut search = Search { services, request, method: method::bit(request.method), best: None };
        if let Some(root) = self.root(request.host) {
            search.walk(root);
        }
        if self.wildcards > 0 {
            host::wildcard_keys(request.host)
                .filter_map(|key| self.root(key))
                .for_each(|root| search.walk(root));
        }
        search.walk(&self.any_host);
        search.best.map(|found| found.into_match(request))
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn root(&self, key: &str) -> Option<&Node> {
        self.hosts.get(key.as_bytes()).map(|host| &host.root)
    }

    /// The root of a host pattern, to be edited; made when there is none.
    fn edit_root(&mut self, key: &str) -> &mut Node {
        let key = key.as_bytes();
        let make = || HostRoutes { key: key.into(), root: Node::default() };
        &mut self.hosts.edit(key, make).root
    }

    fn insert(&mut self, route: &Arc<Entry>) {
        for place in route.places(self.order) {
            let candidate = |port| Candidate {
                priority: place.priority,
                entry: route.clone(),
                port,
                path: place.path,
                is_regex: place.is_regex,
            };
            if route.hosts.is_empty() {
                self.any_host.insert(place.prefix, candidate(0));
            }
            for host in &route.hosts {
                self.edit_root(&host.key).insert(place.prefix, candidate(host.port));
            }
        }
        self.wildcards += route.hosts.iter().filter(|host| host.is_wildcard()).count();
        self.by_id.insert(route.clone());
    }

    fn remove(&mut self, id: &Uuid) {
        let Some(route) = self.by_id.remove(id) else { return };
        for place in route.places(self.order) {
            if route.hosts.is_empty() {
                self.any_host.remove(place.prefix, route.id);
            }
            for host in &route.hosts {
                let root = self.edit_root(&host.key);
                root.remove(place.prefix, route.id);
                if root.is_empty() {
                    self.hosts.remove(host.key.as_bytes());
                }
            }
        }
        self.wildcards -= route.hosts.iter().filter(|host| host.is_wildcard()).count();
    }
}

impl Store<Entry> for Routes {
    fn get(&self, id: &Uuid) -> Option<Arc<Entry>> {
        self.by_id.get(id).cloned()
    }

    fn each(&self, mut visit: impl FnMut(&Entry)) {
        self.by_id.each(|route| visit(route));
    }

    /// Sorts all routes again when the order changes.
    fn apply(&mut self, changes: &Changes<Entry>, settings: Settings) -> Result<(), Refusal> {
        if self.order != settings.order {
            let before = std::mem::take(self);
            self.order = settings.order;
            before.by_id.each(|route| self.insert(route));
        }
        for (id, change) in changes {
            self.remove(id);
            change.iter().for_each(|route| self.insert(route));
        }
        Ok(())
    }
}

/// Prefixes of a path that are passed before the first of them is looked at.
const PASSED: usize = 4;

/// One lookup, and its best match so far.
struct Search<'t, 'r> {
    services: &'t Map<Service, ById>,
    request: &'r Request<'r>,
    method: u16,
    best: Option<Matched<'t>>,
}

/// A match of a search.
#[derive(Clone, Copy)]
struct Matched<'t> {
    candidate: &'t Candidate,
    /// The service of its route.
    service: Option<&'t Arc<Service>>,
    /// How many bytes of the path led to it.
    depth: usize,
}

impl Matched<'_> {
    fn into_match(self, request: &Request<'_>) -> Match {
        let (candidate, entry) = (self.candidate, &self.candidate.entry);
        let matched = match () {
            () if candidate.is_regex => entry.matched_by_regex(candidate.path, request.path),
            // As if the first slash had matched.
            () if self.depth == 0 => request.path.len().min(1),
            () => self.depth,
        };
        Match { route: entry.clone(), service: self.service.cloned(), matched }
    }
}

impl<'t> Search<'t, '_> {
    /// Searches the nodes whose prefixes the path begins with. The longest prefix comes first: most often its
    /// route is the best, so that those of the others need not be fetched from memory.
    fn walk(&mut self, root: &'t Node) {
        let mut rest = self.request.path.as_bytes();
        let mut next = Some(root);
        let mut passed = [(&[][..], 0); PASSED];
        while let Some(node) = next {
            if self.best.is_some_and(|best| best.candidate.priority > node.best()) {
                break;
            }
            let Some(behind) = node.strip(rest) else { break };
            rest = behind;
            let candidates = node.candidates();
            if !candidates.is_empty() {
                passed.rotate_right(1);
                let here = (candidates, self.request.path.len() - rest.len());
                let (candidates, depth) = std::mem::replace(&mut passed[0], here);
                self.consider(candidates, depth);
            }
            next = node.child(rest);
        }
        passed.into_iter().for_each(|(candidates, depth)| self.consider(candidates, depth));
    }

    /// Takes the first of `candidates` that is better than the match so far and accepts the request. The
    /// candidates come best first.
    fn consider(&mut self, candidates: &'t [Candidate], depth: usize) {
        for candidate in candidates {
            if self.best.is_some_and(|best| !candidate.outranks(best.candidate)) {
                return;
            }
            if !self.accepts(candidate) {
                continue;
            }
            let service = candidate.entry.service_id().and_then(|id| self.services.get(&id));
            if service.is_none_or(|service| service.enabled) {
                self.best = Some(Matched { candidate, service, depth });
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
    }
}
