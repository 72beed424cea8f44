//! What happens to an address: requests, probes, an operator's word, and time.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::change::Lines;
use super::outliers::Reason;
use super::recovery::Recovery;
use super::{ATTENTIVE, Inner, Pin, SlotState};
use crate::upstream::balancer::machine::{Event, Health, Side, Step};
use crate::upstream::balancer::member::Operation;
use crate::upstream::balancer::outcome::{Outcome, ProbeOutcome};
use crate::upstream::balancer::settings::{Algorithm, Outlier, Settings};

/// The longest text of an error, in bytes.
const LONGEST_ERROR: usize = 128;

impl SlotState {
    /// Counts what became of a request.
    pub(in crate::upstream::balancer) fn heard(&self, outcome: &Outcome<'_>, trial: bool, now: Instant) {
        self.attempts.count(outcome);
        if let Outcome::Answered { took, .. } = outcome {
            self.upstream.latencies.count(*took);
        }
        let settings = self.settings.load();
        let (event, millis) = (outcome.event(&settings), self.upstream.process.millis(now));
        if settings.algorithm == Algorithm::Latency {
            self.count_latency(outcome, event, millis);
        }
        let outlier = settings.outlier.as_ref();
        let reason = outlier.and_then(|outlier| self.detect(outcome, outlier, millis));
        let attentive = self.flags.load(Ordering::Relaxed) & ATTENTIVE != 0;
        let moves = matches!(event, Some(Event::Failure(_))) || (event.is_some() && attentive);
        if !(moves || trial || reason.is_some()) {
            return;
        }
        self.change(&settings, now, |inner, lines| {
            if trial && self.end_trial(inner, outcome, event, &settings, now) {
                lines.push(format!("({}) {} returns: a request succeeded", settings.name, self.label()));
            }
            if let Some(event) = event {
                let step = inner.machine.apply(Side::Passive, event, &settings.checks.passive);
                self.note(inner, step, &settings, lines, || outcome.error());
            }
            if let (Some(outlier), Some(reason)) = (outlier, reason) {
                self.eject(inner, outlier, reason, &settings, lines, outcome, now);
            }
        });
    }

    /// Counts what a probe found.
    pub fn probe_result(&self, outcome: &ProbeOutcome<'_>, now: Instant) {
        let settings = self.settings.load();
        let Some(event) = outcome.event(&settings) else { return };
        self.change(&settings, now, |inner, lines| {
            let step = inner.machine.apply(Side::Active, event, &settings.checks.active);
            self.note(inner, step, &settings, lines, || outcome.error());
        });
    }

    /// Sets the health, as an operator's word does. The next event may change it.
    #[cfg(test)]
    pub(in crate::upstream::balancer) fn force(&self, health: Health, now: Instant) {
        self.set_health(health, None, now);
    }

    /// Sets the health until a deadline, as an operator's word does.
    #[cfg(test)]
    pub(in crate::upstream::balancer) fn pin(&self, health: Health, until: Instant, now: Instant) {
        self.set_health(health, Some(until), now);
    }

    /// Applies an operation, unless it was applied already, or a later one was.
    pub fn operate(&self, operation: &Operation, now: Instant) {
        if !self.settings.load().keep_health() {
            return;
        }
        let newer = {
            let mut inner = self.inner.lock();
            let newer = operation.set_at > inner.operation;
            inner.operation = inner.operation.max(operation.set_at);
            newer
        };
        // A pin that is over says nothing any more.
        if newer && operation.until.is_none_or(|until| until > now) {
            self.set_health(operation.health, operation.until, now);
        }
    }

    /// Begins a trial. `false`: another request was faster.
    pub(in crate::upstream::balancer) fn begin_trial(&self, now: Instant) -> bool {
        self.change(&self.settings.load(), now, |inner, _| inner.recovery.begin())
    }

    /// Ends what is over.
    pub(in crate::upstream::balancer) fn expire(&self, now: Instant) {
        let settings = self.settings.load();
        self.change(&settings, now, |inner, lines| {
            if inner.pin.is_some_and(|pin| pin.until <= now) {
                inner.pin = None;
                lines.push(format!("({}) the operator's word on {} is over", settings.name, self.label()));
            }
            if inner.ejections.expire(now) {
                self.forget_answers(self.upstream.process.millis(now));
                lines.push(format!("({}) {} returns from its ejection", settings.name, self.label()));
            }
            inner.recovery.expire(now);
        });
    }

