//! Whether files hold secrets that were replaced or deleted since: private keys are to leave the disk then.

use std::collections::{HashMap, HashSet};

use wire::{EntityHash, Key, Record, Update, UpdateError, bucket_of};

/// The entities that may hold secrets, as updates put them.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// What the updates lead to.
    current: HashMap<Key, EntityHash>,
    /// All that any of them puts.
    ever: HashSet<(Key, [u8; 16])>,
}

impl Secrets {
    /// Those of updates of which the first is a snapshot.
    ///
    /// # Errors
    /// When one cannot be decoded.
    pub(super) fn read(updates: &[Update]) -> Result<Self, UpdateError> {
        let mut secrets = Self::default();
        for update in updates {
            let mut records = update.records()?;
            let replaced = *records.replaced();
            secrets.current.retain(|key, _| !replaced.contains(bucket_of(*key)));
            while let Some(record) = records.next_record()? {
                secrets.take(&record);
            }
        }
        Ok(secrets)
    }

    /// Whether one that these or `older` ever put is not among the current ones of these.
    pub(super) fn has_superseded(&self, older: &Self) -> bool {
        let mut ever = self.ever.iter().chain(&older.ever);
        ever.any(|(key, hash)| self.current.get(key).is_none_or(|current| current.0 != *hash))
    }

    fn take(&mut self, record: &Record<'_>) {
        if !record.key.kind.may_hold_secrets() {
            return;
        }
        match record.value {
            Some(bytes) => {
                let hash = EntityHash::of(record.key, bytes);
                self.current.insert(record.key, hash);
                self.ever.insert((record.key, hash.0));
            }
            None => drop(self.current.remove(&record.key)),
        }
    }
}
