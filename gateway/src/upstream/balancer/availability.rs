//! Which members of a view are available: a bit for each, and what follows from all of them together. Slots
//! keep the bits; a choice reads them.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};

use super::settings::Settings;

/// The availability of the members of a view.
#[derive(Debug)]
pub(super) struct Availability {
    bits: Box<[AtomicU64]>,
    mode: AtomicU8,
    /// Available weight: of the regular members, and of the failover members.
    weights: [AtomicU64; 2],
    shares: Box<[Share]>,
    rules: Rules,
    inner: Mutex<Inner>,
}

/// What a member counts for. A member that must not be chosen has weight 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) weight: u32,
    pub(super) failover: bool,
    /// Whether it is in the data plane's own zone.
    pub(super) local: bool,
}

/// Which members are chosen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mode {
    /// The available ones of the own zone.
    Local,
    /// The available regular ones.
    Regular,
    /// All regular ones: too few are available.
    Panic,
    /// The regular ones that were never probed: none is available.
    Unknown,
    /// The available failover members: no regular one may be used.
    Failover,
    /// None: too little weight is available.
    BelowThreshold,
    /// None: none is available.
    Unhealthy,
    /// None: there is none.
    Empty,
}

/// What a slot reports of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) available: bool,
    pub(super) ejected: bool,
    pub(super) unknown: bool,
}

/// Weights of the members of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) members: u64,
    pub(super) weight: u64,
    pub(super) available: u64,
    pub(super) available_weight: u64,
    pub(super) ejected: u64,
    pub(super) unknown: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    threshold: f64,
    panic_threshold: f64,
    min_healthy_percent: Option<f64>,
}

#[derive(Debug)]
struct Inner {
    served: Box<[Served]>,
    regular: Sums,
    local: Sums,
    failover: Sums,
}

impl Availability {
    /// Creates the availability of members, none of which is available yet.
    pub(super) fn new(shares: Box<[Share]>, settings: &Settings) -> Self {
        let rules = Rules {
            threshold: settings.threshold,
            panic_threshold: settings.panic_threshold,
            min_healthy_percent: settings.zone.as_ref().map(|zone| zone.min_healthy_percent),
        };
        let mut inner = Inner {
            served: vec![Served::default(); shares.len()].into(),
            regular: Sums::default(),
            local: Sums::default(),
            failover: Sums::default(),
        };
        for share in &shares {
            for sums in inner.sums(*share) {
                sums.members += 1;
                sums.weight += u64::from(share.weight);
            }
        }
        let mode = AtomicU8::new(rules.mode(&inner) as u8);
        let bits = (0..shares.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let weights = [AtomicU64::new(0), AtomicU64::new(0)];
        Self { bits, mode, weights, shares, rules, inner: Mutex::new(inner) }
    }

    /// Whether a member is available.
    pub(super) fn has(&self, index: usize) -> bool {
        self.bits[index / 64].load(Ordering::Relaxed) & (1 << (index % 64)) != 0
    }

    /// Which members are chosen from now.
    pub(super) fn mode(&self) -> Mode {
        const MODES: [Mode; 8] = [
            Mode::Local,
            Mode::Regular,
            Mode::Panic,
            Mode::Unknown,
            Mode::Failover,
            Mode::BelowThreshold,
            Mode::Unhealthy,
            Mode::Empty,
        ];
        MODES[usize::from(self.mode.load(Ordering::Relaxed)) % MODES.len()]
    }

    /// What a member counts for.
    pub(super) fn share(&self, index: usize) -> Share {
        self.shares[index]
    }

    /// The available weight of the regular or the failover members.
    pub(super) fn available_weight(&self, failover: bool) -> u64 {
        self.weights[usize::from(failover)].load(Ordering::Relaxed)
    }

    /// The sums of the regular members, and of the failover members.
    pub(super) fn sums(&self) -> (Sums, Sums) {
        let inner = self.inner.lock();
        (inner.regular, inner.failover)
    }

    /// Notes what a slot reports. Returns the modes before and after.
    pub(super) fn set(&self, index: usize, served: Served) -> (Mode, Mode) {
        let mut inner = self.inner.lock();
        self.put(&mut inner, index, served)
    }

    /// Ejects a member, unless it is the last available one of its tier, or too many would be ejected.
    pub(super) fn try_eject(&self, index: usize, max_percent: u32) -> bool {
        let mut inner = self.inner.lock();
        let served = inner.served[index];
        let share = self.shares[index];
        if share.weight == 0 || served.ejected {
            return false;
        }
        let sums = if share.failover { inner.failover } else { inner.regular };
        let others = sums.available - u64::from(served.available);
        let too_many = (sums.ejected + 1) * 100 > u64::from(max_percent) * sums.members;
        if others == 0 || too_many {
            return false;
        }
        self.put(&mut inner, index, Served { available: false, ejected: true, unknown: served.unknown });
        true
    }

    fn put(&self, inner: &mut Inner, index: usize, served: Served) -> (Mode, Mode) {
        let share = self.shares[index];
        let earlier = std::mem::replace(&mut inner.served[index], served);
        for sums in inner.sums(share) {
            sums.subtract(earlier, share.weight);
            sums.add(served, share.weight);
        }
        let bit = 1 << (index % 64);
        if served.available && share.weight > 0 {
            self.bits[index / 64].fetch_or(bit, Ordering::Relaxed);
        } else {
            self.bits[index / 64].fetch_and(!bit, Ordering::Relaxed);
        }
        self.weights[0].store(inner.regular.available_weight, Ordering::Relaxed);
        self.weights[1].store(inner.failover.available_weight, Ordering::Relaxed);
        let (before, after) = (self.mode(), self.rules.mode(inner));
        self.mode.store(after as u8, Ordering::Relaxed);
        (before, after)
    }
}

impl Inner {
    /// The sums that a member counts in.
    fn sums(&mut self, share: Share) -> SmallVec<[&mut Sums; 2]> {
        match share {
            Share { weight: 0, .. } => smallvec![],
            Share { failover: true, .. } => smallvec![&mut self.failover],
            Share { local: true, .. } => smallvec![&mut self.regular, &mut self.local],
            Share { .. } => smallvec![&mut self.regular],
        }
    }
}

impl Sums {
    /// Percent of the weight that is available.
    pub(super) fn percent(&self) -> f64 {
        if self.weight == 0 { 0.0 } else { self.available_weight as f64 * 100.0 / self.weight as f64 }
    }

