//! Opens the database and brings its schema up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection, DbErr};
use tokio::sync::{Mutex, broadcast, watch};
use uuid::Uuid;

use super::{DEADLINE, Shared, Store};

/// Connections to PostgreSQL; an Admin write holds one for the time of a commit.
const CONNECTIONS: u32 = 16;
/// Commits that wait to be followed; beyond, they are read back from the database.
const COMMITS: usize = 1024;
/// A transaction whose control plane says nothing for this long is ended by PostgreSQL: it may hold the
/// head, for which every other writer waits, and its machine may be gone without a word.
const ABANDONED: &str = "15s";
/// A connection that was used within this time is taken to be good.
const FRESH: Duration = Duration::from_secs(1);
/// Names the lock under which control planes that start at the same time migrate one after the other.
const MIGRATION_LOCK: i64 = 0x0067_6962_626f_6e01;

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached, or refuses.
    #[error("cannot open the database {url}: {source}")]
    Connect {
        /// Its URL, without a password.
        url: String,
        /// What was said.
        source: DbErr,
    },
    /// The folder of a SQLite file cannot be made.
    #[error("cannot make the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot migrate the database {url}: {source}")]
    Migrate {
        /// Its URL, without a password.
        url: String,
        /// What was said.
        source: DbErr,
    },
}

impl Store {
    /// Connects to the database at `url` (`sqlite://…` or `postgres://…`).
    ///
    /// # Errors
    /// When it cannot be reached or made.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        if let Some(folder) = sqlite_folder(url) {
            std::fs::create_dir_all(&folder)
                .map_err(|source| OpenError::Folder { path: folder.clone(), source })?;
        }
        let database = Database::connect(options(url)).await.map_err(|source| OpenError::Connect {
            url: node::config::mask_secrets(url).into_owned(),
            source,
        })?;
        let writer = Mutex::new(());
        let name = Uuid::new_v4().simple().to_string();
        let (commits, heard) = (broadcast::Sender::new(COMMITS), watch::Sender::new(0));
        Ok(Self { shared: Arc::new(Shared { database, writer, name, commits, heard }) })
    }

    /// Brings the schema up to date; control planes that do so at the same time wait for each other.
    ///
    /// # Errors
    /// When a step fails; the schema is then as the step before left it.
    pub async fn migrate(&self, url: &str) -> Result<(), OpenError> {
        migrate(self.database()).await.map_err(|source| OpenError::Migrate {
            url: node::config::mask_secrets(url).into_owned(),
            source,
        })
    }
}

async fn migrate(database: &DatabaseConnection) -> Result<(), DbErr> {
    if database.get_database_backend() != DatabaseBackend::Postgres {
        return Migrator::up(database, None).await;
    }
    // A lock of a transaction, so that it ends with this connection, however that ends.
    let lock = sea_orm::TransactionTrait::begin(database).await?;
    lock.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    Migrator::up(database, None).await?;
    lock.commit().await
}

fn options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false).connect_timeout(DEADLINE).acquire_timeout(DEADLINE);
    options.max_connections(CONNECTIONS).min_connections(1);
    // After a restart of the server no request pays for a connection that it has forgotten, and none
    // pays for a question that was answered a moment ago.
    options.test_before_acquire_if_idle_for(FRESH);
    options.map_sqlx_postgres_opts(|postgres| {
        postgres.options([("idle_in_transaction_session_timeout", ABANDONED)])
    });
    options.map_sqlx_sqlite_opts(|sqlite| {
        use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
        sqlite
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Every 2xx survives a power cut: in WAL mode only FULL syncs each commit.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(DEADLINE)
    });
    options
}

/// The folder of a SQLite file; `None` for another database, or one in memory.
fn sqlite_folder(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://")?.split('?').next()?;
    Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned)
}
