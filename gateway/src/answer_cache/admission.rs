//! Decides whether an answer is kept, and for how long (RFC 9111, sections 3 and 4).

use std::time::{Duration, SystemTime};

use super::directives::Directives;
use super::fields::Fields;
use super::media::MediaType;

/// The most fields that the Vary of an answer may name.
pub(super) const MOST_NAMES: usize = 16;
/// The longest name there.
const LONGEST_NAME: usize = 128;

/// What the configuration says about the answers that are kept.
#[derive(Debug, Default)]
pub struct AdmissionTerms {
    /// The statuses.
    pub statuses: Vec<u16>,
    /// The types of their bodies.
    pub types: Vec<MediaType>,
    /// How long an answer is fresh.
    pub ttl: Duration,
    /// How long it is kept; `None`: as long as it is fresh.
    pub storage_ttl: Option<Duration>,
    /// Whether Cache-Control and Expires count.
    pub cache_control: bool,
    /// Whether answers are kept that say that they are private.
    pub private: bool,
}

/// How long an answer is kept, and for which requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How old it was when it came.
    pub age: Duration,
    /// Up to which age it is fresh.
    pub ttl: Duration,
    /// For how long from now it is kept.
    pub kept: Duration,
    /// Whether it may not be used once it is no longer fresh.
    pub must_revalidate: bool,
    /// The fields of requests by which the answer varies, in lower case and sorted.
    pub vary: Vec<String>,
}

impl AdmissionTerms {
    /// Decides on the answer with this status and these fields; `None` when it is not kept.
    pub fn admit(&self, status: u16, fields: &Fields, now: SystemTime) -> Option<Admitted> {
        if !self.has(status) {
            return None;
        }
        let directives = Directives::read(fields.all("cache-control"));
        if !self.has_kept_type(fields) || !self.may_share(&directives, fields) {
            return None;
        }
        if fields.has("content-range") {
            return None;
        }
        let vary = vary(fields)?;
        let age = fields.age();
        let ttl = if self.cache_control { lifetime(&directives, fields, now) } else { self.ttl };
        // Without Cache-Control, the time runs from when the answer came, as in Kong.
        let age = if self.cache_control { age } else { Duration::ZERO };
        if ttl <= age {
            return None;
        }
        let kept = self.storage_ttl.unwrap_or(ttl - age);
        let must_revalidate = directives.must_revalidate;
        Some(Admitted { age, ttl, kept, must_revalidate, vary })
    }

    /// Whether answers with this status are kept at all. A part of a body is none, whatever is configured.
    pub fn has(&self, status: u16) -> bool {
        self.statuses.contains(&status) && status >= 200 && !matches!(status, 206 | 304)
    }

    fn has_kept_type(&self, fields: &Fields) -> bool {
        let mut types = fields.all("content-type");
        let (Some(only), None) = (types.next(), types.next()) else { return false };
        let only = std::str::from_utf8(only).ok().and_then(MediaType::parse);
        only.is_some_and(|only| self.types.iter().any(|range| only.is_in(range)))
    }

    /// Whether the answer may be given to others. Kong keeps and shares private answers without
    /// `cache_control`.
    fn may_share(&self, directives: &Directives, fields: &Fields) -> bool {
        match self.cache_control {
            true if directives.no_cache || directives.forbids_sharing() => false,
            false if self.private => true,
            _ => !directives.forbids_sharing() && !fields.has("set-cookie"),
        }
    }
}

/// For how long the answer is fresh by its own words; zero when it does not say so.
fn lifetime(directives: &Directives, fields: &Fields, now: SystemTime) -> Duration {
    if let Some(stated) = directives.s_maxage.or(directives.max_age) {
        return stated;
    }
    let last = |name: &str| fields.all(name).last().and_then(|value| std::str::from_utf8(value).ok());
    let time = |name: &str| last(name).and_then(|text| httpdate::parse_http_date(text).ok());
    let since = time("date").unwrap_or(now);
    let expires = time("expires");
    expires.and_then(|expires| expires.duration_since(since).ok()).unwrap_or_default()
}

/// The fields by which an answer varies; `None` when it varies by more than that.
fn vary(fields: &Fields) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for line in fields.all("vary") {
        for name in std::str::from_utf8(line).ok()?.split(',') {
            let name = name.trim().to_ascii_lowercase();
            if name == "*" || name.len() > LONGEST_NAME {
                return None;
            }
            names.extend(Some(name).filter(|name| !name.is_empty()));
        }
    }
    // A client that does not decompress must not get what another one asked for.
    let encoded = fields.all("content-encoding").any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
    if encoded {
        names.push("accept-encoding".to_owned());
    }
    names.sort_unstable();
    names.dedup();
    (names.len() <= MOST_NAMES).then_some(names)
}

#[cfg(test)]
mod tests;
