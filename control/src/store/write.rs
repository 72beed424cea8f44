//! A write: one transaction, one revision, all of its changes or none.
//!
//! A write first locks what it changes, then takes away what is no longer true (values of unique fields,
//! references, tags), then puts documents and what follows from them, and last deletes. So two entities may
//! exchange their names, and the order of the changes does not matter.

mod batch;
mod head;
mod plan;
mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseBackend};
use tokio::sync::MutexGuard;
use uuid::Uuid;
use wire::{EntityHash, Key};

use self::plan::Plan;
use super::before::Before;
use super::document::{Document, Draft, number};
use super::log::{self, Head, LoggedChange};
use super::pool::{Purpose, Transaction};
use super::{DEADLINE, Store, StoreError, now, outcome, secrets, within};

/// Changes from which on a write takes seconds of a core: it is prepared for that, and made off the runtime's
/// workers by who makes it.
pub const MANY: usize = 10_000;

/// Looks at samples of the tables that a write fills.
const ANALYZE: &str = "ANALYZE document, document_key, document_reference, document_tag, config_change";

/// One change of a write. A write has at most one for each entity.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new entity, whose id is free.
    Insert(Draft),
    /// A new entity, or a new form of the one with its id.
    Upsert(Draft),
    /// A new form of an entity, which is as it was read.
    Replace {
        /// The entity as it was read.
        before: Document,
        /// Its new form.
        after: Draft,
    },
    /// The end of an entity and of those that belong to it; nothing if there is none.
    Delete(Key),
    /// The same for an entity that is as it was read.
    Remove(Document),
}

/// Who makes a write, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The name of the token or certificate.
    pub name: Option<String>,
    /// The address of the client.
    pub from: Option<String>,
}

/// The result of one write of this process.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The head that it made.
    pub head: Head,
    /// The changes, in their order; at least one.
    pub changes: Arc<[LoggedChange]>,
}

/// One change that a write has made, for the log.
pub(super) struct Made {
    key: Key,
    /// The canonical bytes, or `None` after a deletion.
    value: Option<Bytes>,
    /// The entity before.
    before: Option<Document>,
}

/// A write in progress; dropped without [`Edit::commit`], it leaves nothing. Until it ends, other writers of
/// these entities wait for it; on SQLite, all writers do.
pub struct Edit<'a> {
    store: &'a Store,
    author: Author,
    /// None after an error.
    transaction: Option<Transaction>,
    made: Vec<Made>,
    /// The head that the changes are made to; none if any will do.
    after: Option<Head>,
    _writer: Option<MutexGuard<'a, ()>>,
}

impl Store {
    /// Makes changes at one revision, which it returns: all of them, or none. A change that changes nothing
    /// makes no revision: tools that write the desired state again and again do not move the head.
    ///
    /// # Errors
    /// When an id or a unique value is in use, an entity names one that does not exist, a deleted one is
    /// still named, a replaced one has changed since it was read, or the database fails.
    pub async fn write(&self, author: &Author, changes: Vec<Change>) -> Result<u64, StoreError> {
        let mut edit = self.edit(author).await?;
        edit.make(changes).await?;
        edit.commit().await
    }

    /// Makes changes like [`Store::write`], to the configuration of this head.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when there was another write since; else those of [`Store::write`].
    pub async fn write_after(
        &self,
        head: Head,
        author: &Author,
        changes: Vec<Change>,
    ) -> Result<u64, StoreError> {
        let mut edit = self.edit(author).await?;
        edit.after = Some(head);
        edit.check_head().await?;
        match edit.make(changes).await {
            Ok(_) => edit.commit().await,
            // Another write since may be what is in the way.
            Err(error) if error.is_conflict() => match self.head().await {
                Ok(now) if now != head => Err(StoreError::Changed),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Whether the commit of a write of this process is about to be sent to the followers.
    pub fn is_committing(&self) -> bool {
        self.shared.committing.load(Ordering::Relaxed) > 0
    }

    /// Begins a write.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn edit(&self, author: &Author) -> Result<Edit<'_>, StoreError> {
        let writer = self.turn().await?;
        let transaction = within(self.database().begin(Purpose::Write)).await?;
        let transaction = Some(transaction);
        let author = author.clone();
        Ok(Edit { store: self, author, transaction, made: Vec::new(), after: None, _writer: writer })
    }

    /// Waits until no other write of this process is in progress, if the database allows one at a time. The
    /// timeout is that of one write: otherwise a long queue would wait for the sum of its timeouts.
    pub(super) async fn turn(&self) -> Result<Option<MutexGuard<'_, ()>>, StoreError> {
        if self.database().get_database_backend() != DatabaseBackend::Sqlite {
            return Ok(None);
        }
        self.file_in_place()?;
        let turn = tokio::time::timeout(DEADLINE, self.shared.writer.lock()).await;
        turn.map(Some)
            .map_err(|_| StoreError::Unavailable("the writes before this one have not ended".into()))
    }
}

impl Edit<'_> {
    /// Makes changes, and returns how many entities they changed.
    ///
    /// # Errors
    /// The same as for [`Store::write`]. The edit is over then.
    pub async fn make(&mut self, changes: Vec<Change>) -> Result<usize, StoreError> {
        let transaction = self.transaction.as_ref().ok_or_else(is_over)?;
        if changes.len() >= MANY {
            within(transaction.expect_many()).await?;
        }
        let plan = Plan::new(changes)?;
        let made = match plan.carry_out(transaction).await {
            Ok(made) => made,
            Err(error) => {
                // What explains the error needs a connection: many that fail must not wait for each other.
                self.transaction = None;
                return Err(plan.explain(self.store, error).await);
            }
        };
        let count = made.len();
        self.made.extend(made);
        Ok(count)
    }

