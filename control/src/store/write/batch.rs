//! Inserts of one write, several in one message: for a small write, messages to the database and back cost more
//! than what they say.

use sea_orm::sea_query::{
    CommonTableExpression, Expr, InsertStatement, OnConflict, Query, SelectStatement, SqliteQueryBuilder,
    UnionType, Values, WithClause, WithQuery,
};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseBackend, EntityTrait, QueryTrait, Statement};

use super::super::pool::Transaction;
use super::super::{ROWS, StoreError, within};

/// Inserts that go to the database together. Rows whose key is in use are left out.
pub(super) struct Batch<'a> {
    transaction: &'a Transaction,
    waiting: Vec<InsertStatement>,
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
        for some in all.chunks(ROWS) {
            if !self.complete {
                break;
            }
            let insert = A::Entity::insert_many(some.iter().map(row));
            self.waiting.push(insert.on_conflict(OnConflict::new().do_nothing().to_owned()).into_query());
            self.rows += some.len() as u64;
            if self.rows >= ROWS as u64 {
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
        let waiting = std::mem::take(&mut self.waiting);
        let added = match (self.transaction.get_database_backend(), &waiting[..]) {
            (_, [single]) => within(self.transaction.execute(single)).await?.rows_affected(),
            (DatabaseBackend::Sqlite, _) => {
                within(self.transaction.execute_raw(sqlite_script(&waiting))).await?.rows_affected()
            }
            _ => within(self.transaction.query_all(&postgres_statement(waiting))).await?.len() as u64,
        };
        self.complete = added == std::mem::take(&mut self.rows);
        Ok(())
    }
}

/// One text of several statements, whose values follow each other. PostgreSQL takes no such text.
fn sqlite_script(inserts: &[InsertStatement]) -> Statement {
    let (texts, values): (Vec<_>, Vec<_>) =
        inserts.iter().map(|insert| insert.build(SqliteQueryBuilder)).unzip();
    let values = values.into_iter().flat_map(|values| values.0).collect();
    Statement { sql: texts.join(";"), values: Some(Values(values)), db_backend: DatabaseBackend::Sqlite }
}

/// One statement of several, with a row for each that they insert. PostgreSQL looks at the references when all of
/// it is done.
fn postgres_statement(inserts: Vec<InsertStatement>) -> WithQuery {
    let (mut with, mut rows) = (WithClause::new(), None::<SelectStatement>);
    for (number, mut insert) in inserts.into_iter().enumerate() {
        let name = format!("insert_{number}");
        insert.returning(Query::returning().expr(Expr::val(1)));
        with.cte(CommonTableExpression::new().query(insert).table_name(name.clone()).to_owned());
        let of_this = Query::select().expr(Expr::val(1)).from(name).to_owned();
        match &mut rows {
            Some(rows) => _ = rows.union(UnionType::All, of_this),
            None => rows = Some(of_this),
        }
    }
    with.query(rows.unwrap_or_default())
}
