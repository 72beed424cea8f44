//! The health of an address as a state machine over events. It knows no clock and no traffic.

use super::settings::Thresholds;

/// The health of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Serves.
    Healthy,
    /// Serves; the last event was a failure.
    MostlyHealthy,
    /// Does not serve; the last event was a success.
    MostlyUnhealthy,
    /// Does not serve.
    Unhealthy,
    /// Was never probed, and waits for the first probe.
    Unknown,
}

/// Which kind of check an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A probe.
    Active,
    /// A request.
    Passive,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Success,
    Failure(Failure),
}

/// A kind of failure. Each kind has a counter of its own: two of one and two of another never add up to four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// An unhealthy status.
    Http,
    /// The connection failed.
    Tcp,
    /// The time was up.
    Timeout,
}

/// Health and counters of an address. Probes and requests are counted apart, so that good requests do not hide
/// that probes fail.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    health: Health,
    active: Counts,
    passive: Counts,
}

/// Events in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    successes: u32,
    http: u32,
    tcp: u32,
    timeouts: u32,
}

/// A counter that an event moved, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) kind: &'static str,
    pub(super) success: bool,
    pub(super) count: u32,
    pub(super) limit: u32,
}

impl Health {
    /// Whether an address of this health serves.
    pub fn is_serving(self) -> bool {
        matches!(self, Self::Healthy | Self::MostlyHealthy)
    }
}

impl Machine {
    pub(super) fn new(health: Health) -> Self {
        Self { health, active: Counts::default(), passive: Counts::default() }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    /// Sets the health, and forgets all counts.
    pub(super) fn set(&mut self, health: Health) {
        *self = Self::new(health);
    }

    /// Whether a success of a request would change nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.health == Health::Healthy && self.passive == Counts::default()
    }

    /// Counts an event. Returns the counter that it moved, if any.
    pub(super) fn apply(&mut self, side: Side, event: Event, limits: &Thresholds) -> Option<Step> {
        match event {
            Event::Success => self.succeed(side, limits),
            Event::Failure(failure) => self.fail(side, failure, limits),
        }
    }

    fn succeed(&mut self, side: Side, limits: &Thresholds) -> Option<Step> {
        let counts = self.counts(side);
        *counts = Counts { successes: counts.successes, ..Counts::default() };
        if self.health == Health::Healthy {
            return None;
        }
        if self.health == Health::Unknown && side == Side::Active {
            self.set(Health::Healthy);
            return Some(Step { kind: "SUCCESS", success: true, count: 1, limit: 1 });
        }
        if limits.successes == 0 {
            self.settle();
            return None;
        }
        let counts = self.counts(side);
        counts.successes += 1;
        let count = counts.successes;
        match (count >= limits.successes, self.health) {
            (true, Health::MostlyHealthy) => {
                self.counts(side).successes = 0;
                self.settle();
            }
            (true, _) => self.set(Health::Healthy),
            (false, Health::Unhealthy) => self.health = Health::MostlyUnhealthy,
            (false, _) => (),
        }
        Some(Step { kind: "SUCCESS", success: true, count, limit: limits.successes })
    }

    /// Returns from mostly healthy to healthy once no failure is counted any more.
    fn settle(&mut self) {
        if self.health == Health::MostlyHealthy && !self.active.has_failures() && !self.passive.has_failures()
        {
            self.health = Health::Healthy;
        }
    }

    fn fail(&mut self, side: Side, failure: Failure, limits: &Thresholds) -> Option<Step> {
        let (kind, limit) = match failure {
            Failure::Http => ("HTTP", limits.http_failures),
            Failure::Tcp => ("TCP", limits.tcp_failures),
            Failure::Timeout => ("TIMEOUT", limits.timeouts),
        };
        let first_probe = self.health == Health::Unknown && side == Side::Active;
        if limit == 0 && !first_probe {
            return None;
        }
        self.counts(side).successes = 0;
        if matches!(self.health, Health::Unhealthy | Health::MostlyUnhealthy) {
            self.health = Health::Unhealthy;
            return None;
        }
        let counter = self.counts(side).counter(failure);
        *counter += 1;
        let count = *counter;
        if count >= limit || first_probe {
            self.set(Health::Unhealthy);
        } else if self.health == Health::Healthy {
            self.health = Health::MostlyHealthy;
        }
        Some(Step { kind, success: false, count, limit })
    }

    fn counts(&mut self, side: Side) -> &mut Counts {
        match side {
            Side::Active => &mut self.active,
            Side::Passive => &mut self.passive,
        }
    }
}

impl Counts {
    fn counter(&mut self, failure: Failure) -> &mut u32 {
        match failure {
            Failure::Http => &mut self.http,
            Failure::Tcp => &mut self.tcp,
            Failure::Timeout => &mut self.timeouts,
        }
    }

