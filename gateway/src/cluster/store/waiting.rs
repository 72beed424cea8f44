//! Applied updates that are not written yet.

use wire::{Mode, Update};

/// How many bytes of deltas may wait, some 20,000 changes of one route. One delta may be longer, until the disk
/// refuses it.
pub(super) const LIMIT: u64 = 8 << 20;

/// A chain of updates, or the fact that it was cut.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    updates: Vec<Update>,
    /// Length of its deltas in bytes.
    deltas: u64,
    /// Some updates were dropped: only a snapshot repairs that.
    cut: bool,
}

impl Waiting {
    pub(super) const fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn updates(&self) -> &[Update] {
        &self.updates
    }

    pub(super) fn begins_anew(&self) -> bool {
        self.updates.first().is_some_and(|first| first.header.mode == Mode::Snapshot)
    }

    pub(super) fn push(&mut self, update: Update) {
        if update.header.mode == Mode::Snapshot {
            *self = Self { updates: vec![update], ..Self::default() };
        } else if !self.cut {
            self.deltas += update.encoded_len();
            self.updates.push(update);
            if self.deltas > LIMIT && self.updates.len() > 1 {
                self.cut();
            }
        }
    }

    /// Drops all waiting updates: a snapshot must come.
    pub(super) fn cut(&mut self) {
        *self = Self { cut: true, ..Self::default() };
    }

    pub(super) fn take(&mut self) -> Vec<Update> {
        self.deltas = 0;
        std::mem::take(&mut self.updates)
    }

    /// Inserts updates of a failed write before those that came since.
    pub(super) fn put_back(&mut self, earlier: Vec<Update>) {
        if self.cut || self.begins_anew() {
            return;
        }
        let later = self.take();
        for update in earlier.into_iter().chain(later) {
            self.push(update);
        }
        if self.deltas > LIMIT {
            self.cut();
        }
    }
}
