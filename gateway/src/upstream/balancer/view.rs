//! One immutable list of an upstream's members, with what the algorithms need. DNS answers and configurations
//! make another one; health never does.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::availability::{Availability, Share};
use super::member::{Identity, Member};
use super::settings::{Algorithm, Settings};
use super::slot::Slot;
use super::table::{Claimant, Table};
use super::wheel::Wheel;

/// The most members of an upstream. Those beyond are left out.
const MOST_MEMBERS: usize = u16::MAX as usize;

static VIEWS: AtomicU64 = AtomicU64::new(1);

/// The members of an upstream, in the order: regular ones (the own zone's first), failover ones, those of
/// weight 0.
#[derive(Debug)]
pub(super) struct View {
    /// A number that no other view of the process has.
    pub(super) number: u64,
    pub(super) slots: Box<[Arc<Slot>]>,
    pub(super) members: Box<[Member]>,
    pub(super) availability: Arc<Availability>,
    pub(super) local: Tier,
    pub(super) regular: Tier,
    pub(super) failover: Tier,
    /// Sticky ids and indices, in order.
    sticky: Box<[(u64, u16)]>,
}

/// Members among which an algorithm chooses.
#[derive(Debug)]
pub(super) struct Tier {
    /// Their indices. Some may be drained.
    pub(super) members: Range<usize>,
    pub(super) wheel: Wheel,
    /// For consistent hashing.
    pub(super) table: Option<Arc<Table>>,
}

impl View {
    /// Creates a view of `members`, which are in order, with the slot of each and whether it is new. Takes the
    /// tables of the `previous` view where they are the same.
    pub(super) fn new(
        members: Vec<Member>,
        slots: Vec<(Arc<Slot>, bool)>,
        settings: &Settings,
        previous: Option<&Self>,
        now: Instant,
    ) -> Self {
        let shares: Box<[Share]> = members.iter().map(|member| share(member, settings, now)).collect();
        let availability = Arc::new(Availability::new(shares, settings));
        join(&slots, settings, now);
        let slots: Box<[Arc<Slot>]> = slots.into_iter().map(|(slot, _)| slot).collect();
        for (index, slot) in slots.iter().enumerate() {
            slot.attach(&availability, index, availability.share(index).weight > 0);
        }
        let ranges = Ranges::of(&members, settings);
        let tier = |range: Range<usize>, of: fn(&Self) -> &Tier| {
            Tier::new(range, &members, &slots, &availability, settings, previous.map(of))
        };
        let mut sticky: Box<[(u64, u16)]> =
            slots.iter().enumerate().map(|(index, slot)| (slot.sticky_id(), index as u16)).collect();
        sticky.sort_unstable();
        Self {
            number: VIEWS.fetch_add(1, Ordering::Relaxed),
            local: tier(ranges.local, |view| &view.local),
            regular: tier(ranges.regular, |view| &view.regular),
            failover: tier(ranges.failover, |view| &view.failover),
            members: members.into(),
            slots,
            availability,
            sticky,
        }
    }

    /// Returns the member with a sticky id.
    pub(super) fn by_sticky_id(&self, id: u64) -> Option<usize> {
        let place = self.sticky.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(usize::from(self.sticky[place].1))
    }

    /// When the state of a member ends by itself.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        self.members.iter().filter_map(|member| member.state.until()).filter(|until| *until > now).min()
    }
}

/// Puts members in a view's order. Equal ones become one with the sum of their weights.
pub(super) fn in_order(mut members: Vec<Member>, settings: &Settings) -> Vec<Member> {
    let key = |member: &Member| (member.weight == 0, member.failover, !is_local(member, settings));
    let identity = |identity: &Identity| (identity.target, identity.address, identity.server_name.clone());
    members.sort_by(|a, b| {
        let same = || identity(&a.identity).cmp(&identity(&b.identity));
        key(a).cmp(&key(b)).then_with(same)
    });
    members.dedup_by(|later, earlier| {
        let same = later.identity == earlier.identity && key(later) == key(earlier);
        if same {
            earlier.weight = earlier.weight.saturating_add(later.weight);
        }
        same
    });
    members.truncate(MOST_MEMBERS);
    members
}

fn share(member: &Member, settings: &Settings, now: Instant) -> Share {
    let weight = if member.is_eligible(now) { member.weight } else { 0 };
    Share { weight, failover: member.failover, local: is_local(member, settings) }
}

fn is_local(member: &Member, settings: &Settings) -> bool {
    settings.zone.as_ref().is_some_and(|zone| member.zone.as_ref() == Some(&zone.own))
}

/// Lets new addresses begin slowly if others have been serving for long enough, and lets them expect the
/// latency of the others.
fn join(slots: &[(Arc<Slot>, bool)], settings: &Settings, now: Instant) {
    let others = || slots.iter().filter(|(_, new)| !new).map(|(slot, _)| slot);
    let new = || slots.iter().filter(|(_, new)| *new).map(|(slot, _)| slot);
    if let Some(start) = &settings.slow_start
        && others().any(|slot| slot.age(now) >= start.duration)
    {
        new().for_each(|slot| slot.warm_up(now));
    }
    if settings.algorithm == Algorithm::Latency && others().next().is_some() {
        let millis = |slot: &Slot| slot.millis(now);
        let sum: f32 = others().map(|slot| slot.expected_latency(millis(slot))).sum();
        let mean = sum / others().count() as f32;
        new().for_each(|slot| slot.seed_latency(mean, millis(slot)));
    }
}

/// Where the tiers are.
struct Ranges {
    local: Range<usize>,
    regular: Range<usize>,
    failover: Range<usize>,
}

impl Ranges {
    fn of(members: &[Member], settings: &Settings) -> Self {
        let serving = members.partition_point(|member| member.weight > 0);
        let regular = members[..serving].partition_point(|member| !member.failover);
        let local = members[..regular].partition_point(|member| is_local(member, settings));
        Self { local: 0..local, regular: 0..regular, failover: regular..serving }
    }
}

impl Tier {
    fn new(
        range: Range<usize>,
        members: &[Member],
        slots: &[Arc<Slot>],
        availability: &Availability,
        settings: &Settings,
        previous: Option<&Self>,
    ) -> Self {
        let weight = |index: usize| availability.share(index).weight;
        let weights: Vec<(u16, u32)> = range
            .clone()
            .filter(|index| weight(*index) > 0)
            .map(|index| (index as u16, weight(index)))
            .collect();
        let hashing = settings.algorithm == Algorithm::ConsistentHashing && !range.is_empty();
        // Drained members stay in the table, so that a drain moves no key but theirs.
        let claimants = || {
            let claimant = |index: usize| Claimant {
                index: index as u16,
                number: slots[index].sticky_id(),
                weight: members[index].weight,
            };
            range.clone().map(claimant).collect()
        };
        let table = hashing.then(|| table(claimants(), previous.and_then(|tier| tier.table.as_ref())));
        Self { wheel: Wheel::new(&weights), members: range, table }
    }
}

fn table(claimants: Vec<Claimant>, previous: Option<&Arc<Table>>) -> Arc<Table> {
    match previous {
        Some(table) if table.is_of(&claimants) => table.clone(),
        _ => Arc::new(Table::new(claimants)),
    }
}
