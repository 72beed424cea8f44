//! A connection of the pool, which returns to the pool only in a known state.
//!
//! A database may end a transaction by itself, as SQLite does after a full disk or a failed write. A
//! statement whose future was dropped may still run. In both cases sqlx counts transactions wrongly: the next
//! one on that connection becomes a savepoint without a transaction, and its commit commits nothing. So a
//! connection is closed as soon as its state is unknown, and no later statement runs on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::sqlx::error::Error;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{AssertSqlSafe, Database, Executor, Postgres, SqlSafeStr, Sqlite, query_with};
use sea_orm::{DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sea_query_sqlx::SqlxValues;
use sqlx_core::query::Query;
use sqlx_core::transaction::TransactionManager;

use super::failure::is_refusal;

/// The steps of SQLite's virtual machine between two looks at whether a statement is to end: less than a
/// millisecond.
const STEPS: i32 = 10_000;

/// A connection in use.
#[derive(Debug)]
pub(super) struct Connection {
    inner: Inner,
    state: State,
    /// Whether it does not return to the pool.
    closes: bool,
    /// Ends the statement that SQLite is running. PostgreSQL ends statements by itself.
    interrupt: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Inner {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No transaction is open.
    Idle,
    /// A transaction is open.
    Open,
    /// A statement is in progress, or one has failed.
    Unknown,
}

/// Runs the same code on the connection of either database.
macro_rules! on {
    ($connection:expr, $inner:ident, $query:ident => $run:expr) => {
        match &mut $connection.inner {
            Inner::Sqlite($inner) => {
                type $query = Sqlite;
                $run
            }
            Inner::Postgres($inner) => {
                type $query = Postgres;
                $run
            }
        }
    };
}

impl Connection {
    /// Lets a statement of SQLite be interrupted: one whose future was dropped would run on, with its locks.
    pub(super) async fn sqlite(mut connection: PoolConnection<Sqlite>) -> Result<Self, Error> {
        let interrupt = Arc::new(AtomicBool::new(false));
        let interrupted = Arc::clone(&interrupt);
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || !interrupted.load(Ordering::Relaxed));
        drop(handle);
        Ok(Self { inner: Inner::Sqlite(connection), state: State::Idle, closes: false, interrupt })
    }

    pub(super) fn postgres(connection: PoolConnection<Postgres>) -> Self {
        let interrupt = Arc::default();
        Self { inner: Inner::Postgres(connection), state: State::Idle, closes: false, interrupt }
    }

    /// Closes the connection when it is dropped.
    pub(super) const fn close_after_use(&mut self) {
        self.closes = true;
    }

    /// Opens a transaction with this statement.
    pub(super) async fn begin(&mut self, sql: &'static str) -> Result<(), DbErr> {
        self.leave(State::Idle)?;
        on!(self, inner, Db => {
            <Db as Database>::TransactionManager::begin(inner, Some(sql.into_sql_str())).await
        })
        .map_err(exec_error)?;
        self.state = State::Open;
        Ok(())
    }

    /// Commits the transaction. After an error, the outcome is unknown.
    pub(super) async fn commit(&mut self) -> Result<(), DbErr> {
        self.leave(State::Open)?;
        on!(self, inner, Db => <Db as Database>::TransactionManager::commit(inner).await)
            .map_err(exec_error)?;
        self.state = State::Idle;
        Ok(())
    }

    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<ExecResult, DbErr> {
        let state = self.enter()?;
        let done = on!(self, inner, Db => {
            bind::<Db>(statement).execute(&mut **inner).await.map(ExecResult::from)
        });
        self.settle(state, done).map_err(exec_error)
    }

    pub(super) async fn execute_unprepared(&mut self, sql: &str) -> Result<ExecResult, DbErr> {
        let state = self.enter()?;
        let sql = AssertSqlSafe(sql.to_owned());
        let done = on!(self, inner, _Db => (&mut **inner).execute(sql).await.map(ExecResult::from));
        self.settle(state, done).map_err(exec_error)
    }

    pub(super) async fn query_one(&mut self, statement: &Statement) -> Result<Option<QueryResult>, DbErr> {
        let state = self.enter()?;
        let done = on!(self, inner, Db => {
            bind::<Db>(statement).fetch_optional(&mut **inner).await.map(|row| row.map(QueryResult::from))
        });
        self.settle(state, done).map_err(query_error)
    }

    pub(super) async fn query_all(&mut self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        let state = self.enter()?;
        let done = on!(self, inner, Db => {
            let rows = bind::<Db>(statement).fetch_all(&mut **inner).await;
            rows.map(|rows| rows.into_iter().map(QueryResult::from).collect())
        });
        self.settle(state, done).map_err(query_error)
    }

    /// Marks the state unknown until the statement has answered: its future may be dropped before that.
    fn enter(&mut self) -> Result<State, DbErr> {
        let state = self.state;
        self.leave(state)?;
        Ok(state)
    }

    fn leave(&mut self, expected: State) -> Result<(), DbErr> {
        if self.state != expected || expected == State::Unknown {
            let text = "the connection failed before, or is in another state than expected";
            return Err(DbErr::Conn(RuntimeErr::Internal(text.to_owned())));
        }
        self.state = State::Unknown;
        Ok(())
    }

    fn settle<T>(&mut self, state: State, done: Result<T, Error>) -> Result<T, Error> {
        if done.as_ref().err().is_none_or(is_refusal) {
            self.state = state;
        }
        done
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.state == State::Unknown {
            self.interrupt.store(true, Ordering::Relaxed);
        }
        match self.state {
            State::Idle | State::Open if self.closes => on!(self, inner, _Db => inner.close_on_drop()),
            State::Idle => {}
            // Queued; the pool checks that it was done.
            State::Open => {
                on!(self, inner, Db => <Db as Database>::TransactionManager::start_rollback(inner));
            }
            State::Unknown => on!(self, inner, _Db => inner.close_on_drop()),
        }
    }
}

fn bind<DB: Database>(statement: &Statement) -> Query<'_, DB, SqlxValues>
where
    SqlxValues: sea_orm::sqlx::IntoArguments<DB>,
{
    let values = statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::new()));
    query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

fn exec_error(error: Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

fn query_error(error: Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}
