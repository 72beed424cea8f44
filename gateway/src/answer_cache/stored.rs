//! An answer that is kept, and whether a request may have it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use uuid::Uuid;

use super::admission::Admitted;
use super::directives::Directives;
use super::fields::Fields;
use super::key::Key;
use crate::message::FieldName;

/// Bytes that an answer takes beside its fields and its body.
const OVERHEAD: usize = 512;

/// The fields of an answer without a body to a client that has the body: RFC 9110, section 15.4.5.
const OF_NOT_MODIFIED: [&str; 7] =
    ["cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary"];

/// An answer that is kept.
#[derive(Debug)]
pub struct Stored {
    /// The instance of the plugin that has kept it.
    pub plugin: Uuid,
    /// The key that clients and operators see.
    pub shown: Key,
    /// The status.
    pub status: u16,
    /// The header fields.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
    /// When it came.
    pub came: Instant,
    /// How old it was then.
    pub age: Duration,
    /// Up to which age it is fresh.
    pub ttl: Duration,
    /// Until when it is kept.
    pub until: Instant,
    /// Whether it may not be used once it is no longer fresh.
    pub must_revalidate: bool,
}

/// How a request may use what is kept.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    /// By the age alone, with this greatest one.
    Age(Duration),
    /// By the directives of the request and of the answer.
    Directives(Directives),
}

impl Stored {
    /// An answer that came `now`.
    pub fn new(head: Head, body: Bytes, now: Instant) -> Self {
        let Head { plugin, shown, status, fields, admitted } = head;
        Self {
            plugin,
            shown,
            status,
            fields,
            body,
            came: now,
            age: admitted.age,
            ttl: admitted.ttl,
            until: later(now, admitted.kept),
            must_revalidate: admitted.must_revalidate,
        }
    }

    /// Its age.
    pub fn age_at(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.came))
    }

    /// Whether a request may have it.
    pub fn is_usable(&self, by: Use, now: Instant) -> bool {
        let age = self.age_at(now);
        let Directives { max_age, max_stale, min_fresh, .. } = match by {
            Use::Age(greatest) => return age <= greatest,
            Use::Directives(directives) => directives,
        };
        if max_age.is_some_and(|most| age > most) {
            return false;
        }
        if age.saturating_add(min_fresh.unwrap_or_default()) > self.ttl {
            let stale = max_stale.filter(|_| !self.must_revalidate && min_fresh.is_none());
            return stale.is_some_and(|most| age <= self.ttl.saturating_add(most));
        }
        true
    }

    /// Whether the client has the body already: RFC 9110, section 13.
    pub fn is_not_modified(&self, headers: &HeaderMap) -> bool {
        if self.status != 200 {
            return false;
        }
        if headers.contains_key(IF_NONE_MATCH) {
            let wanted = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
            return self
                .fields
                .get("etag")
                .is_some_and(|etag| wanted.into_iter().any(|list| names(list, etag)));
        }
        let time = |text: &str| httpdate::parse_http_date(text).ok();
        let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| time(value.to_str().ok()?));
        let modified = self.fields.get("last-modified").and_then(time);
        since.zip(modified).is_some_and(|(since, modified)| modified <= since)
    }

    /// The fields for a client that has the body.
    pub fn fields_of_not_modified(&self) -> impl Iterator<Item = &(FieldName, HeaderValue)> {
        self.fields.iter().filter(|(name, _)| OF_NOT_MODIFIED.contains(&name.lower().as_str()))
    }

    /// The memory that it takes.
    pub fn bytes(&self) -> usize {
        OVERHEAD + self.fields.bytes() + self.body.len()
    }
}

/// What is known of an answer before its body has come.
#[derive(Clone, Debug)]
pub struct Head {
    /// The instance of the plugin.
    pub plugin: Uuid,
    /// The key that clients and operators see.
    pub shown: Key,
    /// The status.
    pub status: u16,
    /// The header fields.
    pub fields: Fields,
    /// For how long it is kept.
    pub admitted: Admitted,
}

/// A time of the clock that may be too far away for it.
fn later(now: Instant, by: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    now + by.min(FOR_EVER)
}

/// Whether a list of entity tags names this one, or any. Weak tags count: only whole answers are kept.
fn names(list: &str, etag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || tags(list).any(|tag| strong(tag) == strong(etag))
}

/// Splits a list of entity tags, in which a comma may be within a tag.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
}

#[cfg(test)]
mod tests;
