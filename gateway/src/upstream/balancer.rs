//! Chooses a target for each request to an upstream, and keeps the health of targets.
//!
//! A [`Balancer`] is one generation of an upstream: its settings and its members, of which DNS changes the
//! addresses. What must outlive a generation, such as health and counts, stands in [slots](Slot), which
//! [`Slots`] keeps. Nothing here knows DNS, HTTP, probes or the configuration's entities. A choice takes no lock
//! and allocates nothing.

mod availability;
mod changes;
mod choice;
mod chosen;
mod counts;
mod current;
mod ejection;
mod load;
mod machine;
mod member;
mod outcome;
mod random;
mod report;
mod settings;
mod shared;
mod slot;
mod slots;
mod statuses;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod view;
mod wheel;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub use self::choice::{NoTarget, Tried, Wish};
pub use self::chosen::Chosen;
pub use self::counts::{AttemptCounts, LatencyCounts};
pub use self::machine::Health;
pub use self::member::{Identity, Member, Operation, State};
pub use self::outcome::{Outcome, ProbeOutcome};
pub use self::report::{MemberReport, UpstreamReport};
pub use self::settings::{
    Algorithm, Checks, Initial, Limits, OtherStatuses, Outlier, RetryBudget, Settings, SlowStart, Thresholds,
    ZonePreference,
};
pub use self::shared::{EjectionCounts, RetryPermit};
pub use self::slot::{SavedSlot, Slot, SlotReport, SlotState};
pub use self::slots::Slots;
pub use self::statuses::Statuses;

use self::choice::Choice;
use self::current::Current;
use self::shared::UpstreamState;
use self::timers::Timed;
use self::view::View;

/// One generation of an upstream's balancer.
#[derive(Debug)]
pub struct Balancer {
    upstream: Arc<UpstreamState>,
    settings: Arc<Settings>,
    generation: u64,
    view: Current,
    /// Views are made one after the other.
    making: Mutex<()>,
    slots: Arc<Slots>,
}

impl Balancer {
    /// Creates a generation. Its settings apply to the slots of its members from now on.
    pub fn new(upstream: Uuid, settings: Settings, members: Vec<Member>, slots: &Arc<Slots>) -> Arc<Self> {
        Self::create(upstream, settings, members, slots, None)
    }

    /// Creates the generation after this one. What did not change, such as the table of consistent hashing, is
    /// taken from this one.
    pub fn succeed(&self, settings: Settings, members: Vec<Member>) -> Arc<Self> {
        let earlier = self.view();
        Self::create(self.upstream.upstream, settings, members, &self.slots, Some(&earlier))
    }

    /// Replaces the members, after a change of DNS. They are read here, one caller after the other, so that an
    /// older answer never replaces a newer one. Without a change it does nothing, and returns that.
    pub fn set_members(self: &Arc<Self>, members: impl FnOnce() -> Vec<Member>) -> bool {
        self.remake(|earlier| {
            let members = view::in_order(members(), &self.settings);
            let is_same = members.len() == earlier.members.len()
                && members.iter().zip(&earlier.members).all(|(one, other)| one.is_same(other));
            if is_same { None } else { Some(members) }
        })
    }

    /// Makes the next view of these members, if there are any.
    fn remake(self: &Arc<Self>, members: impl FnOnce(&View) -> Option<Vec<Member>>) -> bool {
        let making = self.making.lock();
        let earlier = self.view();
        let Some(members) = members(&earlier) else { return false };
        let view =
            make(&self.upstream, self.generation, &self.settings, members, &self.slots, Some(&earlier));
        self.view.store(view);
        drop(making);
        self.upstream.places.notify_waiters();
        self.plan_refresh();
        true
    }

    /// Chooses a target.
    ///
    /// # Errors
    /// When no target may serve the request now. After [`NoTarget::Full`] the request may
    /// [wait](Self::wait_for_place).
    pub fn choose(&self, wish: &Wish<'_>) -> Result<Chosen, NoTarget> {
        // Those that wait come first.
        let limits = &self.settings.limits;
        if limits.max_requests > 0 && limits.max_queue > 0 && self.upstream.is_queued() {
            return Err(NoTarget::Full);
        }
        self.choose_now(wish)
    }

