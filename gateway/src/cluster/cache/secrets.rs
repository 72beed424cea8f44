//! Finds whether files hold superseded secrets: private keys that were replaced or deleted must leave the
//! disk.

use std::collections::{HashMap, HashSet};

use wire::{EntityHash, Key, Record, Update, UpdateError, bucket_of};

/// The entities that may hold secrets, as updates put them.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// The entities after the last update.
    current: HashMap<Key, EntityHash>,
    /// All entities that any update puts.
    ever: HashSet<(Key, [u8; 16])>,
}

impl Secrets {
    /// Reads them from updates, the first of which is a snapshot.
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

    /// Whether an entity that these or `older` ever put is no longer current here.
    pub(super) fn has_superseded(&self, older: &Self) -> bool {
        let mut ever = self.ever.iter().chain(&older.ever);
        ever.any(|(key, hash)| self.current.get(key).is_none_or(|current| current.0 != *hash))
    }

    fn take(&mut self, record: &Record<'_>) {
        if !model::may_hold_secrets(record.key.kind) {
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
