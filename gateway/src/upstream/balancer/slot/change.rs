//! A change of a slot's state under its lock, and what follows from it: timers, the views' availability, the
//! report to the fleet, and the log.

use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tracing::warn;

use super::recovery::Recovery;
use super::{ATTENTIVE, Inner, SERVING, SlotState, TRIAL, UNKNOWN};
use crate::upstream::balancer::availability::{Mode, Served};
use crate::upstream::balancer::machine::Health;
use crate::upstream::balancer::settings::Settings;

/// Lines for the log. They are written without the lock.
pub(super) type Lines = Vec<String>;

impl SlotState {
    /// Changes the state.
    pub(super) fn change<R>(
        &self,
        settings: &Settings,
        now: Instant,
        change: impl FnOnce(&mut Inner, &mut Lines) -> R,
    ) -> R {
        let (mut lines, mut inner) = (Lines::new(), self.inner.lock());
        let deadlines = inner.deadlines();
        let result = change(&mut inner, &mut lines);
        inner.plan_recovery(settings, now);
        for deadline in inner.deadlines() {
            if let Some(at) = deadline
                && !deadlines.contains(&deadline)
            {
                self.upstream.process.timers.add(at, self.slot.clone());
            }
        }
        self.announce(&mut inner, settings, now, &mut lines);
        drop(inner);
        lines.iter().for_each(|line| warn!("{line}"));
        result
    }

    /// Announces the state for the first time.
    pub(super) fn begin(&self, now: Instant) {
        let settings = self.settings.load();
        self.change(&settings, now, |inner, _| {
            inner.serving = inner.health().is_serving() && !inner.is_ejected();
            for at in inner.deadlines().into_iter().flatten() {
                self.upstream.process.timers.add(at, self.slot.clone());
            }
        });
        self.inner.lock().announced = true;
    }

    fn announce(&self, inner: &mut Inner, settings: &Settings, now: Instant, lines: &mut Lines) {
        let (health, ejected) = (inner.health(), inner.is_ejected());
        let serving = health.is_serving() && !ejected;
        let trial = inner.pin.is_none() && !ejected && inner.recovery.is_open();
        let served = Served { available: serving || trial, ejected, unknown: health == Health::Unknown };
        self.set_flags(inner, serving, trial);
        if serving != inner.serving {
            inner.serving = serving;
            inner.since = std::time::SystemTime::now();
            if serving && !inner.served.unknown && settings.slow_start.is_some() {
                self.warm_up(now);
            }
        }
        if served != inner.served {
            if inner.announced {
                self.upstream.process.changes.add(self.id, self.upstream(), &self.identity);
            }
            inner.tell_views(served, settings, lines);
            if served.available {
                self.upstream.places.notify_waiters();
            }
        }
    }

    fn set_flags(&self, inner: &Inner, serving: bool, trial: bool) {
        let set = |flag, on| {
            if on {
                self.flags.fetch_or(flag, Ordering::Relaxed);
            } else {
                self.flags.fetch_and(!flag, Ordering::Relaxed);
            }
        };
        set(SERVING, serving);
        set(TRIAL, trial);
        set(UNKNOWN, inner.health() == Health::Unknown);
        set(ATTENTIVE, !inner.machine.is_settled());
    }
}

impl Inner {
    /// When something ends by itself.
    fn deadlines(&self) -> [Option<Instant>; 3] {
        [self.pin.map(|pin| pin.until), self.ejections.until(), self.recovery.opens_at()]
    }

    fn plan_recovery(&mut self, settings: &Settings, now: Instant) {
        let health = self.machine.health();
        if health.is_serving() || settings.recover_after.is_zero() {
            self.recovery = Recovery::Off;
        } else if self.recovery == Recovery::Off && health != Health::Unknown {
            self.recovery = Recovery::wait(settings.recover_after, 0, now);
        }
    }

    fn tell_views(&mut self, served: Served, settings: &Settings, lines: &mut Lines) {
        self.served = served;
        let mut newest = None;
        self.views.retain(|(view, index)| {
            let view = view.upgrade();
            newest = view.as_ref().map(|view| view.set(*index, served)).or(newest);
            view.is_some()
        });
        if let Some((before, after)) = newest
            && before.is_plain() != after.is_plain()
        {
            lines.push(format!("({}) {}", settings.name, after.text()));
        }
    }
}

impl Mode {
    /// Whether regular members serve as they should.
    fn is_plain(self) -> bool {
        matches!(self, Self::Regular | Self::Local)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Regular | Self::Local => "enough targets are available",
            Self::Panic => "too few targets are available: health is ignored",
            Self::Unknown => "no target is available: unknown ones serve",
            Self::Failover => "no regular target is available: failover targets serve",
            Self::BelowThreshold => "the available weight is not above the threshold",
            Self::Unhealthy | Self::Empty => "no target is available",
        }
    }
}