    /// Checks early that there was no other write: the commit checks it again.
    async fn check_head(&self) -> Result<(), StoreError> {
        let transaction = self.transaction.as_ref().ok_or_else(is_over)?;
        let now = within(log::head(transaction)).await?;
        if self.after.is_some_and(|after| after != now) { Err(StoreError::Changed) } else { Ok(()) }
    }

    /// Moves the head, writes the change log, commits, and reads the changes back. Then sends them to the
    /// followers of this process's commits. Returns the revision: the previous one, if nothing was changed.
    ///
    /// # Errors
    /// When the database fails. Nothing of the edit is stored then, unless only the answer was lost.
    pub async fn commit(self) -> Result<u64, StoreError> {
        let Self { store, author, transaction, made, after, _writer } = self;
        let transaction = transaction.ok_or_else(is_over)?;
        if made.is_empty() {
            return Ok(within(log::head(&transaction)).await?.revision);
        }
        let written_at = now();
        let row = |ordinal: usize, head, previous| {
            made[ordinal].row(&made[ordinal].logged(head, previous), ordinal, &author, written_at)
        };
        let (head, previous) = head::move_and_log(&transaction, &store.shared.name, made.len(), row).await?;
        if after.is_some_and(|after| !head.follows(after, previous)) {
            return Err(StoreError::Changed);
        }
        let changes: Arc<[LoggedChange]> = made.iter().map(|made| made.logged(head, previous)).collect();
        let replaced = made.iter().filter(|made| made.before.is_some()).map(|made| made.key);
        secrets::blank_superseded(&transaction, replaced, head.revision).await?;
        let _committing = Committing::begin(&store.shared.committing);
        let answer = tokio::time::timeout(DEADLINE, transaction.commit()).await.ok();
        store.note_superseded(&changes);
        let count = changes.len();
        if outcome::prove(store, head, answer).await? {
            // An error means that there is no follower.
            store.shared.commits.send(Commit { head, changes }).ok();
        }
        if count >= MANY {
            store.analyze().await;
        }
        Ok(head.revision)
    }
}

fn is_over() -> StoreError {
    StoreError::Unavailable("an edit goes on after its error".to_owned())
}

impl Store {
    /// Lets PostgreSQL look at how large the tables are, after they have grown: until it does so by itself, within
    /// a minute, it uses plans for small ones. A failure leaves it at that.
    async fn analyze(&self) {
        if self.database().get_database_backend() == DatabaseBackend::Postgres {
            within(self.database().execute_unprepared(ANALYZE)).await.ok();
        }
    }
}

/// A write whose commit is in progress, or not sent to the followers yet.
struct Committing<'a>(&'a AtomicUsize);

impl<'a> Committing<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit").finish_non_exhaustive()
    }
}

impl Made {
    fn logged(&self, head: Head, previous: Uuid) -> LoggedChange {
        LoggedChange {
            revision: head.revision,
            commit_token: head.commit_token,
            previous,
            key: self.key,
            value: self.value.clone(),
            superseded: false,
        }
    }

    fn row(
        &self,
        change: &LoggedChange,
        ordinal: usize,
        author: &Author,
        written_at: i64,
    ) -> entity::config_change::ActiveModel {
        let hash = self.value.as_ref().map(|bytes| EntityHash::of(self.key, bytes).0.to_vec());
        // The first change of a revision speaks for all.
        let author = if ordinal == 0 { author.clone() } else { Author::default() };
        entity::config_change::ActiveModel {
            revision: Set(log::signed(change.revision)),
            ordinal: Set(i32::try_from(ordinal).unwrap_or(i32::MAX)),
            kind: Set(number(self.key.kind)),
            id: Set(self.key.id),
            op: Set(if self.value.is_some() { 1 } else { 2 }),
            bytes: Set(self.value.as_deref().unwrap_or_default().to_vec()),
            hash: Set(hash.unwrap_or_default()),
            commit_token: Set(Some(change.commit_token)),
            previous: Set((!change.previous.is_nil()).then_some(change.previous)),
            written_at: Set(Some(written_at)),
            author: Set(author.name),
            source: Set(author.from),
            secret: Set(model::may_hold_secrets(self.key.kind).then_some(true)),
            before: Set(self.before.as_ref().map(|before| Before::of(before).to_text())),
        }
    }
}
