//! Deletes what operators have set for targets, their orders to caches, and API keys, when their time has passed.
//! Each control plane does; a deletion that another one has made already changes nothing.
//!
//! The Admin API and data planes treat an expired key as absent by their own clocks: its deletion may be late.

use std::time::Duration;

use model::{CachePurge, KeyAuthCredential, Number, TargetHealth, TargetState, kind};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use wire::{Key, Kind};

use crate::publish::Publisher;
use crate::store::{Author, Change, Selector, Store, StoreError};

/// How long an operation on the health of a target is kept that pins nothing. Data planes need it once; those
/// that could not be reached meanwhile must not apply it later.
const KEPT: i64 = 600;
/// How long an order to remove answers is kept: a data plane that connects later still has them.
const PURGE_KEPT: i64 = 86_400;
/// The least time between two looks: one look reads all operations.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time between two looks, in milliseconds: the clock may have been set.
const LONGEST: i64 = 60_000;
/// The time between two looks at all API keys, in milliseconds.
const KEYS: i64 = 60_000;
/// Entities that one look deletes at most, so that no write is long.
const DELETED: usize = 1000;
/// Time until the next look after the database has failed.
const RETRY: Duration = Duration::from_secs(5);

/// Deletes the operations that have ended.
#[derive(Debug)]
pub struct Expiry<C> {
    store: Store,
    publisher: Publisher,
    /// The time, in milliseconds since 1970.
    clock: C,
}

impl<C: Fn() -> i64> Expiry<C> {
    /// Operations in this database; `clock` returns the milliseconds since 1970.
    pub const fn new(store: Store, publisher: Publisher, clock: C) -> Self {
        Self { store, publisher, clock }
    }

    /// Deletes them in time, until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let mut head = self.publisher.head();
        let mut keys_due = i64::MIN;
        loop {
            head.borrow_and_update();
            let wait = match self.look_at_all(&mut keys_due).await {
                Ok(wait) => wait.max(PAUSE),
                Err(error) => {
                    warn!(%error, "what has expired cannot be deleted now");
                    RETRY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                changed = head.changed() => {
                    if changed.is_err() {
                        return stop.cancelled().await;
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Deletes all that has ended; keys only when they are due.
    async fn look_at_all(&self, keys_due: &mut i64) -> Result<Duration, StoreError> {
        let now = (self.clock)();
        // The clock may have been set back.
        if now >= *keys_due || *keys_due > now.saturating_add(KEYS) {
            let is_done = self.look_at_keys().await?;
            *keys_due = if is_done { now + KEYS } else { now };
        }
        self.look().await
    }

    /// Deletes API keys that have expired, and returns whether all of them are deleted.
    async fn look_at_keys(&self) -> Result<bool, StoreError> {
        let (now, publisher) = ((self.clock)(), self.publisher.clone());
        let find = move || {
            publisher.find(kind::KEYAUTH_CREDENTIAL, |bytes| {
                may_expire(bytes) && end(kind::KEYAUTH_CREDENTIAL, bytes).is_some_and(|end| end <= now)
            })
        };
        let mut ended: Vec<Key> = tokio::task::spawn_blocking(find)
            .await
            .unwrap_or_default()
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let is_done = ended.len() <= DELETED;
        ended.truncate(DELETED);
        self.delete(&ended, now).await?;
        Ok(is_done)
    }

    /// Deletes what has ended, and returns the time until something else ends.
    async fn look(&self) -> Result<Duration, StoreError> {
        let now = (self.clock)();
        let (mut ended, mut next) = (Vec::new(), now + LONGEST);
        for kind in [kind::TARGET_STATE, kind::TARGET_HEALTH, kind::CACHE_PURGE] {
            for (key, bytes) in self.publisher.of_kind(kind) {
                match end(kind, &bytes) {
                    Some(end) if end <= now => ended.push(key),
                    Some(end) => next = next.min(end),
                    None => {}
                }
            }
        }
        self.delete(&ended, now).await?;
        Ok(Duration::from_millis((next - now).unsigned_abs()))
    }

    /// Deletes those that still have ended: an operator may have set one again.
    async fn delete(&self, ended: &[Key], now: i64) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        for key in ended {
            let stored = self.store.get(key.kind, &Selector::Id(key.id)).await?;
            let stored = stored.filter(|stored| end(key.kind, &stored.body).is_some_and(|end| end <= now));
            changes.extend(stored.map(Change::Remove));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let count = changes.len();
        let author = Author { name: Some("expiry".to_owned()), from: None };
        match self.store.write(&author, changes).await {
            Ok(revision) => debug!(revision, count, "deleted what has expired"),
            Err(StoreError::Changed) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// When an operation ends, in milliseconds since 1970; `None` for one that stays, or that cannot be read.
fn end(kind: Kind, bytes: &[u8]) -> Option<i64> {
    let seconds = match kind {
        kind::TARGET_STATE => serde_json::from_slice::<TargetState>(bytes).ok()?.until?,
        kind::KEYAUTH_CREDENTIAL => serde_json::from_slice::<KeyAuthCredential>(bytes).ok()?.expires_at?,
        kind::CACHE_PURGE => {
            let order: CachePurge = serde_json::from_slice(bytes).ok()?;
            whole(order.set_at).saturating_add(PURGE_KEPT)
        }
        _ => {
            let operation: TargetHealth = serde_json::from_slice(bytes).ok()?;
            operation.until.unwrap_or_else(|| whole(operation.set_at).saturating_add(KEPT))
        }
    };
    seconds.checked_mul(1000)
}

/// Whether canonical bytes of a key may have an expiry: most have none, and need not be parsed.
fn may_expire(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("\"expires_at\""))
}

#[expect(clippy::cast_possible_truncation, reason = "the rule of the field bounds it")]
fn whole(seconds: Number) -> i64 {
    seconds.get() as i64
}

#[cfg(test)]
mod tests;
