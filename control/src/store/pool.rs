//! The connections to the database. They run single statements and transactions.

use async_trait::async_trait;
use sea_orm::sqlx::{PgPool, SqlitePool};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, ExecResult, QueryResult, RuntimeErr,
    SqlxPostgresConnector, SqlxSqliteConnector, Statement,
};
use tokio::sync::Mutex;

use super::connection::Connection;

/// The pool. A statement on it runs on any of its connections, in a transaction of its own.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction; dropped without [`Transaction::commit`], it leaves nothing.
#[derive(Debug)]
pub(super) struct Transaction {
    backend: DatabaseBackend,
    connection: Mutex<Connection>,
}

/// The purpose of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// It sees one state of the database, however long it takes.
    Read,
    /// It writes.
    Write,
}

impl Pool {
    /// Opens a transaction.
    pub(super) async fn begin(&self, purpose: Purpose) -> Result<Transaction, DbErr> {
        let sql = match (self, purpose) {
            // Every transaction of SQLite sees one state.
            (Self::Sqlite(_), Purpose::Read) => "BEGIN",
            // A deferred transaction that reads before it writes fails if another has written meanwhile.
            (Self::Sqlite(_), Purpose::Write) => "BEGIN IMMEDIATE",
            (Self::Postgres(_), Purpose::Read) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Self::Postgres(_), Purpose::Write) => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        let mut connection = self.acquire().await?;
        connection.begin(sql).await?;
        Ok(Transaction { backend: self.get_database_backend(), connection: Mutex::new(connection) })
    }

    /// Returns the same connections for code that accepts no others: migrations.
    pub(super) fn for_migration(&self) -> DatabaseConnection {
        match self {
            Self::Sqlite(pool) => SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()),
            Self::Postgres(pool) => SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()),
        }
    }

    /// Whether no connection is in use.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let (open, idle) = match self {
            Self::Sqlite(pool) => (pool.size(), pool.num_idle()),
            Self::Postgres(pool) => (pool.size(), pool.num_idle()),
        };
        usize::try_from(open).is_ok_and(|open| open == idle)
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    async fn acquire(&self) -> Result<Connection, DbErr> {
        let acquired = match self {
            Self::Sqlite(pool) => match pool.acquire().await {
                Ok(connection) => Connection::sqlite(connection).await,
                Err(error) => Err(error),
            },
            Self::Postgres(pool) => pool.acquire().await.map(Connection::postgres),
        };
        acquired.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(std::sync::Arc::new(error))))
    }
}

impl Transaction {
    /// Prepares for the change of very many rows: SQLite keeps more pages in memory, until the transaction ends. It
    /// would write and read the same ones again and again.
    pub(super) async fn expect_many(&self) -> Result<(), DbErr> {
        if self.backend != DatabaseBackend::Sqlite {
            return Ok(());
        }
        let mut connection = self.connection.lock().await;
        connection.close_after_use();
        connection.execute_unprepared("PRAGMA cache_size = -131072").await.map(drop)
    }

    /// Commits. After an error, the outcome is unknown.
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        self.connection.into_inner().commit().await
    }
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DatabaseBackend {
        match self {
            Self::Sqlite(_) => DatabaseBackend::Sqlite,
            Self::Postgres(_) => DatabaseBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.acquire().await?.execute(&statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.acquire().await?.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.acquire().await?.query_one(&statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.acquire().await?.query_all(&statement).await
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.connection.lock().await.execute(&statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.connection.lock().await.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.connection.lock().await.query_one(&statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.connection.lock().await.query_all(&statement).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::{DEADLINE, Store, StoreError, within};
    use super::*;

    /// It takes the lock of writers, and counts for ever.
    const ENDLESS: &str = "UPDATE config_head SET revision = (WITH RECURSIVE n(x) AS \
                           (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n WHERE x < 0)";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn statement_of_sqlite_ends_with_its_timeout() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/control.db?mode=rwc", folder.path().display());
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        let head = store.head().await.unwrap();
        let begun = Instant::now();
        let late = within(store.database().execute_unprepared(ENDLESS)).await.unwrap_err();
        assert!(matches!(late, StoreError::Unavailable(_)), "{late:?}");
        let transaction = store.database().begin(Purpose::Write).await.unwrap();
        assert!(begun.elapsed() < DEADLINE * 3 / 2, "{:?}", begun.elapsed());
        // The same within a transaction, which a client leaves.
        let left = tokio::time::timeout(DEADLINE / 10, transaction.execute_unprepared(ENDLESS));
        assert!(left.await.is_err());
        drop(transaction);
        let transaction = store.database().begin(Purpose::Write).await.unwrap();
        assert!(begun.elapsed() < DEADLINE * 2, "{:?}", begun.elapsed());
        drop(transaction);
        assert_eq!(store.head().await.unwrap(), head);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn deleted_file_of_sqlite_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        // Those that are open, and at least one more, which is opened now.
        let mut held = Vec::new();
        let refused = loop {
            match store.database().begin(Purpose::Read).await {
                Ok(transaction) => held.push(transaction),
                Err(refused) => break refused,
            }
        };
        assert!(!path.exists(), "{refused}, after {} connections", held.len());
    }
}
