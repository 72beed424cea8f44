//! What a write does, step by step.

use std::collections::{HashMap, HashSet};

use wire::Key;

use super::super::document::{Document, Draft};
use super::super::pool::Transaction;
use super::super::select::locked;
use super::super::{Store, StoreError};
use super::rows::Update;
use super::{Change, Made, rows};

/// The changes of a write.
pub(super) struct Plan {
    puts: Vec<Put>,
    /// Keys, and what must be stored under them, if that is known.
    deletes: Vec<(Key, Option<Document>)>,
}

/// An entity that is put.
struct Put {
    after: Draft,
    expected: Expected,
}

/// What must be stored before an entity is put.
enum Expected {
    Nothing,
    Anything,
    This(Document),
}

/// The changes once it is known what is stored.
struct Steps<'a> {
    inserts: Vec<&'a Draft>,
    updates: Vec<Update<'a>>,
    deletes: Vec<Document>,
}

impl Plan {
    /// Sorts the changes.
    ///
    /// # Errors
    /// When two of them are about one entity.
    pub(super) fn new(changes: Vec<Change>) -> Result<Self, StoreError> {
        let (mut puts, mut deletes, mut seen) =
            (Vec::with_capacity(changes.len()), Vec::new(), HashSet::new());
        for change in changes {
            let (after, expected) = match change {
                Change::Insert(after) => (after, Expected::Nothing),
                Change::Upsert(after) => (after, Expected::Anything),
                Change::Replace { before, after } => (after, Expected::This(before)),
                Change::Delete(key) => {
                    if seen.insert(key) {
                        deletes.push((key, None));
                    }
                    continue;
                }
                Change::Remove(before) => {
                    if seen.insert(before.key) {
                        deletes.push((before.key, Some(before)));
                    }
                    continue;
                }
            };
            if !seen.insert(after.document.key) {
                return Err(StoreError::Id { key: after.document.key });
            }
            puts.push(Put { after, expected });
        }
        Ok(Self { puts, deletes })
    }

    /// Makes the changes and returns those that changed something, in their order.
    pub(super) async fn carry_out(&self, transaction: &Transaction) -> Result<Vec<Made>, StoreError> {
        let steps = self.steps(transaction).await?;
        steps.check_unique()?;
        rows::take_away(transaction, &steps.updates, &steps.deletes).await?;
        // In the order of the index: of very many, each page is written once.
        let mut inserts = steps.inserts.clone();
        inserts.sort_unstable_by_key(|draft| draft.document.key);
        rows::update(transaction, &steps.updates).await?;
        rows::add(transaction, &inserts, &steps.updates).await?;
        rows::delete(transaction, &steps.deletes).await?;
        Ok(steps.made())
    }

    /// Names the rule of the database that a write has broken, from what the database holds without the write. An id
    /// that is in use counts first, then a value, then a reference.
    pub(super) async fn explain(&self, store: &Store, error: StoreError) -> StoreError {
        let is_foreign_key = super::super::failure::is_foreign_key(&error);
        if !is_foreign_key && !matches!(error, StoreError::Changed) {
            return error;
        }
        let broken = match self.conflict(store).await {
            Ok(None) if is_foreign_key => self.unresolved(store).await,
            found => found,
        };
        match broken {
            Ok(Some(broken)) => broken,
            // It was made, deleted or named between two steps of this write.
            Ok(None) => StoreError::Changed,
            Err(failed) => failed,
        }
    }

    /// The error that an id or a value of a new entity is in use.
    async fn conflict(&self, store: &Store) -> Result<Option<StoreError>, StoreError> {
        if let Some(key) = rows::existing(store, self.new_keys()).await? {
            return Ok(Some(StoreError::Id { key }));
        }
        let written: HashSet<Key> = self.put_keys().chain(self.deleted_keys()).collect();
        rows::taken(store, self.puts.iter().map(|put| &put.after), |key| written.contains(&key)).await
    }

    /// The error that a reference leads to nothing, or that a deleted entity is still named.
    async fn unresolved(&self, store: &Store) -> Result<Option<StoreError>, StoreError> {
        let named = self.puts.iter().flat_map(|put| &put.after.references);
        let made: HashSet<Key> = self.put_keys().collect();
        if let Some(missing) = rows::missing(store, named, |key| made.contains(&key)).await? {
            return Ok(Some(missing));
        }
        let deleted: Vec<Key> = self.deleted_keys().collect();
        let found = rows::naming(store.database(), &deleted).await?;
        Ok(rows::still_named(&found, &[]))
    }

