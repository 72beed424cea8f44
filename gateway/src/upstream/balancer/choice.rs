//! One choice of a target. It takes no lock and allocates nothing.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::availability::Mode;
use super::chosen::Chosen;
use super::member::State;
use super::random::{self, mix, rehash};
use super::settings::{Algorithm, Settings};
use super::shared::UpstreamState;
use super::slot::SlotState;
use super::view::{Tier, View};

/// Members up to which the one with the fewest requests is looked for among all; above, it is the better of two.
const SCANNED: usize = 32;
/// Turns, or looks into a table, before all members are looked at.
const ATTEMPTS: usize = 16;
/// Random members that are looked at for one that is available.
const SAMPLES: usize = 8;

/// What a request asks of the balancer.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'w> {
    /// A hash of its key, for consistent hashing. All bits must depend on the key.
    pub key: Option<u64>,
    /// The id of the address that the client had before.
    pub sticky: Option<u64>,
    /// The addresses that were tried for this request.
    pub tried: &'w Tried,
    /// The present time.
    pub now: Instant,
}

/// The addresses that were tried for a request.
#[derive(Clone, Debug, Default)]
pub struct Tried(SmallVec<[u64; 6]>);

/// Why there is no target for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// There is none, or all have weight 0 or are drained.
    #[error("the upstream has no target")]
    Empty,
    /// None is available.
    #[error("no target is available")]
    Unhealthy,
    /// The available weight is not above the threshold.
    #[error("too few targets are available")]
    BelowThreshold,
    /// All available ones have as many requests as they may.
    #[error("all targets are at their limit of requests")]
    Full,
}

/// A choice in a view.
pub(super) struct Choice<'c> {
    view: &'c View,
    settings: &'c Settings,
    state: &'c UpstreamState,
    wish: &'c Wish<'c>,
    mode: Mode,
    /// Whether tried addresses are passed over.
    skip_tried: bool,
    /// The present time in milliseconds of the process.
    millis: u32,
    /// Whether an address was available, but at its limit.
    full: Cell<bool>,
    /// Whether the choice decides on the return of an unhealthy address.
    trial: Cell<bool>,
}

impl Tried {
    /// Adds an address.
    pub fn add(&mut self, chosen: &Chosen) {
        self.0.push(chosen.slot().id());
    }

    /// Whether nothing was tried yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, slot: &SlotState) -> bool {
        self.0.contains(&slot.id())
    }
}

impl<'c> Choice<'c> {
    pub(super) fn new(
        view: &'c View,
        settings: &'c Settings,
        state: &'c UpstreamState,
        wish: &'c Wish<'c>,
    ) -> Self {
        // Only two features look at the time.
        let timed = settings.algorithm == Algorithm::Latency || settings.slow_start.is_some();
        let millis = if timed { state.process.millis(wish.now) } else { 0 };
        let (mode, skip_tried) = (view.availability.mode(), !wish.tried.is_empty());
        Self {
            view,
            settings,
            state,
            wish,
            mode,
            skip_tried,
            millis,
            full: Cell::new(false),
            trial: Cell::new(false),
        }
    }

    /// Whether the choice was a trial.
    pub(super) fn is_trial(&self) -> bool {
        self.trial.get()
    }

    /// Chooses. A tried address is chosen again only if no other is left.
    pub(super) fn run(&mut self) -> Result<Arc<SlotState>, NoTarget> {
        let tier = match self.mode {
            Mode::Local => &self.view.local,
            Mode::Regular | Mode::Panic | Mode::Unknown => &self.view.regular,
            Mode::Failover => &self.view.failover,
            // Sessions may still enter drained members.
            Mode::Empty => return self.sticky().ok_or(NoTarget::Empty),
            Mode::Unhealthy => return self.sticky().ok_or(NoTarget::Unhealthy),
            Mode::BelowThreshold => return Err(NoTarget::BelowThreshold),
        };
        if let Some(chosen) = self.sticky().or_else(|| self.one_of(tier)) {
            return Ok(chosen);
        }
        // The own zone is a preference: its limits and failures are not the whole upstream's.
        if self.mode == Mode::Local {
            self.mode = Mode::Regular;
            if let Some(chosen) = self.one_of(&self.view.regular) {
                return Ok(chosen);
            }
        }
        if self.skip_tried {
            self.skip_tried = false;
            if let Some(chosen) =
                self.one_of(if self.mode == Mode::Regular { &self.view.regular } else { tier })
            {
                return Ok(chosen);
            }
        }
        Err(if self.full.get() { NoTarget::Full } else { NoTarget::Unhealthy })
    }

