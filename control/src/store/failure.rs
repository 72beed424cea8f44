//! Classifies errors of the database: what each means for the request, the connection and the commit.

use sea_orm::sqlx::Error;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::{DbErr, RuntimeErr, SqlErr};

use super::StoreError;

/// A mask for the primary code of SQLite, in the lowest byte.
const SQLITE_PRIMARY: i32 = 0xff;
/// Primary codes after which the same statement may succeed later: BUSY, LOCKED, READONLY (also of a file
/// that was moved), INTERRUPT, IOERR, FULL, CANTOPEN.
const SQLITE_PASSING: [i32; 7] = [5, 6, 8, 9, 10, 13, 14];
/// CONSTRAINT: the statement was rejected, and the transaction is as it was.
const SQLITE_CONSTRAINT: i32 = 19;
/// A failed sync of the file or of its folder: the written data may reappear after a crash.
const SQLITE_FAILED_SYNCS: [i32; 2] = [1034, 1290];

/// Beginnings of SQLSTATEs after which the same statement may succeed later: 08 (connection), 53 (no more
/// connections, memory, disk), 57P0 (shutting down, starting up), 57014 (statement timeout), 55P03 (lock
/// timeout), 25P0 (a transaction that was idle for too long), 40 (rolled back: deadlock, serialization), 58
/// (input and output).
const POSTGRESQL_PASSING: [&str; 8] = ["08", "53", "57P0", "57014", "55P03", "25P0", "40", "58"];
/// Classes of a statement that was rejected for its values: data exception, integrity constraint.
const POSTGRESQL_REFUSALS: [&str; 2] = ["22", "23"];

/// Whether the database rejected the values of a statement, and the connection's state is known.
pub(super) fn is_refusal(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    match Code::of(&**error) {
        Code::Sqlite(code) => code & SQLITE_PRIMARY == SQLITE_CONSTRAINT,
        Code::Postgresql(code) => has_prefix(&code, &POSTGRESQL_REFUSALS),
        Code::None => false,
    }
}

/// Whether the database cannot be reached, or may succeed later.
pub(super) fn is_unavailable(error: &DbErr) -> bool {
    if matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) {
        return true;
    }
    match sqlx_error(error) {
        Some(Error::Database(error)) => match Code::of(&**error) {
            Code::Sqlite(code) => SQLITE_PASSING.contains(&(code & SQLITE_PRIMARY)),
            Code::Postgresql(code) => has_prefix(&code, &POSTGRESQL_PASSING),
            Code::None => false,
        },
        Some(
            Error::Io(_)
            | Error::Tls(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::Protocol(_)
            | Error::BeginFailed
            | Error::InvalidSavePointStatement,
        ) => true,
        _ => false,
    }
}

/// Whether a statement broke a foreign key.
pub(super) fn is_foreign_key(error: &StoreError) -> bool {
    let StoreError::Database(database) = error else { return false };
    matches!(database.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_)))
}

/// Whether a COMMIT that ended with this error has certainly left nothing.
pub(super) fn is_certain(error: &DbErr) -> bool {
    let Some(Error::Database(error)) = sqlx_error(error) else { return false };
    match Code::of(&**error) {
        Code::Sqlite(code) => !SQLITE_FAILED_SYNCS.contains(&code),
        // A server that shuts down may have committed before it says so.
        Code::Postgresql(code) => !has_prefix(&code, &["08", "57P0", "58", "XX"]),
        Code::None => false,
    }
}

enum Code {
    Sqlite(i32),
    Postgresql(String),
    None,
}

impl Code {
    fn of(error: &dyn DatabaseError) -> Self {
        let Some(code) = error.code() else { return Self::None };
        // A SQLSTATE has five characters; a code of SQLite is a number of at most four digits.
        match code.parse() {
            Ok(number) if code.len() < 5 => Self::Sqlite(number),
            _ => Self::Postgresql(code.into_owned()),
        }
    }
}

fn has_prefix(code: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| code.starts_with(prefix))
}

fn sqlx_error(error: &DbErr) -> Option<&Error> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}