    fn put_keys(&self) -> impl Iterator<Item = Key> {
        self.puts.iter().map(|put| put.after.document.key)
    }

    /// The keys of entities that must not exist.
    fn new_keys(&self) -> impl Iterator<Item = Key> {
        let new = self.puts.iter().filter(|put| matches!(put.expected, Expected::Nothing));
        new.map(|put| put.after.document.key)
    }

    fn deleted_keys(&self) -> impl Iterator<Item = Key> {
        self.deletes.iter().map(|(key, _)| *key)
    }

    async fn steps(&self, transaction: &Transaction) -> Result<Steps<'_>, StoreError> {
        let stored = self.puts.iter().filter(|put| !matches!(put.expected, Expected::Nothing));
        let deleted = self.deletes.iter().map(|(key, _)| *key);
        let stored = stored.map(|put| put.after.document.key).chain(deleted);
        let stored = locked(stored, transaction).await?;
        let mut stored: HashMap<Key, Document> =
            stored.into_iter().map(|document| (document.key, document)).collect();
        let (mut inserts, mut updates) = (Vec::new(), Vec::new());
        for Put { after, expected } in &self.puts {
            let now = stored.remove(&after.document.key);
            match (expected, now) {
                (Expected::This(before), now) if now.as_ref() != Some(before) => {
                    return Err(StoreError::Changed);
                }
                (_, Some(now)) if now.says_the_same(&after.document) => {}
                (_, Some(now)) => updates.push(Update::new(now, after)),
                (_, None) => inserts.push(after),
            }
        }
        let mut deletes = Vec::with_capacity(self.deletes.len());
        for (key, expected) in &self.deletes {
            let now = stored.remove(key);
            if expected.is_some() && now != *expected {
                return Err(StoreError::Changed);
            }
            deletes.extend(now);
        }
        let deletes = with_dependants(transaction, deletes, &updates).await?;
        Ok(Steps { inserts, updates, deletes })
    }
}

/// Adds the entities that belong to deleted ones.
///
/// # Errors
/// When another entity still names a deleted one.
async fn with_dependants(
    transaction: &Transaction,
    deleted: Vec<Document>,
    updates: &[Update<'_>],
) -> Result<Vec<Document>, StoreError> {
    let (mut all, mut next) = (Vec::new(), deleted);
    let updated: HashSet<Key> = updates.iter().map(|update| update.before.key).collect();
    while !next.is_empty() {
        let keys: Vec<Key> = next.iter().map(|document| document.key).collect();
        all.append(&mut next);
        let found = rows::naming(transaction, &keys).await?;
        let gone: HashSet<Key> = all.iter().map(|document| document.key).collect();
        let others: Vec<_> = found
            .into_iter()
            .filter(|named| !gone.contains(&named.by) && !updated.contains(&named.by))
            .collect();
        let (owned, kept): (Vec<_>, Vec<_>) = others.into_iter().partition(rows::Named::cascades);
        if let Some(error) = rows::still_named(&kept, &owned) {
            return Err(error);
        }
        let owned: HashSet<Key> = owned.into_iter().map(|named| named.by).collect();
        next = locked(owned.into_iter(), transaction).await?;
        // Another control plane may have given one to another entity before it was locked.
        let belongs = |document: &Document| {
            document.content().references.iter().any(|reference| gone.contains(&reference.to))
        };
        if !next.iter().all(belongs) {
            return Err(StoreError::Changed);
        }
    }
    Ok(all)
}

impl Steps<'_> {
    /// Checks that no two entities of the write have one unique value: the database would name neither.
    fn check_unique(&self) -> Result<(), StoreError> {
        let mut seen = HashSet::new();
        let drafts = self.inserts.iter().copied().chain(self.updates.iter().map(|update| update.after));
        for draft in drafts {
            for (field, value) in &draft.unique {
                if !seen.insert((draft.document.key.kind, *field, value.as_str())) {
                    return Err(StoreError::Unique {
                        kind: draft.document.key.kind,
                        fields: vec![((*field).to_owned(), value.clone())],
                    });
                }
            }
        }
        Ok(())
    }

    fn made(self) -> Vec<Made> {
        let put = |after: &Draft, before| Made {
            key: after.document.key,
            value: Some(after.document.body.clone()),
            before,
        };
        let inserts = self.inserts.into_iter().map(|after| put(after, None));
        let updates = self.updates.into_iter().map(|update| put(update.after, Some(update.before)));
        let deletes = self.deletes.into_iter();
        let deletes = deletes.map(|before| Made { key: before.key, value: None, before: Some(before) });
        deletes.chain(inserts).chain(updates).collect()
    }
}