    /// Forgets that it is unhealthy if nothing looks at that: nothing would bring it back.
    pub(in crate::upstream::balancer) fn serve_without_checks(&self, now: Instant) {
        let settings = self.settings.load();
        if settings.keep_health() {
            return;
        }
        self.change(&settings, now, |inner, lines| {
            if !inner.health().is_serving() {
                inner.pin = None;
                inner.machine.set(Health::Healthy);
                lines.push(format!("({}) {} serves: checks are off", settings.name, self.label()));
            }
        });
    }

    fn set_health(&self, health: Health, until: Option<Instant>, now: Instant) {
        let settings = self.settings.load();
        self.change(&settings, now, |inner, lines| {
            match until {
                None => {
                    inner.pin = None;
                    inner.machine.set(health);
                }
                Some(until) => inner.pin = Some(Pin { health, until }),
            }
            inner.ejections.end(now);
            self.forget_answers(self.upstream.process.millis(now));
            let word = if health.is_serving() { "healthy" } else { "unhealthy" };
            lines.push(format!("({}) an operator sets {} {word}", settings.name, self.label()));
        });
    }

    fn count_latency(&self, outcome: &Outcome<'_>, event: Option<Event>, now: u32) {
        match outcome {
            Outcome::Answered { status: ..500, took }
                if event.is_none_or(|event| event == Event::Success) =>
            {
                self.load.answered(*took, now);
            }
            Outcome::Answered { took, .. } => self.load.answered_badly(*took, now),
            Outcome::ConnectFailed { .. } | Outcome::TimedOut => self.load.failed(now),
            Outcome::Ignored => (),
        }
    }

    /// Ends a trial. Returns whether the address returns.
    fn end_trial(
        &self,
        inner: &mut Inner,
        outcome: &Outcome<'_>,
        event: Option<Event>,
        settings: &Settings,
        now: Instant,
    ) -> bool {
        let Recovery::Running { failures } = inner.recovery else { return false };
        match (outcome, event) {
            (Outcome::Ignored, _) => inner.recovery.reopen(),
            (_, Some(Event::Failure(_))) => {
                inner.recovery = Recovery::wait(settings.recover_after, failures.saturating_add(1), now);
                inner.last_error = Some(shortened(outcome.error()));
            }
            (_, Some(Event::Success) | None) => {
                inner.machine.set(Health::Healthy);
                return true;
            }
        }
        false
    }

    #[expect(clippy::too_many_arguments, reason = "one place of use")]
    fn eject(
        &self,
        inner: &mut Inner,
        outlier: &Outlier,
        reason: Reason,
        settings: &Settings,
        lines: &mut Lines,
        outcome: &Outcome<'_>,
        now: Instant,
    ) {
        let newest = inner.views.iter().rev().find_map(|(view, index)| Some((view.upgrade()?, *index)));
        let Some((view, index)) = newest else { return };
        if inner.pin.is_some() || !view.try_eject(index, outlier.max_percent) {
            return;
        }
        let length = inner.ejections.begin(outlier, now);
        inner.last_error = Some(shortened(outcome.error()));
        let text = match reason {
            Reason::Consecutive(streak) => format!("{streak} failures in a row"),
            Reason::SuccessRate(percent) => format!("{percent} % of successes"),
        };
        self.upstream.count_ejection(matches!(reason, Reason::Consecutive(_)));
        lines.push(format!("({}) {} is ejected for {length:.1?}: {text}", settings.name, self.label()));
    }

    /// Notes a step of a counter.
    fn note(
        &self,
        inner: &mut Inner,
        step: Option<Step>,
        settings: &Settings,
        lines: &mut Lines,
        error: impl FnOnce() -> String,
    ) {
        let Some(Step { kind, success, count, limit }) = step else { return };
        if !success {
            inner.last_error = Some(shortened(error()));
        }
        let word = if success { "healthy" } else { "unhealthy" };
        let name = &settings.name;
        lines.push(format!("({name}) {word} {kind} increment ({count}/{limit}) for '{}'", self.label()));
    }

    /// How the log names it.
    fn label(&self) -> String {
        format!("{}({})", self.identity.host, self.identity.address)
    }
}

fn shortened(mut text: String) -> std::sync::Arc<str> {
    text.truncate(text.floor_char_boundary(LONGEST_ERROR));
    text.into()
}
