//! Finds the outcome of a commit: reads it back, or looks it up when its answer was lost.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::log::{Head, signed};
use super::pool::Purpose;
use super::{Store, StoreError, failure, late, within};
use entity::config_change::{Column, Entity};

/// Locks the head without moving it. On PostgreSQL, it waits for the transaction whose answer was lost. On
/// SQLite, its commit overwrites whatever a failed one has left in the file's log.
const TOUCH_HEAD: &str = "UPDATE config_head SET revision = revision WHERE id = 1";

/// Decides whether the write that made `head` is committed. It uses the answer to COMMIT (`None` when it
/// timed out) and the contents of the database. Returns whether it was read back: before that, no data plane
/// may get it.
pub(super) async fn prove(
    store: &Store,
    head: Head,
    answer: Option<Result<(), DbErr>>,
) -> Result<bool, StoreError> {
    match answer {
        Some(Ok(())) => read_back(store, head).await,
        Some(Err(error)) if failure::is_certain(&error) => Err(error.into()),
        Some(Err(error)) => look_up(store, head, error.into()).await,
        None => look_up(store, head, late()).await,
    }
}

/// Reads an acknowledged commit back, on another connection than its own.
async fn read_back(store: &Store, head: Head) -> Result<bool, StoreError> {
    store.file_in_place()?;
    match within(holds(store.database(), head)).await {
        Ok(true) => Ok(true),
        Ok(false) => Err(unknown("the database acknowledged it and does not hold it")),
        // It is acknowledged all the same: the publisher finds it when the database can be read again.
        Err(_) => Ok(false),
    }
}

/// Looks up a commit whose answer was lost; fails if that is impossible.
async fn look_up(store: &Store, head: Head, error: StoreError) -> Result<bool, StoreError> {
    let found = async {
        let transaction = within(store.database().begin(Purpose::Write)).await?;
        within(transaction.execute_unprepared(TOUCH_HEAD)).await?;
        let found = within(holds(&transaction, head)).await?;
        within(transaction.commit()).await?;
        store.file_in_place().map(|()| found)
    };
    match found.await {
        Ok(true) => Ok(true),
        Ok(false) => Err(error),
        Err(_) => Err(unknown(error)),
    }
}

async fn holds(connection: &impl ConnectionTrait, head: Head) -> Result<bool, DbErr> {
    let first =
        Entity::find_by_id((signed(head.revision), 0)).filter(Column::CommitToken.eq(head.commit_token));
    let revision = first.select_only().column(Column::Revision).into_tuple::<i64>();
    revision.one(connection).await.map(|row| row.is_some())
}

fn unknown(reason: impl std::fmt::Display) -> StoreError {
    StoreError::OutcomeUnknown(reason.to_string())
}
