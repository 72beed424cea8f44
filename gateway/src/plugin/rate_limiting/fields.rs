//! What a client learns of its limits: the fields of an answer.

use http::{HeaderName, HeaderValue};

use crate::counting::counters::{Ask, Period, Taken};
use crate::message::FieldValue;
use crate::names::Name;

/// A limit as a field shows it.
#[derive(Clone, Copy, Debug)]
struct Shown {
    period: Period,
    limit: f64,
    remaining: f64,
}

const fn name(written: &'static str, lower: &'static str) -> Name {
    Name { written, lower: HeaderName::from_static(lower) }
}

/// The limit of a period, by [`Period`].
static LIMIT_OF: [Name; Period::ALL.len()] = [
    name("X-RateLimit-Limit-Second", "x-ratelimit-limit-second"),
    name("X-RateLimit-Limit-Minute", "x-ratelimit-limit-minute"),
    name("X-RateLimit-Limit-Hour", "x-ratelimit-limit-hour"),
    name("X-RateLimit-Limit-Day", "x-ratelimit-limit-day"),
    name("X-RateLimit-Limit-Month", "x-ratelimit-limit-month"),
    name("X-RateLimit-Limit-Year", "x-ratelimit-limit-year"),
];
/// What is left of it.
static REMAINING_OF: [Name; Period::ALL.len()] = [
    name("X-RateLimit-Remaining-Second", "x-ratelimit-remaining-second"),
    name("X-RateLimit-Remaining-Minute", "x-ratelimit-remaining-minute"),
    name("X-RateLimit-Remaining-Hour", "x-ratelimit-remaining-hour"),
    name("X-RateLimit-Remaining-Day", "x-ratelimit-remaining-day"),
    name("X-RateLimit-Remaining-Month", "x-ratelimit-remaining-month"),
    name("X-RateLimit-Remaining-Year", "x-ratelimit-remaining-year"),
];
/// The limit of which the least is left.
static LIMIT: Name = name("RateLimit-Limit", "ratelimit-limit");
/// What is left of it.
static REMAINING: Name = name("RateLimit-Remaining", "ratelimit-remaining");
/// The seconds until it begins again.
static RESET: Name = name("RateLimit-Reset", "ratelimit-reset");
/// The seconds after which a request that was refused may come again.
static RETRY_AFTER: Name = name("Retry-After", "retry-after");