    fn add(&mut self, served: Served, weight: u32) {
        self.available += u64::from(served.available);
        self.available_weight += u64::from(served.available) * u64::from(weight);
        self.ejected += u64::from(served.ejected);
        self.unknown += u64::from(served.unknown);
    }

    fn subtract(&mut self, served: Served, weight: u32) {
        self.available -= u64::from(served.available);
        self.available_weight -= u64::from(served.available) * u64::from(weight);
        self.ejected -= u64::from(served.ejected);
        self.unknown -= u64::from(served.unknown);
    }
}

impl Rules {
    fn mode(&self, inner: &Inner) -> Mode {
        let Inner { regular, local, failover, .. } = inner;
        if regular.members + failover.members == 0 {
            return Mode::Empty;
        }
        let any = regular.available > 0;
        if regular.members > 0 && regular.percent() < self.panic_threshold && (any || failover.available == 0)
        {
            return Mode::Panic;
        }
        if any && regular.percent() > self.threshold {
            let short = |minimum| local.available == 0 || local.percent() < minimum;
            return if self.min_healthy_percent.is_none_or(short) { Mode::Regular } else { Mode::Local };
        }
        match () {
            () if !any && regular.unknown > 0 => Mode::Unknown,
            () if failover.available > 0 => Mode::Failover,
            () if any => Mode::BelowThreshold,
            () => Mode::Unhealthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Served = Served { available: true, ejected: false, unknown: false };
    const DOWN: Served = Served { available: false, ejected: false, unknown: false };

    fn share(weight: u32) -> Share {
        Share { weight, failover: false, local: false }
    }

    fn availability(shares: &[Share], change: impl FnOnce(&mut Settings)) -> Availability {
        let mut settings = Settings::new("u".into());
        change(&mut settings);
        let all = Availability::new(shares.into(), &settings);
        for index in 0..shares.len() {
            all.set(index, UP);
        }
        all
    }

    #[test]
    fn threshold_is_strict() {
        let all = availability(&[share(50), share(50)], |settings| settings.threshold = 50.0);
        assert_eq!(all.mode(), Mode::Regular);
        all.set(0, DOWN);
        assert_eq!(all.mode(), Mode::BelowThreshold);
        all.set(1, DOWN);
        assert_eq!(all.mode(), Mode::Unhealthy);
        all.set(0, UP);
        all.set(1, UP);
        assert_eq!(all.mode(), Mode::Regular);
    }

    #[test]
    fn panic_ignores_health_below_its_threshold() {
        let all = availability(&[share(1); 4], |settings| settings.panic_threshold = 50.0);
        all.set(0, DOWN);
        all.set(1, DOWN);
        assert_eq!(all.mode(), Mode::Regular);
        all.set(2, DOWN);
        assert_eq!(all.mode(), Mode::Panic);
        all.set(3, DOWN);
        assert_eq!(all.mode(), Mode::Panic);
    }

    #[test]
    fn failover_serves_only_without_regular_members() {
        let failover = Share { weight: 10, failover: true, local: false };
        let all = availability(&[share(1), failover], |_| ());
        assert_eq!(all.mode(), Mode::Regular);
        all.set(0, DOWN);
        assert_eq!(all.mode(), Mode::Failover);
        all.set(1, DOWN);
        assert_eq!(all.mode(), Mode::Unhealthy);
    }

    #[test]
    fn unknown_members_serve_only_without_available_ones() {
        let all = availability(&[share(1), share(1)], |_| ());
        let unknown = Served { unknown: true, ..DOWN };
        all.set(0, unknown);
        assert_eq!(all.mode(), Mode::Regular);
        all.set(1, DOWN);
        assert_eq!(all.mode(), Mode::Unknown);
    }

    #[test]
    fn weight_zero_counts_for_nothing() {
        let all = availability(&[share(0), share(0)], |_| ());
        assert_eq!(all.mode(), Mode::Empty);
        assert!(!all.has(0));
        assert!(!all.try_eject(0, 100));
    }

    #[test]
    fn ejections_stay_below_their_percentage_and_leave_one() {
        let all = availability(&[share(1); 5], |_| ());
        let ejected = (0..5).filter(|index| all.try_eject(*index, 50)).count();
        assert_eq!((ejected, all.sums().0.available), (2, 3));
        let all = availability(&[share(1); 5], |_| ());
        let ejected = (0..5).filter(|index| all.try_eject(*index, 100)).count();
        assert_eq!((ejected, all.mode()), (4, Mode::Regular));
        let all = availability(&[share(1)], |_| ());
        assert!(!all.try_eject(0, 100));
    }

    #[test]
    fn the_own_zone_serves_while_enough_of_it_is_available() {
        let local = Share { local: true, ..share(1) };
        let all = availability(&[local, local, share(1)], |settings| {
            let own = "a".into();
            settings.zone = Some(super::super::settings::ZonePreference { own, min_healthy_percent: 70.0 });
        });
        assert_eq!(all.mode(), Mode::Local);
        all.set(0, DOWN);
        assert_eq!(all.mode(), Mode::Regular);
    }
}
