//! The routes of one host: a radix trie over the bytes of path prefixes. Versions of a table share nodes; an
//! edit copies the shared nodes on one path. The shape depends on the present routes alone, not on the
//! history of edits.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use triomphe::{HeaderSliceWithLengthProtected, ThinArc};
use uuid::Uuid;

use super::bytes;
use super::entry::Entry;

/// The routes under one prefix, and the longer prefixes below it. A node holds its label and the first bytes
/// of its children, so that a search finds the next child with about one wait for memory; a long label or
/// many children need a second one. In a large table hardly a node is in a cache, and most are one route with
/// nothing below. A node takes 48 bytes, in the list of its parent.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Leaf),
    Branch(Branch),
}

/// One route.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// The bytes that it adds to its parent's prefix; empty at a root only.
    label: SmallVec<[u8; 16]>,
    candidate: Candidate,
}

/// Any other node.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// The bytes that this node adds to its parent's prefix, its label; empty at a root only. Behind them the
    /// first bytes of the children's labels, sorted.
    text: SmallVec<[u8; 16]>,
    /// How many bytes the label has.
    label_len: u32,
    /// The routes under exactly this prefix, and the children in the order of their first bytes.
    below: ThinArc<Here, Node>,
}

/// The part of a branch that versions share.
type Below = HeaderSliceWithLengthProtected<Here, Node>;

/// The routes under exactly the prefix of a branch.
#[derive(Clone, Debug, Default)]
struct Here {
    /// The highest priority here and below.
    best: u64,
    /// Sorted, the best first.
    candidates: SmallVec<[Candidate; 1]>,
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
        self.candidates().is_empty() && matches!(self, Self::Branch(branch) if branch.firsts().is_empty())
    }

    /// The highest priority here and below: a search with a better match stops.
    pub(super) fn best(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.candidate.priority,
            Self::Branch(branch) => branch.here().best,
        }
    }

    /// The routes under exactly this prefix, the best first.
    pub(super) fn candidates(&self) -> &[Candidate] {
        match self {
            Self::Leaf(leaf) => std::slice::from_ref(&leaf.candidate),
            Self::Branch(branch) => &branch.here().candidates,
        }
    }

    /// The rest of `path` after this node's label.
    pub(super) fn strip<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        bytes::strip_prefix(path, self.label())
    }

    /// The child that continues with `rest`, if there is one.
    pub(super) fn child(&self, rest: &[u8]) -> Option<&Self> {
        let Self::Branch(branch) = self else { return None };
        let at = branch.position(*rest.first()?).ok()?;
        branch.children().get(at)
    }

    /// Puts `candidate` under `prefix`.
    pub(super) fn insert(&mut self, prefix: &[u8], candidate: Candidate) {
        if self.is_empty() {
            *self = Self::leaf(prefix, candidate);
            return;
        }
        let shared = shared_len(self.label(), prefix);
        let branch = self.branch_at(shared);
        let rest = &prefix[shared..];
        let Some(&first) = rest.first() else {
            return branch.edit(|below| below.header_mut().add(candidate));
        };
        match branch.position(first) {
            Ok(at) => branch.edit(|below| {
                let best = &mut below.header_mut().best;
                *best = candidate.priority.max(*best);
                below.slice_mut()[at].insert(rest, candidate);
            }),
            Err(at) => branch.put(at, first, Self::leaf(rest, candidate)),
        }
    }

    /// Removes every candidate of the route `id` under `prefix`.
    pub(super) fn remove(&mut self, prefix: &[u8], id: Uuid) {
        let Some(rest) = self.strip(prefix) else { return };
        match self {
            Self::Leaf(leaf) if rest.is_empty() && leaf.candidate.entry.id == id => *self = Self::default(),
            Self::Leaf(_) => {}
            Self::Branch(branch) => {
                branch.remove(rest, id);
                self.tidy();
            }
        }
    }

    /// Whether nothing is left without the route `id` under `prefix`.
    fn is_leaf_of(&self, prefix: &[u8], id: Uuid) -> bool {
        matches!(self, Self::Leaf(leaf) if *leaf.label == *prefix && leaf.candidate.entry.id == id)
    }

    fn leaf(label: &[u8], candidate: Candidate) -> Self {
        Self::Leaf(Leaf { label: label.into(), candidate })
    }

    fn label(&self) -> &[u8] {
        match self {
            Self::Leaf(leaf) => &leaf.label,
            Self::Branch(branch) => branch.label(),
        }
    }

    /// Cuts the label after `len` bytes, which makes this a branch. What it was becomes a child if its label
    /// was longer.
    fn branch_at(&mut self, len: usize) -> &mut Branch {
        let (best, label) = (self.best(), self.label());
        let above = match (label.get(len), &*self) {
            (None, Self::Branch(_)) => None,
            (None, Self::Leaf(Leaf { candidate, .. })) => {
                let here = Here { best, candidates: smallvec![candidate.clone()] };
                Some(Branch::new(label, here, None))
            }
            (Some(first), _) => {
                let here = Here { best, ..Here::default() };
                Some(Branch::new(&label[..len], here, Some((*first, self.relabelled(&label[len..])))))
            }
        };
        if let Some(above) = above {
            *self = Self::Branch(above);
        }
        self.as_branch().expect("it is a branch, or was just made one")
    }

    fn as_branch(&mut self) -> Option<&mut Branch> {
        match self {
            Self::Leaf(_) => None,
            Self::Branch(branch) => Some(branch),
        }
    }

    /// The same with another label.
    fn relabelled(&self, label: &[u8]) -> Self {
        match self {
            Self::Leaf(leaf) => Self::leaf(label, leaf.candidate.clone()),
            Self::Branch(branch) => {
                Self::Branch(Branch::labelled(label, branch.firsts(), branch.below.clone()))
            }
        }
    }

    /// Makes a branch with one route a leaf, and joins one that has only a child with it.
    fn tidy(&mut self) {
        let Self::Branch(branch) = self else { return };
        match (&branch.here().candidates[..], branch.children()) {
            ([], []) => *self = Self::default(),
            ([only], []) => *self = Self::leaf(branch.label(), only.clone()),
            ([], [only]) => *self = only.relabelled(&[branch.label(), only.label()].concat()),
            _ => {}
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::Branch(Branch::new(&[], Here::default(), None))
    }
}