/// Hands the fields of the answer to a request that asked for `asks` to `set`.
pub(super) fn each(asks: &[Ask], taken: &Taken, mut set: impl FnMut(&'static Name, FieldValue)) {
    let mut of_periods: [Option<Shown>; Period::ALL.len()] = Default::default();
    for (ask, usage) in asks.iter().zip(&taken.usage) {
        let (shown, of_period) = (shown(ask, *usage, taken.allowed), &mut of_periods[ask.period as usize]);
        *of_period = Some(of_period.map_or(shown, |before| tighter(before, shown)));
    }
    let mut tightest: Option<(Shown, [FieldValue; 2])> = None;
    for shown in of_periods.into_iter().flatten() {
        let period = shown.period;
        let [limit, remaining] = [shown.limit, shown.remaining].map(value);
        set(&LIMIT_OF[period as usize], limit.clone());
        set(&REMAINING_OF[period as usize], remaining.clone());
        // The longer period on a tie.
        if tightest.as_ref().is_none_or(|(before, _)| shown.remaining <= before.remaining) {
            tightest = Some((shown, [limit, remaining]));
        }
    }
    let Some((tightest, [limit, remaining])) = tightest else { return };
    let reset = u64::from(reset(tightest.period, taken));
    set(&LIMIT, limit);
    set(&REMAINING, remaining);
    set(&RESET, reset.into());
    if !taken.allowed {
        set(&RETRY_AFTER, reset.into());
    }
}

/// As Kong counts: a request that passes takes one of each limit. One that is refused takes one of those that
/// have nothing left, which shows as nothing.
fn shown(ask: &Ask, usage: f64, allowed: bool) -> Shown {
    let left = ask.limit - usage;
    let remaining = if allowed || left <= 0.0 { left - 1.0 } else { left };
    Shown { period: ask.period, limit: ask.limit, remaining: remaining.max(0.0) }
}

/// The one of which less is left, and the first of equals.
fn tighter(one: Shown, other: Shown) -> Shown {
    if other.remaining < one.remaining { other } else { one }
}

/// The seconds until a window of the period ends, with months of 30 days and years of 365, as Kong counts; at
/// least one. After a refusal by windows that slide, the seconds until one more request would pass.
fn reset(period: Period, taken: &Taken) -> u32 {
    if let Some(wait) = taken.wait.filter(|_| !taken.allowed) {
        return wait.max(1);
    }
    let second = u32::try_from(taken.now / 1000).unwrap_or(u32::MAX);
    let passed = second.saturating_sub(period.window(second).start);
    period.seconds().saturating_sub(passed).max(1)
}

/// A number as Kong writes it: without a fraction if there is none, with 14 digits at most.
pub(in crate::plugin) fn value(number: f64) -> FieldValue {
    /// Below it every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = number as u64;
    if whole as f64 == number && number < EXACT {
        return whole.into();
    }
    let whole_digits = if number.abs() < 1.0 { 0 } else { number.abs().log10() as usize + 1 };
    let text = format!("{number:.*}", 14_usize.saturating_sub(whole_digits));
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("0")).into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::counting::counters::{Counters, Namespace, Scope};

    /// 2024-01-31 12:34:56 UTC.
    const NOW: u64 = 1_706_704_496_000;

    fn text(asks: &[(Period, f64, f64)], allowed: bool, wait: Option<u32>) -> String {
        let scope = Scope { route: Uuid::nil(), service: Uuid::nil() };
        let subject = Counters::new(1).subject(&Namespace::new(&scope, b""), b"");
        let usage = asks.iter().map(|(_, _, usage)| *usage).collect();
        let asks: Vec<_> = asks
            .iter()
            .map(|(period, limit, _)| Ask {
                subject,
                period: *period,
                limit: *limit,
                sliding: wait.is_some(),
                cost: 1.0,
            })
            .collect();
        let taken = Taken { allowed, usage, now: NOW, wait };
        let mut shown = Vec::new();
        each(&asks, &taken, |name, value| {
            let name = name.written.replace("X-RateLimit-", "").replace("RateLimit-", "-");
            shown.push(format!("{name}={}", HeaderValue::from(value).to_str().unwrap()));
        });
        shown.join(" ")
    }

    #[test]
    fn fields_of_one_and_of_several_periods() {
        use Period::{Hour, Minute, Month, Second, Year};
        for (asks, allowed, expected) in [
            (
                &[(Minute, 10.0, 0.0)][..],
                true,
                "Limit-Minute=10 Remaining-Minute=9 -Limit=10 -Remaining=9 -Reset=4",
            ),
            (
                &[(Minute, 10.0, 10.0)],
                false,
                "Limit-Minute=10 Remaining-Minute=0 -Limit=10 -Remaining=0 -Reset=4 Retry-After=4",
            ),
            (
                &[(Second, 5.0, 5.0), (Hour, 100.0, 20.0)],
                false,
                "Limit-Second=5 Remaining-Second=0 Limit-Hour=100 Remaining-Hour=80 \
                 -Limit=5 -Remaining=0 -Reset=1 Retry-After=1",
            ),
            (
                &[(Second, 5.0, 1.0), (Hour, 100.0, 96.0)],
                true,
                "Limit-Second=5 Remaining-Second=3 Limit-Hour=100 Remaining-Hour=3 \
                 -Limit=100 -Remaining=3 -Reset=1504",
            ),
            (
                &[(Minute, 1.5, 1.0)],
                true,
                "Limit-Minute=1.5 Remaining-Minute=0 -Limit=1.5 -Remaining=0 -Reset=4",
            ),
            (
                &[(Minute, 1.5, 0.0)],
                true,
                "Limit-Minute=1.5 Remaining-Minute=0.5 -Limit=1.5 -Remaining=0.5 -Reset=4",
            ),
            // A month has 30 days: on the 31st it is over.
            (
                &[(Month, 9.0, 0.0), (Year, 9.0, 0.0)],
                true,
                "Limit-Month=9 Remaining-Month=8 Limit-Year=9 Remaining-Year=8 \
                 -Limit=9 -Remaining=8 -Reset=28898704",
            ),
            (&[(Month, 9.0, 0.0)], true, "Limit-Month=9 Remaining-Month=8 -Limit=9 -Remaining=8 -Reset=1"),
            // Two limits of one period: the one of which less is left.
            (
                &[(Minute, 10.0, 0.0), (Minute, 100.0, 95.0)],
                true,
                "Limit-Minute=100 Remaining-Minute=4 -Limit=100 -Remaining=4 -Reset=4",
            ),
        ] {
            assert_eq!(text(asks, allowed, None), expected);
        }
    }

    #[test]
    fn refusal_by_a_sliding_window_says_when_the_next_request_passes() {
        for (wait, seconds) in [(17, 17), (0, 1)] {
            let expected = format!(
                "Limit-Minute=10 Remaining-Minute=0 -Limit=10 -Remaining=0 -Reset={seconds} Retry-After={seconds}"
            );
            assert_eq!(text(&[(Period::Minute, 10.0, 10.0)], false, Some(wait)), expected);
        }
    }

    #[test]
    fn numbers_have_14_digits_at_most() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-1.0, "-1"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (18_446_744_073_709_551_616.0, "18446744073709551616"),
            (5.0, "5"),
            (1.5, "1.5"),
            (1.1 - 1.0, "0.1"),
            (2.0 / 3.0, "0.66666666666667"),
            (1e15, "1000000000000000"),
            (123_456.25, "123456.25"),
            (1e16 + 2.0, "10000000000000002"),
        ] {
            assert_eq!(HeaderValue::from(value(number)), text);
        }
    }
}
