//! The history of the configuration: who wrote which revision, and what the configuration was at an earlier
//! one. It reaches as far back as the change log.

use std::collections::{BTreeMap, HashMap};

use entity::config_change::{Column, Entity};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DerivePartialModel, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;
use wire::Key;

use super::before::Before;
use super::document::{Document, kind};
use super::log::{self, Head, signed};
use super::pool::{Purpose, Transaction};
use super::{ROWS, Store, StoreError, select, within};
use crate::off_workers::wait_off_workers;

/// Changes that one revision of a list shows.
const SHOWN: i32 = 100;

/// One revision: who made it, when, and what it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// When it was written, in seconds since 1970; `None` if an older version wrote it.
    pub written_at: Option<i64>,
    /// The name of the token or certificate.
    pub author: Option<String>,
    /// The address of the client.
    pub source: Option<String>,
    /// The first of its changes, in their order.
    pub changes: Vec<RevisedEntity>,
    /// The number of its changes.
    pub count: u64,
}

/// An entity that a revision changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisedEntity {
    /// The entity.
    pub key: Key,
    /// What happened to it.
    pub operation: Operation,
}

/// What a revision did to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It was created.
    Create,
    /// It was changed.
    Update,
    /// It was deleted.
    Delete,
}

/// The configuration of one revision.
#[derive(Clone, Debug)]
pub struct Past {
    /// The head at which it was read.
    pub head: Head,
    /// The entities now.
    pub now: Vec<Document>,
    /// The entities then. A secret that was replaced or deleted since is not kept: [`model::HIDDEN`] is in its
    /// place.
    pub then: Vec<Document>,
}

/// The columns that a list of revisions needs.
#[derive(Clone, Debug, DerivePartialModel)]
#[sea_orm(entity = "entity::config_change::Entity")]
struct HistoryRow {
    revision: i64,
    ordinal: i32,
    kind: i16,
    id: Uuid,
    op: i16,
    written_at: Option<i64>,
    author: Option<String>,
    source: Option<String>,
    #[sea_orm(from_expr = "Expr::col(Column::Before).is_not_null()")]
    existed: bool,
}

/// A change with what was before it.
#[derive(Clone, Debug, DerivePartialModel)]
#[sea_orm(entity = "entity::config_change::Entity")]
struct BeforeRow {
    revision: i64,
    ordinal: i32,
    kind: i16,
    id: Uuid,
    written_at: Option<i64>,
    before: Option<String>,
}

impl Store {
    /// Returns at most `size` revisions before `before`, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn revisions(&self, size: u64, before: Option<u64>) -> Result<Vec<Revision>, StoreError> {
        let mut first =
            Entity::find().filter(Column::Ordinal.eq(0)).order_by_desc(Column::Revision).limit(size);
        if let Some(before) = before {
            first = first.filter(Column::Revision.lt(signed(before)));
        }
        let first = within(first.into_partial_model::<HistoryRow>().all(self.database())).await?;
        let numbers: Vec<i64> = first.iter().map(|row| row.revision).collect();
        let shown = Entity::find()
            .filter(Column::Revision.is_in(numbers.iter().copied()))
            .filter(Column::Ordinal.lt(SHOWN))
            .order_by_asc(Column::Ordinal);
        let shown = within(shown.into_partial_model::<HistoryRow>().all(self.database())).await?;
        let counts = Entity::find()
            .select_only()
            .column(Column::Revision)
            .column_as(Column::Ordinal.max(), "last")
            .filter(Column::Revision.is_in(numbers))
            .group_by(Column::Revision)
            .into_tuple::<(i64, i32)>();
        let counts: HashMap<i64, i32> = within(counts.all(self.database())).await?.into_iter().collect();
        let mut changes: HashMap<i64, Vec<RevisedEntity>> = HashMap::new();
        for row in shown {
            changes.entry(row.revision).or_default().push(RevisedEntity::from(&row));
        }
        let revision = |row: HistoryRow| Revision {
            revision: row.revision.unsigned_abs(),
            written_at: row.written_at,
            author: row.author,
            source: row.source,
            changes: changes.remove(&row.revision).unwrap_or_default(),
            count: counts.get(&row.revision).map_or(0, |last| u64::from(last.unsigned_abs()) + 1),
        };
        Ok(first.into_iter().map(revision).collect())
    }

    /// Returns every entity, and the head, in one state of the database. Off the runtime's workers: the list
    /// alone takes so much memory that making room for it takes long.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn every(&self) -> Result<(Head, Vec<Document>), StoreError> {
        let store = self.clone();
        wait_off_workers(async move {
            let read = within(store.database().begin(Purpose::Read)).await?;
            let head = within(log::head(&read)).await?;
            let all = select::every(&read).await?;
            within(read.commit()).await?;
            Ok((head, all))
        })
        .await
    }

    /// Returns the configuration at a revision, beside that of now.
    ///
    /// # Errors
    /// [`StoreError::BeyondLog`] when the log does not reach so far back, or the revision is not there yet;
    /// else when the database cannot be read.
    pub async fn past(&self, revision: u64) -> Result<Past, StoreError> {
        let store = self.clone();
        wait_off_workers(async move {
            let read = within(store.database().begin(Purpose::Read)).await?;
            let head = within(log::head(&read)).await?;
            let now = select::every(&read).await?;
            let undone = undone(&read, revision, head).await?;
            let first = if undone.is_none() { history_begins(&read, head).await? } else { revision };
            within(read.commit()).await?;
            let undone = undone.ok_or(StoreError::BeyondLog { revision, first, last: head.revision })?;
            let untouched = now.iter().filter(|document| !undone.contains_key(&document.key)).cloned();
            let mut then: Vec<Document> = untouched.chain(undone.values().flatten().cloned()).collect();
            then.sort_by_key(|document| document.key);
            Ok(Past { head, now, then })
        })
        .await
    }
}