    fn sticky(&self) -> Option<Arc<SlotState>> {
        let index = self.view.by_sticky_id(self.wish.sticky?)?;
        let (member, slot) = (&self.view.members[index], &self.view.slots[index]);
        let allowed = member.weight > 0
            && !matches!(member.state.at(self.wish.now), State::Maint { .. })
            && member.failover == (self.mode == Mode::Failover)
            && (slot.is_serving() || self.mode == Mode::Panic)
            && !(self.skip_tried && self.wish.tried.contains(slot));
        if allowed { self.take(index) } else { None }
    }

    fn one_of(&self, tier: &Tier) -> Option<Arc<SlotState>> {
        if tier.wheel.is_empty() {
            return None;
        }
        let chosen = match (self.settings.algorithm, self.wish.key, &tier.table) {
            (Algorithm::LeastConnections, _, _) => self.least_loaded(tier),
            (Algorithm::Latency, _, _) => self.fastest(tier),
            (Algorithm::ConsistentHashing, Some(key), Some(table)) => {
                let mut place = mix(key);
                for _ in 0..ATTEMPTS {
                    let index = table.owner(place);
                    if self.accepts(index)
                        && self.is_balanced(index)
                        && let Some(chosen) = self.take(index)
                    {
                        return Some(chosen);
                    }
                    place = rehash(place);
                }
                self.highest_rank(tier, key).and_then(|index| self.take(index))
            }
            _ => self.in_turn(tier),
        };
        chosen.or_else(|| self.any(tier))
    }

    fn in_turn(&self, tier: &Tier) -> Option<Arc<SlotState>> {
        (0..ATTEMPTS).find_map(|_| {
            let index = tier.wheel.next();
            if self.accepts(index) && self.is_warm(index) { self.take(index) } else { None }
        })
    }

    fn least_loaded(&self, tier: &Tier) -> Option<Arc<SlotState>> {
        // Equal ones are chosen in turn, by weight. None is lighter than one without a request.
        let next = tier.wheel.next();
        if self.view.slots[next].in_flight() == 0 && self.accepts(next) && self.is_warm(next) {
            return self.take(next);
        }
        let lighter = |best: usize, index: usize| if self.is_lighter(index, best) { index } else { best };
        let best = if tier.members.len() <= SCANNED {
            let members = (next..tier.members.end).chain(tier.members.start..next);
            members.filter(|index| self.accepts(*index)).reduce(lighter)
        } else {
            let sample = || self.sample(|| tier.wheel.sample());
            sample().map(|first| sample().map_or(first, |second| lighter(first, second)))
        };
        self.take(best?)
    }

    fn fastest(&self, tier: &Tier) -> Option<Arc<SlotState>> {
        let (start, count) = (tier.members.start, tier.members.len() as u64);
        if count == 1 {
            return self.take(start);
        }
        let pair = || {
            let bits = random::bits();
            let first = ((bits >> 32) * count) >> 32;
            // Any but the first.
            let second = first + 1 + (((bits & u64::from(u32::MAX)) * (count - 1)) >> 32);
            let second = if second < count { second } else { second - count };
            [start + first as usize, start + second as usize]
        };
        for [first, second] in (0..SAMPLES).map(|_| pair()) {
            let index = match (self.accepts(first), self.accepts(second)) {
                (true, true) if self.is_faster(second, first) => second,
                (true, _) => first,
                (false, true) => second,
                (false, false) => continue,
            };
            return self.take(index);
        }
        None
    }

    /// The member of the highest rank for a key, of all that may serve it. It is the same on all data planes.
    fn highest_rank(&self, tier: &Tier, key: u64) -> Option<usize> {
        let rank = |index: usize| {
            let number = rehash(mix(key) ^ self.view.slots[index].sticky_id());
            let share = (number >> 11) as f64 / (1_u64 << 53) as f64;
            f64::from(self.weight(index)) / -share.max(f64::MIN_POSITIVE).ln()
        };
        let members = tier.members.clone().filter(|index| self.accepts(*index) && self.is_balanced(*index));
        members.max_by(|a, b| rank(*a).total_cmp(&rank(*b)))
    }

