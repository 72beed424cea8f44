//! One write: a transaction that ends with the head and the change log.

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseTransaction, EntityTrait, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::MutexGuard;
use uuid::Uuid;
use wire::{EntityHash, Key};

use super::{Store, StoreError, tags, within};

/// A row that was written, and the revision that the write made.
#[derive(Clone, Debug)]
pub struct Written<T> {
    /// The row as it is now.
    pub row: T,
    /// The revision.
    pub revision: u64,
}

/// A write under way; dropped without [`Write::commit`], it leaves nothing.
pub(super) struct Write<'a> {
    store: &'a Store,
    transaction: DatabaseTransaction,
    changes: Vec<(Key, Option<Vec<u8>>)>,
    _writer: Option<MutexGuard<'a, ()>>,
}

impl Store {
    pub(super) async fn write(&self) -> Result<Write<'_>, StoreError> {
        let sqlite = self.database().get_database_backend() == sea_orm::DatabaseBackend::Sqlite;
        let writer = if sqlite { Some(self.shared.writer.lock().await) } else { None };
        let options = TransactionOptions {
            // Deferred, a transaction that read before it writes can only fail when another has written.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = within(self.database().begin_with_options(options)).await?;
        Ok(Write { store: self, transaction, changes: Vec::new(), _writer: writer })
    }
}

impl Write<'_> {
    /// Where the rows of this write go.
    pub(super) const fn rows(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Notes that an entity was put, with its canonical bytes.
    pub(super) fn put(&mut self, key: Key, bytes: Vec<u8>) {
        self.changes.push((key, Some(bytes)));
    }

    /// Notes that an entity was deleted.
    pub(super) fn delete(&mut self, key: Key) {
        self.changes.push((key, None));
    }

    /// Replaces the tag rows of an entity.
    pub(super) async fn tag(
        &self,
        id: Uuid,
        entity: &str,
        names: Option<&sea_orm::JsonValue>,
    ) -> Result<(), StoreError> {
        within(tags::replace(&self.transaction, id, entity, names)).await
    }

    /// Moves the head, writes the change log, commits, and tells who follows this process's commits.
    pub(super) async fn commit(self) -> Result<u64, StoreError> {
        let revision = within(next_revision(&self.transaction)).await?;
        let rows = self
            .changes
            .iter()
            .zip(0..)
            .map(|((key, value), ordinal)| change(revision, ordinal, *key, value.as_deref()));
        let insert =
            entity::config_change::Entity::insert_many(rows).exec_without_returning(&self.transaction);
        within(insert).await?;
        within(self.transaction.commit()).await?;
        let revision = u64::try_from(revision).unwrap_or_default();
        self.store.shared.commits.send_if_modified(|newest| {
            let newer = revision > *newest;
            *newest = revision.max(*newest);
            newer
        });
        Ok(revision)
    }
}

/// The update waits for the row's lock until the write before has committed: that is what makes the order
/// of revisions the order of commits.
async fn next_revision(transaction: &DatabaseTransaction) -> Result<i64, sea_orm::DbErr> {
    let sql = "UPDATE config_head SET revision = revision + 1 WHERE id = 1 RETURNING revision";
    let statement = Statement::from_string(transaction.get_database_backend(), sql);
    let row = transaction.query_one_raw(statement).await?;
    row.ok_or_else(|| sea_orm::DbErr::RecordNotFound("the head of the configuration".to_owned()))?
        .try_get("", "revision")
}

fn change(revision: i64, ordinal: i32, key: Key, value: Option<&[u8]>) -> entity::config_change::ActiveModel {
    entity::config_change::ActiveModel {
        revision: Set(revision),
        ordinal: Set(ordinal),
        kind: Set(i16::from(key.kind.0)),
        id: Set(key.id),
        op: Set(if value.is_some() { 1 } else { 2 }),
        bytes: Set(value.unwrap_or_default().to_vec()),
        hash: Set(value.map(|bytes| EntityHash::of(key, bytes).0.to_vec()).unwrap_or_default()),
    }
}