impl From<&HistoryRow> for RevisedEntity {
    fn from(row: &HistoryRow) -> Self {
        let operation = match (row.op, row.existed) {
            (2, _) => Operation::Delete,
            (_, false) => Operation::Create,
            (_, true) => Operation::Update,
        };
        Self { key: Key { kind: kind(row.kind), id: row.id }, operation }
    }
}

/// What entities were before they were changed; `None` for one that did not exist.
type Undone = BTreeMap<Key, Option<Document>>;

/// What each entity that was changed after a revision was at it. `None` if the log does not have all of these
/// changes, or the revision is not there yet.
async fn undone(read: &Transaction, revision: u64, head: Head) -> Result<Option<Undone>, StoreError> {
    if revision > head.revision {
        return Ok(None);
    }
    let (mut undone, mut after, mut expected) = (BTreeMap::new(), (signed(revision), i32::MAX), revision);
    loop {
        let same = Column::Revision.eq(after.0).and(Column::Ordinal.gt(after.1));
        let rows = Entity::find()
            .filter(Column::Revision.gt(after.0).or(same))
            .filter(Column::Revision.gte(after.0))
            .order_by_asc(Column::Revision)
            .order_by_asc(Column::Ordinal)
            .limit(ROWS as u64);
        let rows = within(rows.into_partial_model::<BeforeRow>().all(read)).await?;
        for row in &rows {
            let number = row.revision.unsigned_abs();
            // Revisions have no gap: the first that is missing was trimmed from the log. Older versions did
            // not write what was before.
            let is_next = number == expected || (number == expected + 1 && row.ordinal == 0);
            if !is_next || row.written_at.is_none() {
                return Ok(None);
            }
            expected = number;
            let key = Key { kind: kind(row.kind), id: row.id };
            let before = match row.before.as_deref().map(|text| Before::read(key, text)) {
                None => None,
                Some(Some(before)) => Some(before),
                // What was there is not known.
                Some(None) => return Ok(None),
            };
            undone.entry(key).or_insert(before);
        }
        match rows.last() {
            Some(last) if rows.len() == ROWS => after = (last.revision, last.ordinal),
            _ => break,
        }
    }
    Ok((expected == head.revision).then_some(undone))
}

/// The first revision whose configuration the log still knows.
async fn history_begins(read: &Transaction, head: Head) -> Result<u64, StoreError> {
    let first = Entity::find().order_by_asc(Column::Revision).order_by_asc(Column::Ordinal);
    let first = within(first.into_partial_model::<HistoryRow>().one(read)).await?;
    let trimmed = first.map_or(head.revision, |row| {
        // Trimming a revision deletes its first change first.
        row.revision.unsigned_abs() - u64::from(row.ordinal == 0)
    });
    let old = Entity::find().select_only().column_as(Column::Revision.max(), "last");
    let old = old.filter(Column::WrittenAt.is_null()).into_tuple::<Option<i64>>();
    let old = within(old.one(read)).await?.flatten().unwrap_or_default();
    Ok(Ord::max(trimmed, old.unsigned_abs()))
}
