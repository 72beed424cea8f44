//! Opens the database and brings its schema up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use migration::{Migrator, MigratorTrait};
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{ConnectOptions, Connection, Database, Error, Postgres, Sqlite, SqliteConnection};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::sync::{Mutex, Notify, broadcast, watch};
use uuid::Uuid;

use super::file::{self, DatabaseFile};
use super::pool::Pool;
use super::{DEADLINE, Store, StoreParts};

/// Connections to PostgreSQL; an Admin write holds one for the time of a commit.
const CONNECTIONS: u32 = 16;
/// Commits that wait for followers; further ones are read from the database.
const COMMITS: usize = 1024;
/// Connections that stay open, so that few requests wait for a new one.
const KEPT_OPEN: u32 = 4;
/// PostgreSQL ends a transaction whose control plane is silent for this long. It may hold the head, for which
/// every other writer waits, and its machine may have failed.
const ABANDONED: &str = "15s";
/// PostgreSQL ends a statement after this time, also when no client waits for the answer any more:
/// [`DEADLINE`].
const STATEMENT: &str = "5s";
/// A connection that was used within this time is assumed to work.
const RECENTLY_USED: Duration = Duration::from_secs(1);
/// A connection to PostgreSQL that takes longer to answer a ping is closed, and another one opened. A failed
/// machine or a firewall answers nothing, and resets nothing: without this bound, each dead connection would
/// fail one request after [`DEADLINE`], and one that is released would keep its place until TCP gives up.
const PING: Duration = Duration::from_secs(1);
/// The lock that serializes the migrations of control planes that start at the same time.
const MIGRATION_LOCK: i64 = 0x0067_6962_626f_6e01;

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its URL cannot be read.
    #[error("cannot read the database's URL {url}: {reason}")]
    Url {
        /// The URL, without a password.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The database cannot be reached, or rejects the connection.
    #[error("cannot open the database {url}: {source}")]
    Connect {
        /// Its URL, without a password.
        url: String,
        /// The error.
        source: Error,
    },
    /// A SQLite file cannot be created, or its mode cannot be changed.
    #[error("cannot prepare the database file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot migrate the database {url}: {source}")]
    Migrate {
        /// Its URL, without a password.
        url: String,
        /// The error.
        source: DbErr,
    },
}

/// The address of the database.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

impl Store {
    /// Checks a database's URL without connecting; the error never holds a password.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub fn check_url(url: &str) -> Result<(), String> {
        Address::parse(url).map(drop)
    }

    /// Connects to the database at `url` (`sqlite://…` or `postgres://…`).
    ///
    /// # Errors
    /// When the database cannot be reached or created.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let shown = || node::config::mask_secrets(url).into_owned();
        let mut address = Address::parse(url).map_err(|reason| OpenError::Url { url: shown(), reason })?;
        if let Some(path) = address.file() {
            file::prepare(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        }
        let connect = |source| OpenError::Connect { url: shown(), source };
        let pool = address.pool().await.map_err(connect)?;
        let (anchor, file) = match &address {
            Address::Sqlite(options) => {
                let anchor = hold_open(options).await.map_err(connect)?;
                let opened = address.file().map(|path| {
                    DatabaseFile::opened(path)
                        .map_err(|source| OpenError::File { path: path.to_owned(), source })
                });
                (Some(Mutex::new(anchor)), opened.transpose()?)
            }
            Address::Postgres(_) => (None, None),
        };
        let superseded = Notify::new();
        // A process before this one may have ended before its files were clean.
        superseded.notify_one();
        Ok(Self {
            shared: Arc::new(StoreParts {
                pool,
                address,
                file,
                _anchor: anchor,
                writer: Mutex::new(()),
                name: Uuid::new_v4().simple().to_string(),
                commits: broadcast::Sender::new(COMMITS),
                committing: AtomicUsize::new(0),
                notified: watch::Sender::new(0),
                superseded,
            }),
        })
    }

    /// Brings the schema up to date; control planes that do so at the same time wait for each other.
    ///
    /// # Errors
    /// When a step fails; the schema is then as it was before.
    pub async fn migrate(&self, url: &str) -> Result<(), OpenError> {
        let migrate =
            |source| OpenError::Migrate { url: node::config::mask_secrets(url).into_owned(), source };
        let pool = self.shared.address.for_migration();
        let migrated = migrate_all(&pool).await;
        // No other task gets these connections, whatever their state.
        pool.close().await;
        migrated.map_err(migrate)
    }
}

async fn migrate_all(pool: &Pool) -> Result<(), DbErr> {
    let database = pool.for_migration();
    if database.get_database_backend() == DatabaseBackend::Sqlite {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        // All steps or none: a step that failed in the middle could never be repeated.
        let all = database.begin_with_options(options).await?;
        Migrator::up(&all, None).await?;
        return all.commit().await;
    }
    let alone = database.begin().await?;
    // A transaction's lock, so that it ends with this connection, for whatever reason.
    alone.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    Migrator::up(&database, None).await?;
    alone.commit().await
}