    /// Any member that may serve, at random by weight, after looking at all of them.
    fn any(&self, tier: &Tier) -> Option<Arc<SlotState>> {
        let (mut sum, mut found) = (0, None);
        for index in tier.members.clone().filter(|index| self.accepts(*index) && self.has_room(*index)) {
            let weight = u64::from(self.weight(index));
            sum += weight;
            if random::below(sum) < weight {
                found = Some(index);
            }
        }
        let others = || tier.members.clone().filter(|index| self.accepts(*index));
        self.take(found?).or_else(|| others().find_map(|index| self.take(index)))
    }

    fn sample(&self, draw: impl Fn() -> usize) -> Option<usize> {
        (0..SAMPLES).map(|_| draw()).find(|index| self.accepts(*index))
    }

    /// Whether a member may serve the request, by its health and by what was tried.
    fn accepts(&self, index: usize) -> bool {
        let available = match self.mode {
            Mode::Panic => self.weight(index) > 0,
            Mode::Unknown => self.weight(index) > 0 && self.view.slots[index].is_unknown(),
            _ => self.view.availability.has(index),
        };
        available && !(self.skip_tried && self.wish.tried.contains(&self.view.slots[index]))
    }

    fn weight(&self, index: usize) -> u32 {
        self.view.availability.share(index).weight
    }

    fn has_room(&self, index: usize) -> bool {
        let most = self.settings.limits.max_requests;
        let room = most == 0 || self.view.slots[index].in_flight() < most;
        if !room {
            self.full.set(true);
        }
        room
    }

    fn warmth(&self, index: usize) -> f32 {
        match &self.settings.slow_start {
            None => 1.0,
            start => self.view.slots[index].warmth(start.as_ref(), self.millis),
        }
    }

    fn is_warm(&self, index: usize) -> bool {
        let warmth = self.warmth(index);
        warmth >= 1.0 || random::chance(warmth)
    }

    /// Whether `index` has fewer requests for its weight than `other`.
    fn is_lighter(&self, index: usize, other: usize) -> bool {
        let load = |index: usize| f64::from(self.view.slots[index].in_flight());
        let weight = |index: usize| f64::from(self.weight(index)) * f64::from(self.warmth(index));
        load(index) * weight(other) < load(other) * weight(index)
    }

    /// Whether the latency to expect of `index`, for its weight, is lower than that of `other`.
    fn is_faster(&self, index: usize, other: usize) -> bool {
        let load = |slot: &SlotState| slot.expected_latency(self.millis) * (slot.in_flight() + 1) as f32;
        let weight = |index: usize| self.weight(index) as f32 * self.warmth(index);
        let slots = &self.view.slots;
        load(&slots[index]) * weight(other) < load(&slots[other]) * weight(index)
    }

    /// Whether a member would stay below its share of the requests in flight.
    fn is_balanced(&self, index: usize) -> bool {
        let factor = u64::from(self.settings.hash_balance_factor);
        if factor <= 100 {
            return true;
        }
        let all = u64::from(self.state.in_flight.load(Ordering::Relaxed)) + 1;
        let weights = self.view.availability.available_weight(self.mode == Mode::Failover).max(1);
        let most = (all * u64::from(self.weight(index)) * factor).div_ceil(weights * 100);
        u64::from(self.view.slots[index].in_flight()) < most
    }

    /// Counts the request in flight. The state alone is passed on: moving all of a [`Chosen`] from function to
    /// function costs more than the choice.
    fn take(&self, index: usize) -> Option<Arc<SlotState>> {
        let slot = &self.view.slots[index];
        let Some(state) = slot.enter(&self.settings.limits) else {
            self.full.set(true);
            return None;
        };
        if slot.needs_trial() && self.mode != Mode::Panic {
            if !slot.begin_trial(self.wish.now) {
                return None;
            }
            self.trial.set(true);
        }
        Some(state)
    }
}
