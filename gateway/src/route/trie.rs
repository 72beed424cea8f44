//! The routes of one host: a radix trie over the bytes of path prefixes. Versions of a table share nodes; an
//! edit copies the shared nodes on one path. The shape depends on the present routes alone, not on the
//! history of edits.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use uuid::Uuid;

use super::bytes;
use super::entry::Entry;

/// Bytes stored within a node, which suffices for most labels and the first bytes of most children.
type Bytes = SmallVec<[u8; 16]>;

/// The routes under one prefix, and the longer prefixes below it. With its counts it takes 128 bytes, and
/// most nodes take no more. In a large table hardly a node is in a cache, and each further cache line is a
/// wait for memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// The bytes that this node adds to its parent's prefix; empty at the root alone.
    label: Bytes,
    /// The highest priority here and below: a search with a better match stops.
    pub(super) best: u64,
    /// Sorted, the best first.
    pub(super) candidates: SmallVec<[Candidate; 1]>,
    /// The first bytes of the children's labels, sorted.
    firsts: Bytes,
    /// The children, in the order of `firsts`.
    children: Vec<Arc<Self>>,
}

/// A route under one of its paths and one of its hosts.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) priority: u64,
    pub(super) entry: Arc<Entry>,
    /// The port that this host of the route requires; 0: any.
    pub(super) port: u16,
    /// Index of the path in the entry; past the end when the route has no paths.
    pub(super) path: u32,
    /// Whether that path is a regular expression. Stored here too, since the entry's paths are further away.
    pub(super) is_regex: bool,
}

impl Candidate {
    /// Whether this candidate wins a request that both match: by priority, then the older route, then the
    /// smaller id, then the path that is listed first.
    pub(super) fn outranks(&self, other: &Self) -> bool {
        match self.priority.cmp(&other.priority) {
            // Only now: the entries are further away.
            Ordering::Equal => self.age() < other.age(),
            order => order.is_gt(),
        }
    }

    fn age(&self) -> impl Ord + use<> {
        (self.entry.created_at, self.entry.id, self.path)
    }
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty() && self.children.is_empty()
    }

    /// The rest of `path` after this node's label.
    pub(super) fn strip<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        bytes::strip_prefix(path, &self.label)
    }

    /// The child that continues with `rest`, if there is one.
    pub(super) fn child(&self, rest: &[u8]) -> Option<&Self> {
        let at = self.position(*rest.first()?).ok()?;
        Some(&self.children[at])
    }

    /// Puts `candidate` under `prefix`.
    pub(super) fn insert(root: &mut Arc<Self>, prefix: &[u8], candidate: Candidate) {
        let mut node = Arc::make_mut(root);
        let mut rest = prefix;
        loop {
            let shared = shared_len(&node.label, rest);
            if shared < node.label.len() {
                node.split(shared);
            }
            node.best = node.best.max(candidate.priority);
            rest = &rest[shared..];
            let Some(&first) = rest.first() else { return node.add(candidate) };
            match node.position(first) {
                Ok(at) => node = Arc::make_mut(&mut node.children[at]),
                Err(at) => {
                    node.firsts.insert(at, first);
                    return node.children.insert(at, Arc::new(Self::leaf(rest, candidate)));
                }
            }
        }
    }

    /// Removes every candidate of the route `id` under `prefix`.
    pub(super) fn remove(node: &mut Arc<Self>, prefix: &[u8], id: Uuid) {
        let Some(rest) = node.strip(prefix) else { return };
        let node = Arc::make_mut(node);
        if let Some(&first) = rest.first() {
            let Ok(at) = node.position(first) else { return };
            Self::remove(&mut node.children[at], rest, id);
            node.tidy(at);
        } else {
            node.candidates.retain(|candidate| candidate.entry.id != id);
        }
        node.best = node.highest();
    }

    fn leaf(label: &[u8], candidate: Candidate) -> Self {
        let best = candidate.priority;
        Self { label: label.into(), best, candidates: smallvec![candidate], ..Self::default() }
    }

    fn position(&self, first: u8) -> Result<usize, usize> {
        self.firsts.binary_search(&first)
    }

    fn add(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|other| other.outranks(&candidate));
        self.candidates.insert(at, candidate);
    }

    /// Splits the label after `len` bytes; the contents move one node down.
    fn split(&mut self, len: usize) {
        let first = self.label[len];
        let mut below = std::mem::take(self);
        self.label = below.label[..len].into();
        self.best = below.best;
        below.label = below.label[len..].into();
        self.firsts = smallvec![first];
        self.children = vec![Arc::new(below)];
    }

    /// Drops an emptied child, or joins one with its only child.
    fn tidy(&mut self, at: usize) {
        let child = &mut self.children[at];
        match (child.candidates.is_empty(), child.children.len()) {
            (true, 0) => {
                self.firsts.remove(at);
                self.children.remove(at);
            }
            (true, 1) => Arc::make_mut(child).join(),
            _ => {}
        }
    }

    /// Replaces this node by its only child.
    fn join(&mut self) {
        if let Some(only) = self.children.pop() {
            let below = Arc::unwrap_or_clone(only);
            let label = self.label.iter().chain(&below.label).copied().collect();
            *self = Self { label, ..below };
        }
    }

    fn highest(&self) -> u64 {
        let here = self.candidates.first().map_or(0, |candidate| candidate.priority);
        self.children.iter().map(|child| child.best).fold(here, u64::max)
    }
}

fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
