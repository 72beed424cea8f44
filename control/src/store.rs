//! Contains all SQL. Knows rows, transactions and the change log; knows no HTTP.
//!
//! Every write is one transaction ([`write::Write`]): first the rows, then the head, which moves by one, and
//! last the change rows. So the order of revisions is the order of commits, without a gap. A write that fails
//! leaves nothing.

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
use tokio::sync::{Mutex, Notify, broadcast, watch};
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

/// Timeout of one write or read; after it, the database counts as unreachable.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Rows of one statement: SQLite binds at most 32,766 values, and no table has more than 30 columns.
const ROWS: usize = 1000;

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
    /// SQLite has one writer: this process queues writes here, in order, instead of polling the file's lock.
    writer: Mutex<()>,
    /// The name in notifications, by which this process ignores those of its own commits.
    name: String,
    commits: broadcast::Sender<Commit>,
    notified: watch::Sender<u64>,
    /// Notified when the files may hold secrets that are superseded.
    superseded: Notify,
}

/// The reason why a read or a write failed. A failed write has left nothing, except after
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
    /// The row names one that does not exist.
    #[error("{field} names {id}, which is not among the {entity}")]
    ForeignKey {
        /// The field that names it.
        field: &'static str,
        /// The collection that lacks it.
        entity: &'static str,
        /// The id that the row names.
        id: Uuid,
    },
    /// The row has changed since it was read.
    #[error("the row has been changed in the meantime")]
    Changed,
    /// Other rows still name this one.
    #[error("{by} name this one of the {entity}")]
    Referenced {
        /// The kind of the row.
        entity: &'static str,
        /// The kind of the other rows.
        by: &'static str,
    },
    /// The file of the database is not the one that was opened.
    #[error("{0}")]
    FileGone(String),
    /// The outcome of the commit is unknown: the database did not answer, and does not show it now.
    #[error("it is not known whether the database has committed the write: {0}")]
    OutcomeUnknown(String),
    /// The database cannot be reached, or takes too long.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database rejected the statement for another reason.
    #[error("the database failed: {0}")]
    Database(#[source] DbErr),
}

impl Store {
    /// Returns the rows of a table.
    pub fn rows<T: Table>(&self) -> Rows<'_, T> {
        Rows::new(self)
    }

    /// Returns the services.
    pub fn services(&self) -> Rows<'_, entity::service::Entity> {
        self.rows()
    }

    /// Returns the routes.
    pub fn routes(&self) -> Rows<'_, entity::route::Entity> {
        self.rows()
    }

    /// Returns the tags of all rows.
    pub fn tags(&self) -> TagRows<'_> {
        TagRows(self)
    }

    /// Returns the records of data planes.
    pub fn data_planes(&self) -> DataPlanes<'_> {
        DataPlanes(self)
    }

    /// Returns the revocations.
    pub fn revocations(&self) -> Revocations<'_> {
        Revocations(self)
    }

    /// Returns a receiver of this process's commits, each after it was made; two simultaneous ones may come
    /// in either order. A receiver that falls far behind gets an error for the missed ones.
    pub fn commits(&self) -> broadcast::Receiver<Commit> {
        self.shared.commits.subscribe()
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.file_in_place()?;
        within(self.database().execute_unprepared("SELECT 1")).await.map(drop)
    }

    /// Whether no statement is in progress.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.database().is_idle()
    }

    fn database(&self) -> &Pool {
        &self.shared.pool
    }

    /// Checks that the files are in place, so that a write is still there after a restart.
    fn file_in_place(&self) -> Result<(), StoreError> {
        let gone = self.shared.file.as_ref().and_then(DatabaseFile::gone);
        gone.map_or(Ok(()), |reason| Err(StoreError::FileGone(reason)))
    }
}

/// Returns the seconds since 1970.
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

/// Runs a query within the deadline.
async fn within<T>(query: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
    match tokio::time::timeout(DEADLINE, query).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(late()),
    }
}

fn late() -> StoreError {
    StoreError::Unavailable(format!("no answer within {DEADLINE:?}"))
}

/// Names the unique key that is in use: this one, by name and value, if the database says so, else the id.
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
