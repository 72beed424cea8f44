//! All SQL. Knows rows, transactions and the change log; knows no HTTP.
//!
//! Every write is one transaction ([`write::Write`]): rows first, then the head moves by one, then the
//! change rows, last before the commit. So the order of revisions is the order of commits, without a gap,
//! and a write that fails leaves nothing.

mod ca_certificates;
mod certificates;
mod data_planes;
mod edit;
mod heard;
mod log;
mod open;
mod references;
mod revocations;
mod routes;
mod rows;
mod select;
mod services;
mod snis;
mod tags;
mod write;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlErr};
use tokio::sync::{Mutex, broadcast, watch};
use uuid::Uuid;

pub use self::data_planes::DataPlanes;
pub use self::edit::Edit;
pub use self::log::{Change, Head};
pub use self::open::OpenError;
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
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: DatabaseConnection,
    /// SQLite has one writer: this process queues here, in order, instead of polling the file's lock.
    writer: Mutex<()>,
    /// By which its own commits are told from those of other control planes.
    name: String,
    commits: broadcast::Sender<Commit>,
    heard: watch::Sender<u64>,
}

/// What a read or a write can fail for. A write that failed has left nothing.
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
        within(self.database().ping()).await
    }

    fn database(&self) -> &DatabaseConnection {
        &self.shared.database
    }
}

/// The seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if is_unavailable(&error) { Self::Unavailable(error.to_string()) } else { Self::Database(error) }
    }
}

/// Runs a query, within the deadline.
async fn within<T>(query: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
    match tokio::time::timeout(DEADLINE, query).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Unavailable(format!("no answer within {DEADLINE:?}"))),
    }
}

fn is_unavailable(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error as Sqlx;
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                Sqlx::Io(_)
                | Sqlx::Tls(_)
                | Sqlx::PoolTimedOut
                | Sqlx::PoolClosed
                | Sqlx::WorkerCrashed
                | Sqlx::Protocol(_) => true,
                Sqlx::Database(error) => error.code().is_some_and(|code| is_passing(&code)),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether the database may do later what it did not do now. PostgreSQL: class 08 (connection), class 53
/// (no more connections, memory, disk) and 57P0x (shutting down, starting up). SQLite: `SQLITE_BUSY` and
/// its extended codes, when another program holds the file for longer than the deadline.
fn is_passing(code: &str) -> bool {
    let postgresql = code.len() == 5 && ["08", "53", "57P0"].iter().any(|class| code.starts_with(class));
    postgresql || matches!(code, "5" | "261" | "517" | "773")
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
