//! The periods of limits, and their windows: by the calendar, in UTC.

use time::{Date, Month, OffsetDateTime};

/// A period of a limit, the shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Period {
    /// Each second.
    Second,
    /// Each minute.
    Minute,
    /// Each hour.
    Hour,
    /// Each day.
    Day,
    /// From the first day of a month to its last.
    Month,
    /// From 1 January to 31 December.
    Year,
}

/// One window of a period, in seconds since 1970. The end is the start of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start: u32,
    /// The first second after it.
    pub end: u32,
}

impl Period {
    /// All periods, the shortest first.
    pub const ALL: [Self; 6] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Year];

    /// Its name in configurations and in keys of redis.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Its length in seconds as headers state it: Kong counts a month as 30 days and a year as 365.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => DAY,
            Self::Month => 30 * DAY,
            Self::Year => 365 * DAY,
        }
    }

    /// The window that holds this second since 1970.
    pub fn window(self, second: u32) -> Window {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::Day => {
                let start = second - second % self.seconds();
                Window { start, end: start.saturating_add(self.seconds()) }
            }
            Self::Month => {
                let date = date(second);
                let first = first_of(date.year(), date.month());
                let next_year = date.year() + i32::from(date.month() == Month::December);
                Window { start: first, end: first_of(next_year, date.month().next()) }
            }
            Self::Year => {
                let year = date(second).year();
                Window { start: first_of(year, Month::January), end: first_of(year + 1, Month::January) }
            }
        }
    }

    /// The window that holds a time in milliseconds since 1970.
    pub fn window_at(self, now: u64) -> Window {
        self.window(second(now))
    }

    /// Where the window begins that ends at `start`.
    pub fn before(self, start: u32) -> u32 {
        self.window(start.saturating_sub(1)).start
    }
}

impl Window {
    /// Its length in seconds, at least 1.
    pub fn seconds(&self) -> u32 {
        self.end.saturating_sub(self.start).max(1)
    }

    /// The part of it that is still to come at a time in milliseconds since 1970: from 1 at its start to 0.
    pub fn left(&self, now: u64) -> f64 {
        let passed = now.saturating_sub(u64::from(self.start) * 1000) as f64;
        (1.0 - passed / (f64::from(self.seconds()) * 1000.0)).clamp(0.0, 1.0)
    }
}

const DAY: u32 = 86_400;

/// Whole seconds of a time in milliseconds.
pub fn second(now: u64) -> u32 {
    u32::try_from(now / 1000).unwrap_or(u32::MAX)
}

fn date(second: u32) -> Date {
    OffsetDateTime::from_unix_timestamp(second.into()).map_or(Date::MIN, OffsetDateTime::date)
}

/// The first second of a month; the last representable one for months beyond it (in 2106).
fn first_of(year: i32, month: Month) -> u32 {
    let first = Date::from_calendar_date(year, month, 1).unwrap_or(Date::MAX);
    u32::try_from(first.midnight().assume_utc().unix_timestamp()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second since 1970 of a day and a time, in UTC.
    fn utc(year: i32, month: u8, day: u8, [hour, minute, second]: [u8; 3]) -> u32 {
        let date = Date::from_calendar_date(year, Month::try_from(month).unwrap(), day).unwrap();
        let time = date.with_hms(hour, minute, second).unwrap().assume_utc();
        u32::try_from(time.unix_timestamp()).unwrap()
    }

    #[test]
    fn windows_follow_the_calendar() {
        let at = utc(2024, 2, 29, [23, 59, 59]);
        for (period, start, end) in [
            (Period::Second, utc(2024, 2, 29, [23, 59, 59]), utc(2024, 3, 1, [0, 0, 0])),
            (Period::Minute, utc(2024, 2, 29, [23, 59, 0]), utc(2024, 3, 1, [0, 0, 0])),
            (Period::Hour, utc(2024, 2, 29, [23, 0, 0]), utc(2024, 3, 1, [0, 0, 0])),
            (Period::Day, utc(2024, 2, 29, [0, 0, 0]), utc(2024, 3, 1, [0, 0, 0])),
            (Period::Month, utc(2024, 2, 1, [0, 0, 0]), utc(2024, 3, 1, [0, 0, 0])),
            (Period::Year, utc(2024, 1, 1, [0, 0, 0]), utc(2025, 1, 1, [0, 0, 0])),
        ] {
            assert_eq!(period.window(at), Window { start, end }, "{period:?}");
        }
        let december = Period::Month.window(utc(2025, 12, 31, [23, 59, 59]));
        assert_eq!(december.end, utc(2026, 1, 1, [0, 0, 0]));
        assert_eq!(Period::Year.before(december.end), utc(2025, 1, 1, [0, 0, 0]));
        assert_eq!(Period::Month.before(december.end), december.start);
    }

    #[test]
    fn every_second_of_four_years_is_in_one_window_that_meets_the_next() {
        let from = utc(2023, 12, 31, [0, 0, 0]);
        for period in [Period::Day, Period::Month, Period::Year] {
            let mut window = period.window(from);
            for at in (from..from + 4 * 366 * DAY).step_by(1801) {
                let found = period.window(at);
                assert!(found.start <= at && at < found.end, "{period:?} {at}");
                if found != window {
                    assert_eq!((found.start, period.before(found.start)), (window.end, window.start));
                    window = found;
                }
            }
        }
    }

    #[test]
    fn times_beyond_what_can_be_told_have_a_window() {
        for period in Period::ALL {
            for at in [0, u32::MAX - 1, u32::MAX] {
                assert!(period.window(at).start <= at, "{period:?} {at}");
                assert!(period.before(at) <= at && period.window(at).seconds() > 0);
            }
        }
    }

    #[test]
    fn share_that_is_left_falls_from_one_to_nothing() {
        let window = Period::Minute.window(120);
        for (now, left) in [(119_000, 1.0), (120_000, 1.0), (135_000, 0.75), (180_000, 0.0), (900_000, 0.0)] {
            assert!((window.left(now) - left).abs() < 1e-9, "{now}");
        }
    }
}
