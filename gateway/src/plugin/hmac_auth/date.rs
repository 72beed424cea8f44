//! The date of a signed request: it bounds how long a request that was overheard can be sent again.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName};

const X_DATE: HeaderName = HeaderName::from_static("x-date");

/// Whether X-Date or Date holds a date that differs from `now` by `skew` at most, in whole seconds as dates have.
pub(super) fn is_current(headers: &HeaderMap, now: SystemTime, skew: Duration) -> bool {
    let now = whole_seconds(now);
    [X_DATE, DATE].iter().filter_map(|name| headers.get(name)).any(|value| {
        let date = value.to_str().ok().and_then(|text| httpdate::parse_http_date(text.trim()).ok());
        date.is_some_and(|date| difference(date, now) <= skew)
    })
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn difference(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE_TEXT: &str = "Thu, 22 Jun 2017 17:15:21 GMT";
    const SECONDS: u64 = 1_498_151_721;

    fn is_current_at(fields: &[(&str, &str)], seconds: u64) -> bool {
        let headers =
            fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        // The end of that second.
        let now = SystemTime::UNIX_EPOCH + Duration::new(seconds, 999_999_999);
        is_current(&headers, now, Duration::from_secs(300))
    }

    #[test]
    fn dates_within_the_skew() {
        let (date, x_date, bad) = (("date", DATE_TEXT), ("x-date", DATE_TEXT), ("x-date", "yesterday"));
        for (fields, seconds, expected) in [
            (&[date][..], SECONDS, true),
            (&[x_date], SECONDS, true),
            (&[date], SECONDS + 300, true),
            (&[date], SECONDS - 300, true),
            (&[date], SECONDS + 301, false),
            (&[date], SECONDS - 301, false),
            (&[], SECONDS, false),
            (&[bad], SECONDS, false),
            // Either is enough.
            (&[bad, date], SECONDS, true),
            (&[("date", "Thu, 22 Jun 2016 17:15:21 GMT"), x_date], SECONDS, true),
            (&[("date", "Thursday, 22-Jun-17 17:15:21 GMT")], SECONDS, true),
        ] {
            assert_eq!(is_current_at(fields, seconds), expected, "{fields:?} {seconds}");
        }
    }
}