    fn has_failures(&self) -> bool {
        (self.http, self.tcp, self.timeouts) != (0, 0, 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Thresholds = Thresholds {
        successes: 2,
        tcp_failures: 2,
        timeouts: 3,
        http_failures: 4,
        healthy: super::super::statuses::Statuses::EMPTY,
        unhealthy: super::super::statuses::Statuses::EMPTY,
    };

    fn machine() -> Machine {
        Machine::new(Health::Healthy)
    }

    fn run(machine: &mut Machine, events: &[Event]) -> Health {
        for event in events {
            machine.apply(Side::Passive, *event, &LIMITS);
        }
        machine.health()
    }

    const OK: Event = Event::Success;
    const TCP: Event = Event::Failure(Failure::Tcp);
    const HTTP: Event = Event::Failure(Failure::Http);
    const TIMEOUT: Event = Event::Failure(Failure::Timeout);

    #[test]
    fn each_kind_of_failure_has_its_own_limit() {
        assert_eq!(run(&mut machine(), &[TCP]), Health::MostlyHealthy);
        assert_eq!(run(&mut machine(), &[TCP, TCP]), Health::Unhealthy);
        assert_eq!(run(&mut machine(), &[TIMEOUT; 3]), Health::Unhealthy);
        assert_eq!(run(&mut machine(), &[HTTP; 4]), Health::Unhealthy);
        assert_eq!(run(&mut machine(), &[TCP, HTTP, HTTP, HTTP, TIMEOUT, TIMEOUT]), Health::MostlyHealthy);
    }

    #[test]
    fn any_success_resets_failures() {
        assert_eq!(run(&mut machine(), &[TCP, OK, TCP, OK, TCP]), Health::MostlyHealthy);
        let lenient = Thresholds { successes: 0, ..LIMITS };
        let mut machine = machine();
        for _ in 0..100 {
            machine.apply(Side::Passive, TCP, &lenient);
            machine.apply(Side::Passive, OK, &lenient);
            assert_eq!(machine.health(), Health::Healthy);
        }
    }

    #[test]
    fn successes_in_a_row_recover() {
        let mut machine = Machine::new(Health::Unhealthy);
        assert_eq!(run(&mut machine, &[OK]), Health::MostlyUnhealthy);
        assert_eq!(run(&mut machine, &[TCP]), Health::Unhealthy);
        assert_eq!(run(&mut machine, &[OK, OK]), Health::Healthy);
        assert!(machine.is_settled());
    }

    #[test]
    fn without_a_limit_nothing_happens() {
        let none = Thresholds::default();
        let mut machine = machine();
        for event in [TCP, HTTP, TIMEOUT] {
            assert_eq!(machine.apply(Side::Active, event, &none), None);
        }
        assert_eq!(machine.health(), Health::Healthy);
        let mut machine = Machine::new(Health::Unhealthy);
        assert_eq!(machine.apply(Side::Passive, OK, &none), None);
        assert_eq!(machine.health(), Health::Unhealthy);
    }

    #[test]
    fn good_requests_do_not_hide_failing_probes() {
        let mut machine = machine();
        for _ in 0..4 {
            run(&mut machine, &[OK; 10]);
            machine.apply(Side::Active, HTTP, &LIMITS);
        }
        assert_eq!(machine.health(), Health::Unhealthy);
    }

    #[test]
    fn the_first_probe_decides_on_an_unknown_address() {
        for (event, health) in [(OK, Health::Healthy), (TCP, Health::Unhealthy)] {
            let mut machine = Machine::new(Health::Unknown);
            machine.apply(Side::Active, event, &LIMITS);
            assert_eq!(machine.health(), health);
        }
    }

    #[test]
    fn steps_tell_count_and_limit() {
        let mut machine = machine();
        let step = machine.apply(Side::Active, TIMEOUT, &LIMITS);
        assert_eq!(step, Some(Step { kind: "TIMEOUT", success: false, count: 1, limit: 3 }));
        machine.set(Health::Unhealthy);
        assert_eq!(machine.apply(Side::Active, TIMEOUT, &LIMITS), None);
        let step = machine.apply(Side::Active, OK, &LIMITS);
        assert_eq!(step, Some(Step { kind: "SUCCESS", success: true, count: 1, limit: 2 }));
    }

    fn events() -> impl Strategy<Value = Vec<(bool, Event)>> {
        let event = prop_oneof![Just(OK), Just(TCP), Just(HTTP), Just(TIMEOUT)];
        prop::collection::vec((any::<bool>(), event), 0..60)
    }

    proptest! {
        /// Health only becomes unhealthy after a limit of failures of one kind without a success on that side,
        /// and only returns after a limit of successes without a failure.
        #[test]
        fn flips_follow_events_in_a_row(events in events()) {
            let mut machine = machine();
            for end in 0..events.len() {
                let before = machine.health().is_serving();
                let (active, event) = events[end];
                let side = if active { Side::Active } else { Side::Passive };
                machine.apply(side, event, &LIMITS);
                if machine.health().is_serving() != before {
                    let same: Vec<Event> =
                        events[..=end].iter().rev().filter(|(a, _)| *a == active).map(|(_, e)| *e).collect();
                    let run = match event {
                        Event::Success => same.iter().take_while(|e| **e == OK).count(),
                        _ => same.iter().take_while(|e| **e != OK).filter(|e| **e == event).count(),
                    };
                    let limit = match event {
                        OK | TCP => 2,
                        TIMEOUT => 3,
                        _ => 4,
                    };
                    prop_assert!(run >= limit, "{run} of {limit}");
                }
            }
        }
    }
}
