//! Counters of answers by status and source, and of bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{OTHER, Source};

/// Statuses with a counter of their own, counted once for each source.
const MOST_CODES: usize = 64;

/// Counters of answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// There are few: a search is faster than a table of all.
    codes: ArcSwap<Vec<Arc<Code>>>,
    adding: Mutex<()>,
    ingress: AtomicU64,
    egress: AtomicU64,
}

/// The counts of one or more.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// By status and source.
    pub(super) codes: BTreeMap<(String, &'static str), u64>,
    ingress: u64,
    egress: u64,
}

/// The counter of a status; `None`: of all others.
#[derive(Debug)]
struct Code {
    status: Option<u16>,
    source: Source,
    count: AtomicU64,
}

impl Answers {
    /// Counts an answer.
    pub(super) fn count(&self, status: u16, source: Source) {
        let find = |codes: &[Arc<Code>], status| {
            let found = codes.iter().find(|code| code.status == status && code.source == source);
            found.map(|code| code.count.fetch_add(1, Ordering::Relaxed)).is_some()
        };
        let codes = self.codes.load();
        if find(&codes, Some(status)) || codes.len() >= MOST_CODES && find(&codes, None) {
            return;
        }
        let _adding = self.adding.lock();
        let codes = self.codes.load_full();
        let status = Some(status).filter(|_| codes.len() < MOST_CODES);
        if !find(&codes, status) {
            let mut next = Vec::clone(&codes);
            next.push(Arc::new(Code { status, source, count: AtomicU64::new(1) }));
            self.codes.store(Arc::new(next));
        }
    }

    /// Adds bytes of a request and its answer.
    pub(super) fn add_bytes(&self, ingress: u64, egress: u64) {
        self.ingress.fetch_add(ingress, Ordering::Relaxed);
        self.egress.fetch_add(egress, Ordering::Relaxed);
    }

    /// Adds the counts to `sums`.
    pub(super) fn add_to(&self, sums: &mut Sums) {
        for code in self.codes.load().iter() {
            let status = code.status.map_or_else(|| OTHER.to_owned(), |status| status.to_string());
            let count = code.count.load(Ordering::Relaxed);
            *sums.codes.entry((status, code.source.as_str())).or_default() += count;
        }
        sums.ingress += self.ingress.load(Ordering::Relaxed);
        sums.egress += self.egress.load(Ordering::Relaxed);
    }
}

impl Sums {
    /// The bytes by direction, without those that are none.
    pub(super) fn directions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [("ingress", self.ingress), ("egress", self.egress)].into_iter().filter(|(_, bytes)| *bytes > 0)
    }
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Kong => "kong",
        }
    }
}
