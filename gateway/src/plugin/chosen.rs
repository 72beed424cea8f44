//! The instances that were chosen for one request: one of each slot of its chain.

use std::sync::Arc;

use smallvec::SmallVec;

use super::chain::Chain;
use super::instance::Instance;

/// The instances that were chosen for one request, in their order. Nearly all are those for any consumer, which the
/// chain holds.
#[derive(Clone, Debug)]
pub(super) struct ChosenInstances {
    chain: Arc<Chain>,
    /// So many slots were looked at.
    slots: usize,
    /// Those of the consumer, and the slots in which they run.
    own: SmallVec<[(usize, Arc<Instance>); 1]>,
}

impl ChosenInstances {
    /// None of a chain yet.
    pub(super) fn none(chain: Arc<Chain>) -> Self {
        Self { chain, slots: 0, own: SmallVec::new() }
    }

    /// Those for any consumer.
    pub(super) fn of_anyone(chain: Arc<Chain>) -> Self {
        Self { slots: chain.slots().len(), ..Self::none(chain) }
    }

    /// The chain.
    pub(super) fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// Chooses for the next slot: the consumer's own, or else the one for any consumer, if there is one.
    pub(super) fn choose(&mut self, own: Option<Arc<Instance>>) {
        if let Some(own) = own {
            self.own.push((self.slots, own));
        }
        self.slots += 1;
    }

    /// The instances.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Instance> {
        let own = |slot| self.own.iter().find(|(of, _)| *of == slot).map(|(_, own)| own);
        let slots = self.chain.slots().iter().enumerate().take(self.slots);
        slots.filter_map(move |(index, slot)| own(index).or(slot.base()).map(AsRef::as_ref))
    }
}
