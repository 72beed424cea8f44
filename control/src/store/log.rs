//! Reads the head, the change log, and all that is published.

use bytes::Bytes;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;
use wire::{Key, Kind};

use super::pool::{Purpose, Transaction};
use super::rows::Table;
use super::select::{self, Page};
use super::write::ROWS;
use super::{Store, StoreError, secrets, within};

/// Rows of the log that are trimmed at a time.
const TRIMMED: u64 = ROWS as u64;

/// Where the configuration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which history this is.
    pub epoch: Uuid,
    /// The number of writes so far.
    pub revision: u64,
    /// Made at random by the last write: a database that was put back to the past and written again has the
    /// epoch, and may have the revision, but not the stamp. Nil before the first write.
    pub commit_token: Uuid,
}

/// One change of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// The revision that it belongs to.
    pub revision: u64,
    /// The stamp of that revision.
    pub commit_token: Uuid,
    /// The stamp of the revision before.
    pub previous: Uuid,
    /// What was changed.
    pub key: Key,
    /// Its canonical bytes, or `None` when it was deleted, or when they are `superseded`.
    pub value: Option<Bytes>,
    /// A later revision changed it too, and its bytes held a secret that the log does not keep.
    pub superseded: bool,
}

impl Store {
    /// Where the configuration stands.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn head(&self) -> Result<Head, StoreError> {
        self.file_in_place()?;
        within(head(self.database())).await
    }

    /// The changes of the revisions after `from` up to and with `to`, in the order of commits.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changes(&self, from: u64, to: u64) -> Result<Vec<LoggedChange>, StoreError> {
        // By pages: a revision may have 100,000 changes, and a row takes many times the memory of its bytes.
        let (mut changes, mut after) = (Vec::new(), (from, i32::MAX));
        loop {
            let rows = within(log_page(after, to).all(self.database())).await?;
            let last = rows.last().map(|row| (row.revision.unsigned_abs(), row.ordinal));
            let full = rows.len() == ROWS;
            changes.extend(rows.into_iter().map(LoggedChange::from));
            match last.filter(|_| full) {
                Some(last) => after = last,
                None => return Ok(changes),
            }
        }
    }

    /// Begins another history in place of `epoch`: the database is found to have been put back to the past,
    /// so that its next revisions would be taken for those of the same numbers that were before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn leave_epoch(&self, epoch: Uuid) -> Result<(), StoreError> {
        use entity::config_head::{Column, Entity};
        let _writer = self.turn().await?;
        let update = Entity::update_many()
            .col_expr(Column::Epoch, Expr::value(Uuid::new_v4()))
            // Another control plane may have found it too.
            .filter(Column::Epoch.eq(epoch))
            .exec(self.database());
        within(update).await.map(drop)
    }

    /// The stamp of a revision that the log still has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stamp_of(&self, revision: u64) -> Result<Option<Uuid>, StoreError> {
        let first = entity::config_change::Entity::find_by_id((signed(revision), 0));
        Ok(within(first.one(self.database())).await?.map(|row| row.commit_token.unwrap_or_default()))
    }

    /// The epoch that an operator has confirmed for the fleet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn confirmed_epoch(&self) -> Result<Option<Uuid>, StoreError> {
        let row = entity::config_head::Entity::find_by_id(1).one(self.database());
        Ok(within(row).await?.and_then(|row| row.confirmed_epoch))
    }

    /// Confirms `epoch` for the fleet, if it is the one that the database is in.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn confirm_epoch(&self, epoch: Uuid) -> Result<(), StoreError> {
        use entity::config_head::{Column, Entity};
        let _writer = self.turn().await?;
        let update = Entity::update_many()
            .col_expr(Column::ConfirmedEpoch, Expr::value(epoch))
            .filter(Column::Epoch.eq(epoch))
            .exec(self.database());
        within(update).await.map(drop)
    }

    /// The first revision that the log still has in whole; `None` when it has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn log_begins(&self) -> Result<Option<u64>, StoreError> {
        let first = within(first_change().one(self.database())).await?;
        // Of a revision that is being trimmed, the first change goes first.
        Ok(first.map(|row| row.revision.unsigned_abs() + u64::from(row.ordinal != 0)))
    }

    /// Forgets the changes of `revision` and before; some rows at a time, so that writers need not wait for all.
    ///
    /// # Errors
    /// When the database cannot be written; some of them may be forgotten.
    pub async fn trim_log(&self, revision: u64) -> Result<(), StoreError> {
        use entity::config_change::{Column, Entity};
        loop {
            let old = first_change().filter(Column::Revision.lte(signed(revision))).limit(TRIMMED);
            let old =
                old.select_only().columns([Column::Revision, Column::Ordinal]).into_tuple::<(i64, i32)>();
            let old = within(old.all(self.database())).await?;
            let Some((revision, ordinal)) = old.last().copied() else { return Ok(()) };
            let same = Column::Revision.eq(revision).and(Column::Ordinal.lte(ordinal));
            let _writer = self.turn().await?;
            let trimmed = Entity::delete_many().filter(Column::Revision.lt(revision).or(same));
            within(trimmed.exec(self.database())).await?;
        }
    }

    /// The head, and the canonical bytes of every published entity at it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn published(&self) -> Result<(Head, Vec<(Key, Bytes)>), StoreError> {
        let read = within(self.database().begin(Purpose::Read)).await?;
        let head = within(head(&read)).await?;
        let mut published = Vec::new();
        publish::<entity::service::Entity>(&read, &mut published).await?;
        publish::<entity::route::Entity>(&read, &mut published).await?;
        publish::<entity::certificate::Entity>(&read, &mut published).await?;
        publish::<entity::sni::Entity>(&read, &mut published).await?;
        publish::<entity::ca_certificate::Entity>(&read, &mut published).await?;
        within(read.commit()).await?;
        Ok((head, published))
    }
}

