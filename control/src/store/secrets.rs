//! Secrets in the change log: only the newest change of an entity keeps them.
//!
//! Every delta goes up to the head, and of several changes of one entity the last counts. So a superseded
//! change is still needed, since revisions have no gap, but its bytes are not. The transaction that
//! supersedes a change blanks its bytes. A reader that meets a blanked change without its successor has read
//! an older head: it reads the configuration itself instead.

use std::time::Duration;

use sea_orm::sea_query::Expr;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Connection, Error, query_scalar};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use tracing::warn;
use uuid::Uuid;
use wire::{Key, Kind};

use super::document::{by_kind, number};
use super::log::{LoggedChange, SUPERSEDED, signed};
use super::open::Address;
use super::{DEADLINE, ROWS, Store, StoreError, late, within};
use entity::config_change::{Column, Entity};

/// Pause before the next attempt to empty the log of a SQLite file.
const RETRY: Duration = Duration::from_millis(250);
/// Attempts after which a warning says that they fail: those of a minute.
const MANY: u32 = 240;

impl Store {
    /// Keeps superseded secrets out of the files of a SQLite database, until its future is dropped. SQLite
    /// overwrites deleted rows with zeros (`secure_delete`), but first in the log beside the file: the file
    /// keeps the old pages, and the log earlier ones, until the log is copied into the file and emptied.
    pub async fn keep_files_clean(&self) {
        let Address::Sqlite(options) = &self.shared.address else { return std::future::pending().await };
        // A statement that waits for readers would make writers wait, too: it is tried again instead.
        let options = options.as_ref().clone().busy_timeout(Duration::ZERO);
        loop {
            self.shared.superseded.notified().await;
            for attempt in 1_u32.. {
                let Err(error) = self.empty_log(&options).await else { break };
                if attempt == MANY {
                    warn!(%error, "replaced private keys are still in the files of the database; will try again");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Copies the log beside a SQLite file into the file, and empties the log.
    async fn empty_log(&self, options: &SqliteConnectOptions) -> Result<(), StoreError> {
        let _writer = self.turn().await?;
        let checkpoint = async {
            let mut connection = options.connect().await?;
            let row = query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await;
            connection.close().await?;
            row
        };
        let answer = tokio::time::timeout(DEADLINE, checkpoint).await.map_err(|_| late())?;
        // The first column says whether a reader was in the way.
        match answer.map_err(|error: Error| StoreError::Unavailable(error.to_string()))? {
            0_i32 => Ok(()),
            _ => Err(StoreError::Unavailable("the log is being read".to_owned())),
        }
    }

    /// Notes that a commit has superseded secrets.
    pub(super) fn note_superseded(&self, changes: &[LoggedChange]) {
        if changes.iter().any(|change| model::may_hold_secrets(change.key.kind)) {
            self.shared.superseded.notify_one();
        }
    }
}

/// Blanks the changes that those of a revision supersede. `replaced` are the entities that were there before
/// it. A new one supersedes nothing: if there was another one with its id, the change that deleted that one has
/// blanked its changes. So a document of a million new credentials needs no look for any.
pub(super) async fn blank_superseded(
    rows: &impl ConnectionTrait,
    replaced: impl Iterator<Item = Key>,
    revision: u64,
) -> Result<(), StoreError> {
    for (kind, ids) in by_kind(replaced.filter(|key| model::may_hold_secrets(key.kind))) {
        for some in ids.chunks(ROWS) {
            within(blank(rows, kind, some, revision)).await?;
        }
    }
    Ok(())
}

async fn blank(rows: &impl ConnectionTrait, kind: Kind, ids: &[Uuid], before: u64) -> Result<(), DbErr> {
    let blank = Entity::update_many()
        .col_expr(Column::Op, Expr::value(SUPERSEDED))
        .col_expr(Column::Bytes, Expr::value(Vec::<u8>::new()))
        .col_expr(Column::Hash, Expr::value(Vec::<u8>::new()))
        // As in the index, which holds such changes alone.
        .filter(Expr::cust("secret IS TRUE"))
        .filter(Column::Kind.eq(number(kind)))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::Revision.lt(signed(before)))
        .filter(Column::Op.eq(1_i16));
    blank.exec(rows).await.map(drop)
}