impl Branch {
    fn new(label: &[u8], here: Here, child: Option<(u8, Node)>) -> Self {
        let (firsts, children): (Vec<_>, Vec<_>) = child.into_iter().unzip();
        let below = ThinArc::from_header_and_iter(here, children.into_iter());
        Self::labelled(label, &firsts, below)
    }

    fn labelled(label: &[u8], firsts: &[u8], below: ThinArc<Here, Node>) -> Self {
        let label_len = u32::try_from(label.len()).expect("paths are shorter");
        Self { text: label.iter().chain(firsts).copied().collect(), label_len, below }
    }

    fn label(&self) -> &[u8] {
        &self.text[..self.label_len as usize]
    }

    fn firsts(&self) -> &[u8] {
        &self.text[self.label_len as usize..]
    }

    fn here(&self) -> &Here {
        &self.below.header.header
    }

    fn children(&self) -> &[Node] {
        &self.below.slice
    }

    fn position(&self, first: u8) -> Result<usize, usize> {
        self.firsts().binary_search(&first)
    }

    /// Adds a child.
    fn put(&mut self, at: usize, first: u8, child: Node) {
        let mut here = self.here().clone();
        here.best = here.best.max(child.best());
        let mut children = self.children().to_vec();
        children.insert(at, child);
        self.text.insert(self.label_len as usize + at, first);
        self.below = ThinArc::from_header_and_iter(here, children.into_iter());
    }

    fn drop_child(&mut self, at: usize) {
        let mut children = self.children().to_vec();
        children.remove(at);
        self.text.remove(self.label_len as usize + at);
        self.below = ThinArc::from_header_and_iter(self.here().clone(), children.into_iter());
    }

    /// Removes every candidate of the route `id` under the rest of a prefix.
    fn remove(&mut self, rest: &[u8], id: Uuid) {
        if let Some(&first) = rest.first() {
            let Ok(at) = self.position(first) else { return };
            if self.children()[at].is_leaf_of(rest, id) {
                self.drop_child(at);
            } else {
                self.edit(|below| below.slice_mut()[at].remove(rest, id));
                if self.children()[at].is_empty() {
                    self.drop_child(at);
                }
            }
        } else {
            self.edit(|below| below.header_mut().candidates.retain(|candidate| candidate.entry.id != id));
        }
        let best = self.highest();
        self.edit(|below| below.header_mut().best = best);
    }

    /// Edits what it may share with other versions; copies that first if it does.
    fn edit(&mut self, change: impl FnOnce(&mut Below)) {
        if !self.below.with_arc(triomphe::Arc::is_unique) {
            let children = self.children().iter().cloned();
            self.below = ThinArc::from_header_and_iter(self.here().clone(), children);
        }
        self.below.with_arc_mut(|below| {
            change(triomphe::Arc::get_mut(below).expect("nobody else has it now"));
        });
    }

