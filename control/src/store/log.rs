//! Reads the head, the change log, and all published entities.

use bytes::Bytes;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, DerivePartialModel, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;
use wire::Key;

use super::document::kind;
use super::pool::{Purpose, Transaction};
use super::select::{beyond, column};
use super::{ROWS, Store, StoreError, within};

/// The operation of a change whose bytes were blanked.
pub(super) const SUPERSEDED: i16 = 3;

/// Rows of the log that one step of trimming deletes.
const TRIMMED: u64 = ROWS as u64;

/// The head of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The epoch of the revision.
    pub epoch: Uuid,
    /// The number of writes so far.
    pub revision: u64,
    /// The random id of the last write. A database that was restored to the past and written to again may
    /// repeat epoch and revision, but not the commit token. Nil before the first write.
    pub commit_token: Uuid,
}

impl Head {
    /// Whether this is the next one after `before`, with the commit token before this one.
    pub(super) fn follows(self, before: Self, previous: Uuid) -> bool {
        (self.epoch, self.revision, previous) == (before.epoch, before.revision + 1, before.commit_token)
    }
}

/// One change of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// The revision that it belongs to.
    pub revision: u64,
    /// The commit token of that revision.
    pub commit_token: Uuid,
    /// The commit token of the revision before.
    pub previous: Uuid,
    /// The key of the changed entity.
    pub key: Key,
    /// Its canonical bytes, or `None` when it was deleted, or when they are `superseded`.
    pub value: Option<Bytes>,
    /// Whether a later revision changed it too, and its bytes held a secret that the log does not keep.
    pub superseded: bool,
}

impl Store {
    /// Returns the head.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn head(&self) -> Result<Head, StoreError> {
        self.file_in_place()?;
        within(head(self.database())).await
    }

    /// Returns the changes of the revisions after `from` up to and with `to`, in the order of commits.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changes(&self, from: u64, to: u64) -> Result<Vec<LoggedChange>, StoreError> {
        // In pages: a revision may have 100,000 changes, and a row needs many times the memory of its bytes.
        let (mut changes, mut after) = (Vec::new(), (from, i32::MAX));
        loop {
            let rows =
                within(log_page(after, to).into_partial_model::<LogRow>().all(self.database())).await?;
            let last = rows.last().map(|row| (row.revision.unsigned_abs(), row.ordinal));
            let full = rows.len() == ROWS;
            changes.extend(rows.into_iter().map(LoggedChange::from));
            match last.filter(|_| full) {
                Some(last) => after = last,
                None => return Ok(changes),
            }
        }
    }

    /// Replaces `epoch` by a new one: the database was restored to the past, so its next revisions would
    /// repeat the numbers of earlier ones.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn leave_epoch(&self, epoch: Uuid) -> Result<(), StoreError> {
        use entity::config_head::{Column, Entity};
        let _writer = self.turn().await?;
        let update = Entity::update_many()
            .col_expr(Column::Epoch, Expr::value(Uuid::new_v4()))
            // Another control plane may have noticed too.
            .filter(Column::Epoch.eq(epoch))
            .exec(self.database());
        within(update).await.map(drop)
    }

    /// Returns the commit token of a revision that the log still has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stamp_of(&self, revision: u64) -> Result<Option<Uuid>, StoreError> {
        let first = entity::config_change::Entity::find_by_id((signed(revision), 0));
        Ok(within(first.one(self.database())).await?.map(|row| row.commit_token.unwrap_or_default()))
    }

    /// Returns the epoch that an operator has confirmed for the data planes.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn confirmed_epoch(&self) -> Result<Option<Uuid>, StoreError> {
        let row = entity::config_head::Entity::find_by_id(1).one(self.database());
        Ok(within(row).await?.and_then(|row| row.confirmed_epoch))
    }

    /// Confirms `epoch` for the data planes, if the database has this epoch.
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

    /// Returns the first revision that the log has completely; `None` when it has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn log_begins(&self) -> Result<Option<u64>, StoreError> {
        let first = within(first_change().one(self.database())).await?;
        // Trimming a revision deletes its first change first.
        Ok(first.map(|row| row.revision.unsigned_abs() + u64::from(row.ordinal != 0)))
    }

    /// Deletes the changes of `revision` and before, some rows at a time, so that writers need not wait for
    /// all.
    ///
    /// # Errors
    /// When the database cannot be written; some changes may have been deleted.
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

    /// Returns the head, and the canonical bytes of every published entity at it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn published(&self) -> Result<(Head, Vec<(Key, Bytes)>), StoreError> {
        let read = within(self.database().begin(Purpose::Read)).await?;
        let head = within(head(&read)).await?;
        let mut published = Vec::new();
        publish(&read, &mut published).await?;
        within(read.commit()).await?;
        Ok((head, published))
    }
}

/// The columns of a change that its followers need.
#[derive(Clone, Debug, DerivePartialModel)]
#[sea_orm(entity = "entity::config_change::Entity")]
struct LogRow {
    revision: i64,
    ordinal: i32,
    kind: i16,
    id: Uuid,
    op: i16,
    bytes: Vec<u8>,
    commit_token: Option<Uuid>,
    previous: Option<Uuid>,
}

impl From<LogRow> for LoggedChange {
    fn from(row: LogRow) -> Self {
        Self {
            revision: row.revision.unsigned_abs(),
            commit_token: row.commit_token.unwrap_or_default(),
            previous: row.previous.unwrap_or_default(),
            key: Key { kind: kind(row.kind), id: row.id },
            superseded: row.op == SUPERSEDED,
            value: (row.op == 1).then(|| row.bytes.into()),
        }
    }
}

fn first_change() -> Select<entity::config_change::Entity> {
    use entity::config_change::{Column, Entity};
    Entity::find().order_by_asc(Column::Revision).order_by_asc(Column::Ordinal)
}

/// Selects the rows after a revision and an ordinal, up to and with the revision `to`.
fn log_page((revision, ordinal): (u64, i32), to: u64) -> Select<entity::config_change::Entity> {
    use entity::config_change::{Column, Entity};
    // As one comparison: otherwise SQLite looks at all changes of the revision up to the ordinal.
    let place = Expr::tuple([column("revision"), column("ordinal")]);
    Entity::find()
        .filter(place.gt(Expr::tuple([Expr::value(signed(revision)), Expr::value(ordinal)])))
        .filter(Column::Revision.lte(signed(to)))
        .order_by_asc(Column::Revision)
        .order_by_asc(Column::Ordinal)
        .limit(ROWS as u64)
}

/// Adds all entities, in pages: rows need several times the memory of their bytes.
async fn publish(read: &Transaction, published: &mut Vec<(Key, Bytes)>) -> Result<(), StoreError> {
    use entity::document::{Column, Entity};
    let mut after: Option<Key> = None;
    loop {
        let mut select =
            Entity::find().order_by_asc(Column::Kind).order_by_asc(Column::Id).limit(ROWS as u64);
        if let Some(after) = after {
            select = select.filter(beyond(after));
        }
        let select = select.select_only().columns([Column::Kind, Column::Id, Column::Body]);
        let rows = within(select.into_tuple::<(i16, Uuid, String)>().all(read)).await?;
        let full = rows.len() == ROWS;
        let entities = rows.into_iter().map(|(number, id, body)| {
            (Key { kind: kind(number), id }, Bytes::from(body.into_bytes().into_boxed_slice()))
        });
        published.extend(entities);
        match published.last() {
            Some((last, _)) if full => after = Some(*last),
            _ => return Ok(()),
        }
    }
}

/// Reads the head on this connection.
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
