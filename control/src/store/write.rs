//! A write: a transaction that ends with the head and the change log.

use std::sync::Arc;

use bytes::Bytes;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseBackend, EntityTrait, Statement};
use tokio::sync::MutexGuard;
use uuid::Uuid;
use wire::{EntityHash, Key};

use super::log::{self, Head, LoggedChange};
use super::pool::{Purpose, Transaction};
use super::{DEADLINE, ROWS, Store, StoreError, notified, outcome, secrets, within};

/// A row that was written, and the revision that the write made.
#[derive(Clone, Debug)]
pub struct Written<T> {
    /// The row as it is now.
    pub row: T,
    /// The revision.
    pub revision: u64,
}

/// The result of one write of this process.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The head that it made.
    pub head: Head,
    /// The changes, in their order; at least one.
    pub changes: Arc<[LoggedChange]>,
}

/// A write in progress; dropped without [`Write::commit`], it leaves nothing.
pub struct Write<'a> {
    store: &'a Store,
    transaction: Transaction,
    changes: Vec<(Key, Option<Bytes>)>,
    _writer: Option<MutexGuard<'a, ()>>,
}

impl std::fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}

impl Store {
    pub(super) async fn write(&self) -> Result<Write<'_>, StoreError> {
        let writer = self.turn().await?;
        let transaction = within(self.database().begin(Purpose::Write)).await?;
        Ok(Write { store: self, transaction, changes: Vec::new(), _writer: writer })
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

impl Write<'_> {
    /// Returns the transaction for the rows of this write.
    pub(super) const fn rows(&self) -> &Transaction {
        &self.transaction
    }

    /// Notes that an entity was put, with its canonical bytes.
    pub(super) fn put(&mut self, key: Key, bytes: Vec<u8>) {
        self.changes.push((key, Some(bytes.into())));
    }

    /// Notes that an entity was deleted.
    pub(super) fn delete(&mut self, key: Key) {
        self.changes.push((key, None));
    }

    /// Moves the head, writes the change log, commits, and reads the changes back. Then sends them to the
    /// followers of this process's commits. A write that changed nothing makes no revision.
    pub(super) async fn commit(self) -> Result<u64, StoreError> {
        if self.changes.is_empty() {
            return Ok(within(log::head(&self.transaction)).await?.revision);
        }
        let (head, previous) = within(move_head(&self.transaction, &self.store.shared.name)).await?;
        let Head { revision, commit_token, .. } = head;
        let changes = self.changes.into_iter();
        let changes = changes.map(|(key, value)| LoggedChange {
            revision,
            commit_token,
            previous,
            key,
            value,
            superseded: false,
        });
        let changes: Arc<[LoggedChange]> = changes.collect();
        for (some, first) in changes.chunks(ROWS).zip((0..).step_by(ROWS)) {
            let rows = some.iter().zip(first..).map(|(change, ordinal)| row(change, ordinal));
            let insert = entity::config_change::Entity::insert_many(rows);
            within(insert.exec_without_returning(&self.transaction)).await?;
        }
        within(secrets::blank_superseded(&self.transaction, &changes)).await?;
        let answer = tokio::time::timeout(DEADLINE, self.transaction.commit()).await.ok();
        self.store.note_superseded(&changes);
        if outcome::prove(self.store, head, answer).await? {
            // An error means that there is no follower.
            self.store.shared.commits.send(Commit { head, changes }).ok();
        }
        Ok(revision)
    }
}

/// Moves the head, and returns it with the previous commit token. The update waits for the row's lock until
/// the previous write has committed: so the order of revisions is the order of commits. Other control planes
/// on the database receive a notification with the commit.
async fn move_head(transaction: &Transaction, name: &str) -> Result<(Head, Uuid), sea_orm::DbErr> {
    let backend = transaction.get_database_backend();
    let mut sql =
        "UPDATE config_head SET revision = revision + 1, previous = stamp, stamp = $1 WHERE id = 1 \
                   RETURNING epoch, revision, previous"
            .to_owned();
    if backend == DatabaseBackend::Postgres {
        sql.push_str(&notified::notice(name));
    }
    let commit_token = Uuid::new_v4();
    let statement = Statement::from_sql_and_values(backend, sql, [commit_token.into()]);
    let row = transaction.query_one_raw(statement).await?.ok_or_else(log::no_head)?;
    let revision: i64 = row.try_get("", "revision")?;
    let previous: Option<Uuid> = row.try_get("", "previous")?;
    let head = Head { epoch: row.try_get("", "epoch")?, revision: revision.unsigned_abs(), commit_token };
    Ok((head, previous.unwrap_or_default()))
}

fn row(change: &LoggedChange, ordinal: i32) -> entity::config_change::ActiveModel {
    let LoggedChange { key, value, .. } = change;
    let hash = value.as_ref().map(|bytes| EntityHash::of(*key, bytes).0.to_vec());
    entity::config_change::ActiveModel {
        revision: Set(i64::try_from(change.revision).unwrap_or(i64::MAX)),
        ordinal: Set(ordinal),
        kind: Set(i16::from(key.kind.0)),
        id: Set(key.id),
        op: Set(if value.is_some() { 1 } else { 2 }),
        bytes: Set(value.as_deref().unwrap_or_default().to_vec()),
        hash: Set(hash.unwrap_or_default()),
        commit_token: Set(Some(change.commit_token)),
        previous: Set((!change.previous.is_nil()).then_some(change.previous)),
    }
}
