//! Inserts of one write. SQLite gets several at once: each message to its thread, and back, costs more than what
//! the statement of a small write does. PostgreSQL takes one statement at a time.

use sea_orm::sea_query::{OnConflict, Values};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseBackend, EntityTrait, QueryTrait, Statement};

use super::super::pool::Transaction;
use super::super::{ROWS, StoreError, within};

/// Inserts that go to the database together. Rows whose key is in use are left out.
pub(super) struct Batch<'a> {
    transaction: &'a Transaction,
    waiting: Vec<Statement>,
    /// The rows of the inserts that wait.
    rows: u64,
    /// Whether no row was left out so far.
    complete: bool,
}

impl<'a> Batch<'a> {
    pub(super) const fn new(transaction: &'a Transaction) -> Self {
        Self { transaction, waiting: Vec::new(), rows: 0, complete: true }
    }

    /// Adds rows of one table. Those that they refer to are added before.
    pub(super) async fn add<T: Sync, A: ActiveModelTrait + Send>(
        &mut self,
        all: &[T],
        row: fn(&T) -> A,
    ) -> Result<(), StoreError> {
        let backend = self.transaction.get_database_backend();
        for some in all.chunks(ROWS) {
            if !self.complete {
                break;
            }
            let insert = A::Entity::insert_many(some.iter().map(row));
            self.waiting.push(insert.on_conflict(OnConflict::new().do_nothing().to_owned()).build(backend));
            self.rows += some.len() as u64;
            if backend != DatabaseBackend::Sqlite || self.rows >= ROWS as u64 {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Sends the rest. Returns whether no row was left out.
    pub(super) async fn finish(mut self) -> Result<bool, StoreError> {
        if self.complete && !self.waiting.is_empty() {
            self.send().await?;
        }
        Ok(self.complete)
    }

    async fn send(&mut self) -> Result<(), StoreError> {
        let joined = join(std::mem::take(&mut self.waiting), self.transaction.get_database_backend());
        let added = within(self.transaction.execute_raw(joined)).await?.rows_affected();
        self.complete = added == std::mem::take(&mut self.rows);
        Ok(())
    }
}

/// One text of several statements, whose values follow each other.
fn join(statements: Vec<Statement>, backend: DatabaseBackend) -> Statement {
    let texts: Vec<&str> = statements.iter().map(|statement| statement.sql.as_str()).collect();
    let sql = texts.join(";");
    let values = statements.into_iter().filter_map(|statement| statement.values).flat_map(|values| values.0);
    Statement { sql, values: Some(Values(values.collect())), db_backend: backend }
}