/// Opens a connection that runs nothing, so that nothing makes it fail. SQLite deletes the files beside the
/// database with the last connection, and a later connection would create others.
async fn hold_open(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    let mut anchor = options.connect().await?;
    sea_orm::sqlx::query("SELECT count(*) FROM sqlite_master").execute(&mut anchor).await?;
    Ok(anchor)
}

impl Address {
    fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("sqlite:") {
            return url
                .parse()
                .map(|options| Self::Sqlite(Box::new(sqlite_options(options))))
                .map_err(reason);
        }
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err("expected sqlite://FILE or postgres://…".to_owned());
        }
        check_password(url)?;
        url.parse().map(|options| Self::Postgres(Box::new(postgres_options(options)))).map_err(reason)
    }

    /// Returns the file of a SQLite database that is not in memory.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(options) => Some(options.get_filename()).filter(|path| !path.starts_with("file:")),
            Self::Postgres(_) => None,
        }
    }

    /// Makes the file of a SQLite database, if there is none, and opens the pool.
    async fn pool(&mut self) -> Result<Pool, Error> {
        Ok(match self {
            Self::Sqlite(options) => {
                // Alone: of two connections that make a new file at once, one finds it locked.
                let first = (**options).connect().await?;
                // A process without free descriptors goes on with the connections that it has.
                let pool = pool_options::<Sqlite>(DEADLINE).max_lifetime(None).idle_timeout(None);
                // A later connection must not make the file again after somebody has deleted it.
                **options = (**options).clone().create_if_missing(false);
                let pool = pool.connect_with((**options).clone()).await?;
                first.close().await?;
                Pool::Sqlite(pool)
            }
            Self::Postgres(options) => {
                let options = bounded(options);
                Pool::Postgres(pool_options::<Postgres>(PING).connect_with(options).await?)
            }
        })
    }

    /// Opens connections whose statements may take as long as they need.
    fn for_migration(&self) -> Pool {
        match self {
            // One: a step on another connection than its transaction's would wait for it for ever.
            Self::Sqlite(options) => {
                let pool = pool_options::<Sqlite>(DEADLINE).min_connections(0).max_connections(1);
                Pool::Sqlite(pool.connect_lazy_with((**options).clone()))
            }
            // One for the lock, and one for the steps.
            Self::Postgres(options) => {
                let pool = pool_options::<Postgres>(PING).min_connections(0).max_connections(2);
                Pool::Postgres(pool.connect_lazy_with((**options).clone()))
            }
        }
    }
}

/// The options of both databases; a ping has this timeout.
fn pool_options<DB: Database>(ping: Duration) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(CONNECTIONS)
        .min_connections(KEPT_OPEN)
        .acquire_timeout(DEADLINE)
        // After a restart of the server, no request fails on a stale connection. No request waits for a test
        // of a connection that was used a moment ago.
        .test_before_acquire(false)
        .before_acquire(move |connection: &mut DB::Connection, about| {
            Box::pin(async move {
                if about.idle_for >= RECENTLY_USED {
                    answers(connection, ping).await?;
                }
                Ok(true)
            })
        })
        // After a drop, the ping carries out a queued statement first: a rollback, at most.
        .after_release(move |connection: &mut DB::Connection, _| {
            Box::pin(async move {
                answers(connection, ping).await?;
                Ok(!connection.is_in_transaction())
            })
        })
}

async fn answers(connection: &mut impl Connection, ping: Duration) -> Result<(), Error> {
    let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to a ping");
    tokio::time::timeout(ping, connection.ping()).await.map_err(late)?
}

fn sqlite_options(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .disable_statement_logging()
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Every 2xx survives a power cut: in WAL mode only FULL syncs each commit.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(DEADLINE)
        // Keys that were replaced or deleted do not stay in the file's free pages.
        .pragma("secure_delete", "ON")
}

fn postgres_options(options: PgConnectOptions) -> PgConnectOptions {
    options.disable_statement_logging()
}

/// Sets the server's timeouts: after them, no client waits any more. Plans use indexes: one that was made while a
/// table was small would go on reading all of it when it has grown.
fn bounded(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([
        ("enable_seqscan", "off"),
        ("idle_in_transaction_session_timeout", ABANDONED),
        ("statement_timeout", STATEMENT),
        ("lock_timeout", STATEMENT),
    ])
}

/// Checks a password. A character that ends a URL's authority also ends the password. The rest would be read,
/// and shown, as something else: a port, a path, the name of a database.
fn check_password(url: &str) -> Result<(), String> {
    let authority = url.find("://").map_or(0, |at| at + "://".len());
    let Some(end) = url[authority..].rfind('@') else { return Ok(()) };
    let user_info = &url[authority..authority + end];
    match user_info.find(['/', '?', '#', '@', '[', ']']) {
        None => Ok(()),
        Some(_) => {
            Err("in the user name and the password, and in anything before an `@`, each of / ? # @ [ ] \
                        must be percent-encoded (%2F %3F %23 %40 %5B %5D)"
                .to_owned())
        }
    }
}

/// Describes an error in a URL. The library's messages name a part of the URL at most, and no part is a
/// password here.
fn reason(error: Error) -> String {
    match error {
        Error::Configuration(source) => source.to_string(),
        error => error.to_string(),
    }
}