    /// Waits for a target that has a place for another request.
    ///
    /// # Errors
    /// When too many requests wait already, when the time is up, or when no target is available any more.
    pub async fn wait_for_place(&self, wish: &Wish<'_>) -> Result<Chosen, NoTarget> {
        let limits = &self.settings.limits;
        let (regular, failover) = self.view().availability.sums();
        let targets = if regular.available > 0 { regular.available } else { failover.available };
        let place = self.upstream.queue(u64::from(limits.max_queue) * targets.max(1));
        let _place = place.ok_or(NoTarget::Full)?;
        let deadline = Instant::now() + limits.queue_timeout;
        loop {
            let mut freed = std::pin::pin!(self.upstream.places.notified());
            // From here on no notification is missed.
            freed.as_mut().enable();
            match self.choose_now(&Wish { now: Instant::now(), ..*wish }) {
                Err(NoTarget::Full) => timeout_at(deadline, freed).await.map_err(|_| NoTarget::Full)?,
                chosen => return chosen,
            }
        }
    }

    /// Begins a retry, if the budget allows one more. It ends when the permit is dropped.
    pub fn begin_retry(&self) -> Option<RetryPermit> {
        let budget = &self.settings.retries;
        let most = if budget.percent > 0.0 {
            let active = self.upstream.in_flight.load(std::sync::atomic::Ordering::Relaxed);
            budget.min.max((f64::from(active) * budget.percent / 100.0) as u32)
        } else {
            u32::MAX
        };
        self.upstream.begin_retry(most)
    }

    /// Ejections of the upstream's addresses since the data plane started.
    pub fn ejections(&self) -> EjectionCounts {
        self.upstream.ejections()
    }

    /// Retries of requests to the upstream since the data plane started.
    pub fn retries(&self) -> u64 {
        self.upstream.retries_begun.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Latencies of the upstream since the data plane started.
    pub fn latencies(&self) -> LatencyCounts {
        self.upstream.latencies.counts()
    }

    /// Whether no address of any target is known.
    pub fn is_empty(&self) -> bool {
        self.view().members.is_empty()
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its present members and their slots: for probes.
    pub fn members(&self) -> Vec<(Member, Arc<Slot>)> {
        let view = self.view();
        view.members.iter().cloned().zip(view.slots.iter().cloned()).collect()
    }

    fn choose_now(&self, wish: &Wish<'_>) -> Result<Chosen, NoTarget> {
        let (slot, trial) = self.view.with(|view| {
            let mut choice = Choice::new(view, &self.settings, &self.upstream, wish);
            choice.run().map(|slot| (slot, choice.is_trial()))
        })?;
        Ok(Chosen::new(slot, trial, &self.settings))
    }

    fn view(&self) -> Arc<View> {
        self.view.get()
    }

    fn create(
        upstream: Uuid,
        settings: Settings,
        members: Vec<Member>,
        slots: &Arc<Slots>,
        earlier: Option<&View>,
    ) -> Arc<Self> {
        let (upstream, settings) = (slots.upstream(upstream), Arc::new(settings));
        let generation = upstream.generations.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let view = make(&upstream, generation, &settings, members, slots, earlier);
        upstream.places.notify_waiters();
        let balancer = Arc::new(Self {
            upstream,
            settings,
            generation,
            view: Current::new(view),
            making: Mutex::new(()),
            slots: slots.clone(),
        });
        balancer.plan_refresh();
        balancer
    }

    fn plan_refresh(self: &Arc<Self>) {
        if let Some(at) = self.view().next_end(Instant::now()) {
            let balancer: Weak<Self> = Arc::downgrade(self);
            self.upstream.process.timers.add(at, balancer);
        }
    }
}

impl Timed for Balancer {
    /// Applies the states of members that have ended.
    fn expire(self: Arc<Self>, _: Instant) {
        self.remake(|earlier| Some(earlier.members.to_vec()));
    }
}

fn make(
    upstream: &UpstreamState,
    generation: u64,
    settings: &Arc<Settings>,
    members: Vec<Member>,
    slots: &Slots,
    earlier: Option<&View>,
) -> View {
    let (now, members) = (Instant::now(), view::in_order(members, settings));
    let identities = members.iter().map(|member| &member.identity);
    let slots = slots.slots(upstream.upstream, identities, settings, now);
    for (member, (slot, _)) in members.iter().zip(&slots) {
        slot.configure(settings, generation, now);
        if let Some(operation) = &member.operation {
            slot.operate(operation, now);
        }
    }
    View::new(members, slots, settings, earlier, now)
}