impl From<entity::config_change::Model> for LoggedChange {
    fn from(row: entity::config_change::Model) -> Self {
        Self {
            revision: row.revision.unsigned_abs(),
            commit_token: row.commit_token.unwrap_or_default(),
            previous: row.previous.unwrap_or_default(),
            key: Key { kind: Kind(u8::try_from(row.kind).unwrap_or_default()), id: row.id },
            superseded: row.op == secrets::SUPERSEDED,
            value: (row.op == 1).then(|| row.bytes.into()),
        }
    }
}

fn first_change() -> Select<entity::config_change::Entity> {
    use entity::config_change::{Column, Entity};
    Entity::find().order_by_asc(Column::Revision).order_by_asc(Column::Ordinal)
}

/// The rows after a revision and an ordinal, up to and with the revision `to`.
fn log_page((revision, ordinal): (u64, i32), to: u64) -> Select<entity::config_change::Entity> {
    use entity::config_change::{Column, Entity};
    let same = Column::Revision.eq(signed(revision)).and(Column::Ordinal.gt(ordinal));
    Entity::find()
        .filter(Column::Revision.gt(signed(revision)).or(same))
        .filter(Column::Revision.gte(signed(revision)))
        .filter(Column::Revision.lte(signed(to)))
        .order_by_asc(Column::Revision)
        .order_by_asc(Column::Ordinal)
        .limit(ROWS as u64)
}

/// Adds all of a table, by pages: rows take ten times the memory of the bytes that are made of them.
async fn publish<T: Table>(read: &Transaction, published: &mut Vec<(Key, Bytes)>) -> Result<(), StoreError> {
    let mut page = Page { size: ROWS as u64, after: None, tags: None };
    loop {
        let listed = select::list(T::find(), T::ID, &page, read).await?;
        published.extend(listed.rows.iter().map(|row| {
            let bytes = T::bytes(row).into_boxed_slice();
            (Key { kind: T::KIND, id: T::id(row) }, bytes.into())
        }));
        if listed.next.is_none() {
            return Ok(());
        }
        page.after = listed.next;
    }
}

/// Where the configuration stands, as this connection sees it.
pub(super) async fn head(connection: &impl ConnectionTrait) -> Result<Head, DbErr> {
    let row = entity::config_head::Entity::find_by_id(1).one(connection).await?;
    let row = row.ok_or_else(no_head)?;
    Ok(Head {
        epoch: row.epoch,
        revision: row.revision.unsigned_abs(),
        commit_token: row.commit_token.unwrap_or_default(),
    })
}

pub(super) fn no_head() -> DbErr {
    DbErr::RecordNotFound("the head of the configuration".to_owned())
}

pub(super) fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