    fn highest(&self) -> u64 {
        let here = self.here().candidates.first().map_or(0, |candidate| candidate.priority);
        self.children().iter().map(Node::best).fold(here, u64::max)
    }
}

impl Here {
    fn add(&mut self, candidate: Candidate) {
        self.best = self.best.max(candidate.priority);
        let at = self.candidates.partition_point(|other| other.outranks(&candidate));
        self.candidates.insert(at, candidate);
    }
}

fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use model::Route;

    use super::*;
    use crate::section::{References, Section};

    const ALL: u128 = 200;

    fn candidate(id: u128, path: u32) -> Candidate {
        let route = Route { id: Uuid::from_u128(id), ..Route::default() };
        let entry = Arc::new(Entry::compile(&route, References::NONE).unwrap());
        Candidate { priority: priority(id), entry, port: 0, path, is_regex: false }
    }

    fn priority(id: u128) -> u64 {
        id as u64 % 3
    }

    /// Every seventh route stands twice under its prefix.
    fn candidates() -> Vec<Vec<Candidate>> {
        let of = |id| (0..1 + u32::from(id % 7 == 0)).map(|path| candidate(id, path)).collect();
        (0..ALL).map(of).collect()
    }

    /// Prefixes of each other, long ones, and ones that differ in their first byte or in their last.
    fn prefix(id: u128) -> Vec<u8> {
        let parts: [&[u8]; 5] = [b"", b"/", b"/a", b"/a-segment-longer-than-a-node-has-space-for", b"b"];
        let digits = format!("{:02}", id / 2);
        [parts[id as usize % 5], &digits.as_bytes()[..id as usize % 3]].concat()
    }

    fn ids(node: &Node, path: &[u8]) -> Vec<u128> {
        let (mut found, mut next, mut rest) = (Vec::new(), Some(node), path);
        while let Some((node, behind)) = next.and_then(|node| Some((node, node.strip(rest)?))) {
            found.extend(node.candidates().iter().map(|candidate| candidate.entry.id.as_u128()));
            (next, rest) = (node.child(behind), behind);
        }
        found
    }

    #[test]
    fn node_takes_48_bytes() {
        assert_eq!(size_of::<Node>(), 48);
    }

    /// The highest priority here and below, which each node must know.
    fn checked_best(node: &Node) -> u64 {
        let children = match node {
            Node::Leaf(_) => &[],
            Node::Branch(branch) => branch.children(),
        };
        let here = node.candidates().iter().map(|candidate| candidate.priority);
        let best = here.chain(children.iter().map(checked_best)).max().unwrap_or_default();
        assert_eq!(node.best(), best);
        best
    }

    #[test]
    fn finds_what_was_put_has_one_shape_and_leaves_older_versions_alone() {
        let all = candidates();
        let put = |node: &mut Node, id: u128| {
            all[id as usize].iter().for_each(|candidate| node.insert(&prefix(id), candidate.clone()));
        };
        let mut node = Node::default();
        let (mut present, mut was) = (Vec::new(), format!("{node:?}"));
        let mut state = 7_u64;
        for _ in 0..1000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let id = u128::from(state >> 33) % ALL;
            let before = node.clone();
            match present.iter().position(|other| *other == id) {
                Some(at) => {
                    present.remove(at);
                    node.remove(&prefix(id), Uuid::from_u128(id));
                }
                None => {
                    present.push(id);
                    put(&mut node, id);
                }
            }
            assert_eq!(format!("{before:?}"), was);
            let mut made_at_once = Node::default();
            present.iter().for_each(|id| put(&mut made_at_once, *id));
            was = format!("{node:?}");
            assert_eq!(was, format!("{made_at_once:?}"));
            checked_best(&node);
        }
        for path in (0..ALL).map(prefix) {
            let mut expected: Vec<_> =
                present.iter().flat_map(|id| vec![*id; all[*id as usize].len()]).collect();
            expected.retain(|id| path.starts_with(&prefix(*id)));
            expected.sort_by_key(|id| (prefix(*id).len(), std::cmp::Reverse(priority(*id)), *id));
            assert_eq!(ids(&node, &path), expected, "{path:?}");
        }
        for id in present {
            node.remove(&prefix(id), Uuid::from_u128(id));
        }
        assert_eq!(format!("{node:?}"), format!("{:?}", Node::default()));
    }

    #[test]
    fn route_that_stands_twice_leaves_nothing_behind() {
        let mut node = Node::default();
        (0..2).for_each(|path| node.insert(b"/a", candidate(7, path)));
        node.remove(b"/a", Uuid::from_u128(7));
        assert_eq!(format!("{node:?}"), format!("{:?}", Node::default()));
    }
}
