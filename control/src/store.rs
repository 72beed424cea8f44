//! Contains all SQL. Knows rows, transactions and the change log; knows no HTTP.
//!
//! Every write is one transaction ([`Store::write`]): first the documents, then the head, which moves by one,
//! and last the change rows. So the order of revisions is the order of commits, without a gap. A write that
//! fails leaves nothing. Entities of all kinds are in one table; the store knows a kind by what its
//! declaration says.

mod before;
mod connection;
mod data_planes;
mod document;
mod failure;
mod file;
mod history;
mod log;
mod naming;
mod notified;
mod open;
mod outcome;
mod pool;
mod revocations;
mod secrets;
mod select;
mod tags;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use sea_orm::sqlx::SqliteConnection;
use sea_orm::{ConnectionTrait, DbErr};
use tokio::sync::{Mutex, Notify, broadcast, watch};
use wire::{Key, Kind};

pub use self::data_planes::DataPlanes;
pub use self::document::{Document, Draft};
use self::file::DatabaseFile;
pub(crate) use self::file::make_folder;
pub use self::history::{Operation, Past, RevisedEntity, Revision};
pub use self::log::{Head, LoggedChange};
use self::open::Address;
pub use self::open::OpenError;
use self::pool::Pool;
pub use self::revocations::Revocations;
pub use self::select::{Listed, Page, Selector, Tags};
pub use self::tags::TagRow;
pub use self::write::{Author, Change, Commit, Edit, MANY};

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
    /// Writes of this process whose commits are in progress, or not in `commits` yet.
    committing: AtomicUsize,
    notified: watch::Sender<u64>,
    /// Notified when the files may hold secrets that are superseded.
    superseded: Notify,
}

/// The reason why a read or a write failed. A failed write has left nothing, except after
/// [`StoreError::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another entity of the kind has these values of unique fields.
    #[error("the unique key {fields:?} is taken")]
    Unique {
        /// The kind.
        kind: Kind,
        /// Names and values.
        fields: Vec<(String, String)>,
    },
    /// Another entity has this id.
    #[error("the id {} is taken", key.id)]
    Id {
        /// The kind and the id.
        key: Key,
    },
    /// The entity names one that does not exist.
    #[error("{field} names {}, which is not among the {}", to.id, model::collection(to.kind))]
    ForeignKey {
        /// The field that names it.
        field: &'static str,
        /// What it names.
        to: Key,
    },
    /// The entity has changed since it was read.
    #[error("the entity has been changed in the meantime")]
    Changed,
    /// Other entities still name this one.
    #[error("{} name this one of the {}", model::collection(*by), model::collection(*to))]
    Referenced {
        /// The kind of the entity.
        to: Kind,
        /// The kind of the others.
        by: Kind,
    },
    /// The configuration of this revision is not known.
    #[error("the configuration of revision {revision} is not known: the log reaches from {first} to {last}")]
    BeyondLog {
        /// The revision.
        revision: u64,
        /// The first revision whose configuration is known.
        first: u64,
        /// The last one.
        last: u64,
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

impl StoreError {
    /// Whether another write may be the reason.
    pub fn is_conflict(&self) -> bool {
        use StoreError::{Changed, ForeignKey, Id, Referenced, Unique};
        matches!(self, Unique { .. } | Id { .. } | ForeignKey { .. } | Changed | Referenced { .. })
    }
}

impl Store {
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
    model::Times::Seconds.of_milliseconds(now_in_milliseconds())
}

/// Returns the milliseconds since 1970.
pub fn now_in_milliseconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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
