//! The entries of one data plane's report, and their numbers by finding.

use std::collections::HashMap;

use uuid::Uuid;
use wire::{Health, TargetHealth};

/// Memory of one data plane's entries, in bytes. That is 100,000 targets with one unhealthy address each.
const MAX_MEMORY: usize = 32 * 1024 * 1024;
/// Memory of an entry without its addresses and texts.
const ENTRY: usize = 160;

/// The finding of a data plane about a target as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An address is healthy.
    Healthy,
    /// No address is healthy, and one is unhealthy or ejected.
    Unhealthy,
    /// There is no address.
    DnsError,
    /// Nothing checks the target.
    Unchecked,
    /// No check has ended yet.
    Unknown,
}

impl Finding {
    /// Every finding, in the order of [`Finding::index`].
    pub const ALL: [Self; 5] =
        [Self::Healthy, Self::Unhealthy, Self::DnsError, Self::Unchecked, Self::Unknown];

    /// Returns the finding of an entry. A plain one is healthy.
    pub fn of(entry: &TargetHealth) -> Self {
        let any = |health| entry.addresses.iter().any(|address| address.health == health);
        match () {
            () if entry.is_plain() || any(Health::Healthy) => Self::Healthy,
            () if entry.addresses.is_empty() => Self::DnsError,
            () if any(Health::Unhealthy) || any(Health::Ejected) => Self::Unhealthy,
            () if any(Health::Unknown) => Self::Unknown,
            () => Self::Unchecked,
        }
    }

    /// The finding as metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::DnsError => "dns_error",
            Self::Unchecked => "unchecked",
            Self::Unknown => "unknown",
        }
    }

    /// The place of the finding in [`Finding::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Entries by target, without plain ones.
#[derive(Debug, Default)]
pub(super) struct Entries {
    by_target: HashMap<Uuid, TargetHealth>,
    memory: usize,
    counts: [u32; Finding::ALL.len()],
    /// Entries were dropped: what is not here may be anything.
    is_cut: bool,
}

impl Entries {
    pub(super) fn get(&self, target: Uuid) -> Option<&TargetHealth> {
        self.by_target.get(&target)
    }

    /// Replaces the entry of a target; returns whether there was room for it.
    pub(super) fn put(&mut self, entry: TargetHealth) -> bool {
        if entry.is_plain() {
            let before = self.by_target.remove(&entry.target);
            before.iter().for_each(|before| self.uncount(before));
            return true;
        }
        let target = entry.target;
        let free = self.by_target.get(&target).map_or(0, cost);
        if self.memory - free + cost(&entry) > MAX_MEMORY {
            // The former state is not true any more.
            let before = self.by_target.remove(&target);
            before.iter().for_each(|before| self.uncount(before));
            self.is_cut = true;
            return false;
        }
        self.memory += cost(&entry);
        self.counts[Finding::of(&entry).index()] += 1;
        let before = self.by_target.insert(target, entry);
        before.iter().for_each(|before| self.uncount(before));
        true
    }

    /// Notes that entries were dropped.
    pub(super) const fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Whether no entry was dropped.
    pub(super) const fn is_whole(&self) -> bool {
        !self.is_cut
    }

    /// The number of entries by finding.
    pub(super) const fn counts(&self) -> [u32; Finding::ALL.len()] {
        self.counts
    }

    fn uncount(&mut self, before: &TargetHealth) {
        self.memory -= cost(before);
        self.counts[Finding::of(before).index()] -= 1;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_target.len()
    }
}

/// The memory of an entry in bytes, about.
fn cost(entry: &TargetHealth) -> usize {
    let text = |text: Option<&String>| text.map_or(0, String::capacity);
    let addresses = entry.addresses.iter().map(|address| text(address.last_error.as_ref()));
    let held = entry.addresses.capacity() * size_of::<wire::AddressHealth>();
    ENTRY + text(entry.dns_error.as_ref()) + held + addresses.sum::<usize>()
}
