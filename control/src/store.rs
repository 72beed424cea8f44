//! All SQL. Knows rows, transactions and the change log; knows no HTTP.
//!
//! Every write is one transaction ([`write::Write`]): rows first, then the head moves by one, then the
//! change rows, last before the commit. So the order of revisions is the order of commits, without a gap,
//! and a write that fails leaves nothing.

mod ca_certificates;
mod certificates;
mod connection;
mod data_planes;
mod edit;
mod failure;
mod file;
mod log;
mod notified;
mod open;
mod outcome;
mod pool;
mod references;
mod revocations;
mod routes;
mod rows;
mod secrets;
mod select;
mod services;
mod snis;
mod tags;
mod write;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::SqliteConnection;
use sea_orm::{ConnectionTrait, DbErr, SqlErr};
use tokio::sync::{Mutex, broadcast, watch};
use uuid::Uuid;

pub use self::data_planes::DataPlanes;
pub use self::edit::Edit;
use self::file::DatabaseFile;
pub(crate) use self::file::make_folder;
pub use self::log::{Head, LoggedChange};
use self::open::Address;
pub use self::open::OpenError;
use self::pool::Pool;
pub use self::references::Reference;
pub use self::revocations::Revocations;
pub use self::rows::{Child, Row, Rows, Table};
pub use self::select::{Listed, Page, Selector, Tags};
pub use self::tags::TagRows;
pub use self::write::{Commit, Write, Written};

/// How long the database may take for one write or read; then it counts as unreachable.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<StoreParts>,
}

#[derive(Debug)]
struct StoreParts {
    pool: Pool,
    address: Address,
    /// The files of a SQLite database.
    file: Option<DatabaseFile>,
    /// Keeps the files beside a SQLite database in place.
    _anchor: Option<Mutex<SqliteConnection>>,
    /// SQLite has one writer: this process queues here, in order, instead of polling the file's lock.
    writer: Mutex<()>,
    /// By which its own commits are told from those of other control planes.
    name: String,
    commits: broadcast::Sender<Commit>,
    notified: watch::Sender<u64>,
}

/// What a read or a write can fail for. A write that failed has left nothing, but for
/// [`StoreError::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another row has these values of a unique key.
    #[error("the unique key {fields:?} is taken")]
    Unique {
        /// Names and values.
        fields: Vec<(&'static str, String)>,
    },
    /// Another row has this id.
    #[error("the id {id} is taken")]
    Id {
        /// The id.
        id: Uuid,
    },
    /// The row names one that is not there.
    #[error("{field} names {id}, which is not among the {entity}")]
    ForeignKey {
        /// The field that names it.
        field: &'static str,
        /// Where it would have to be.
        entity: &'static str,
        /// What is named.
        id: Uuid,
    },
    /// The row is not as it was read any more.
    #[error("the row has been changed in the meantime")]
    Changed,
    /// Other rows still name this one.
    #[error("{by} name this one of the {entity}")]
    Referenced {
        /// Of what kind it is.
        entity: &'static str,
        /// Of what kind they are.
        by: &'static str,
    },
    /// The file of the database is not the one that was opened.
    #[error("{0}")]
    FileGone(String),
    /// The database did not say whether it has committed the write, and does not say it now.
    #[error("it is not known whether the database has committed the write: {0}")]
    OutcomeUnknown(String),
    /// The database cannot be reached, or takes too long.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database refused in some other way.
    #[error("the database failed: {0}")]
    Database(#[source] DbErr),
}

impl Store {
    /// The rows of a table.
    pub fn rows<T: Table>(&self) -> Rows<'_, T> {
        Rows::new(self)
    }

    /// Services.
    pub fn services(&self) -> Rows<'_, entity::service::Entity> {
        self.rows()
    }

    /// Routes.
    pub fn routes(&self) -> Rows<'_, entity::route::Entity> {
        self.rows()
    }

    /// Tags of all rows.
    pub fn tags(&self) -> TagRows<'_> {
        TagRows(self)
    }

    /// What is known of data planes.
    pub fn data_planes(&self) -> DataPlanes<'_> {
        DataPlanes(self)
    }

    /// Certificates that are not let in any more.
    pub fn revocations(&self) -> Revocations<'_> {
        Revocations(self)
    }

    /// The commits of this process, each after it was made; two that were made at the same time may come
    /// in either order. Whoever falls far behind is told that some were missed.
    pub fn commits(&self) -> broadcast::Receiver<Commit> {
        self.shared.commits.subscribe()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.file_in_place()?;
        within(self.database().execute_unprepared("SELECT 1")).await.map(drop)
    }

    fn database(&self) -> &Pool {
        &self.shared.pool
    }

    /// That what is written now is there after a restart, too.
    fn file_in_place(&self) -> Result<(), StoreError> {
        let gone = self.shared.file.as_ref().and_then(DatabaseFile::gone);
        gone.map_or(Ok(()), |reason| Err(StoreError::FileGone(reason)))
    }
}

/// The seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if failure::is_unavailable(&error) {
            Self::Unavailable(error.to_string())
        } else {
            Self::Database(error)
        }
    }
}

/// Runs a query, within the deadline.
async fn within<T>(query: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
    match tokio::time::timeout(DEADLINE, query).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(late()),
    }
}

fn late() -> StoreError {
    StoreError::Unavailable(format!("no answer within {DEADLINE:?}"))
}

/// Tells which unique key of a row was taken: this one, by name and value, if the database says so, else the id.
fn unique_or(error: StoreError, id: Uuid, key: Option<(&'static str, &str)>) -> StoreError {
    let StoreError::Database(database) = &error else { return error };
    match (database.sql_err(), key) {
        (Some(SqlErr::UniqueConstraintViolation(said)), Some((field, value))) if said.contains(field) => {
            StoreError::Unique { fields: vec![(field, value.to_owned())] }
        }
        (Some(SqlErr::UniqueConstraintViolation(_)), _) => StoreError::Id { id },
        _ => error,
    }
}

fn is_foreign_key(error: &StoreError) -> bool {
    let StoreError::Database(database) = error else { return false };
    matches!(database.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_)))
}
