//! Selects documents: one by its id or a unique value, a page of a list, or all of one state.

use std::collections::BTreeSet;

use entity::document::{Column, Entity};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;
use wire::{Key, Kind};

use super::document::{Document, number};
use super::{Store, StoreError, within};

/// One entity of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By its id.
    Id(Uuid),
    /// By the value of a unique field.
    Unique {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

/// The tags that a listed entity must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// All of these.
    All(Vec<String>),
    /// One of these.
    Any(Vec<String>),
}

/// A page of a list; entities come in the order of their ids.
#[derive(Clone, Debug)]
pub struct Page {
    /// The maximum number of entities.
    pub size: u64,
    /// The last entity of the previous page.
    pub after: Option<Uuid>,
    /// The tags that an entity must have.
    pub tags: Option<Tags>,
    /// The entity that each must name in this field.
    pub of: Option<(&'static str, Uuid)>,
}

/// The entities of one page.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The entities.
    pub documents: Vec<Document>,
    /// The id that the next page begins after; `None` when this is the last.
    pub next: Option<Uuid>,
}

impl Store {
    /// Returns one entity.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn get(&self, kind: Kind, which: &Selector) -> Result<Option<Document>, StoreError> {
        let select = match which {
            Selector::Id(id) => Entity::find_by_id((number(kind), *id)),
            Selector::Unique { field, value } => {
                of_kind(kind).filter(Column::Id.in_subquery(with_value(kind, field, value)))
            }
        };
        let row = within(select.one(self.database())).await?;
        Ok(row.map(Document::from))
    }

    /// Returns a page of the entities of a kind.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, kind: Kind, page: &Page) -> Result<Listed, StoreError> {
        list(kind, page, self.database()).await
    }
}

/// Returns the entities of a kind that are on the page.
pub(super) async fn list(
    kind: Kind,
    page: &Page,
    connection: &impl ConnectionTrait,
) -> Result<Listed, StoreError> {
    let mut select = of_kind(kind).order_by_asc(Column::Id).limit(page.size + 1);
    if let Some(after) = page.after {
        select = select.filter(Column::Id.gt(after));
    }
    if let Some(tags) = &page.tags {
        select = select.filter(Column::Id.in_subquery(tagged(kind, tags)));
    }
    if let Some((field, to)) = page.of {
        select = select.filter(Column::Id.in_subquery(naming(kind, field, to)));
    }
    let rows = within(select.all(connection)).await?;
    let mut documents: Vec<Document> = rows.into_iter().map(Document::from).collect();
    let more = documents.len() as u64 > page.size;
    documents.truncate(usize::try_from(page.size).unwrap_or(usize::MAX));
    let next = documents.last().filter(|_| more).map(|document| document.key.id);
    Ok(Listed { documents, next })
}

/// Returns the entities of all kinds, in the order of their keys.
pub(super) async fn every(connection: &impl ConnectionTrait) -> Result<Vec<Document>, StoreError> {
    let (mut all, mut after): (Vec<Document>, Option<Key>) = (Vec::new(), None);
    loop {
        let select =
            Entity::find().order_by_asc(Column::Kind).order_by_asc(Column::Id).limit(super::ROWS as u64);
        let select = match after {
            Some(after) => select.filter(beyond(after)),
            None => select,
        };
        let rows = within(select.all(connection)).await?;
        let full = rows.len() == super::ROWS;
        all.extend(rows.into_iter().map(Document::from));
        match all.last() {
            Some(last) if full => after = Some(last.key),
            _ => return Ok(all),
        }
    }
}

/// The documents after this one, in the order of keys. As one comparison: only so SQLite begins its search in
/// the index there, and not at the beginning.
pub(super) fn beyond(after: Key) -> SimpleExpr {
    let key = Expr::tuple([column("kind"), column("id")]);
    key.gt(Expr::tuple([Expr::value(number(after.kind)), Expr::value(after.id)]))
}

/// Returns those of the entities that exist, and locks them until the end of the transaction: another
/// control plane may change or delete them.
pub(super) async fn locked(
    keys: impl Iterator<Item = Key>,
    connection: &impl ConnectionTrait,
) -> Result<Vec<Document>, StoreError> {
    let mut found = Vec::new();
    for (kind, ids) in super::document::by_kind(keys) {
        for some in ids.chunks(super::ROWS) {
            let select = of_kind(kind).filter(Column::Id.is_in(some.iter().copied()));
            // In one order, so that two transactions do not wait for each other.
            let rows = within(select.order_by_asc(Column::Id).lock_exclusive().all(connection)).await?;
            found.extend(rows.into_iter().map(Document::from));
        }
    }
    Ok(found)
}

fn of_kind(kind: Kind) -> Select<Entity> {
    Entity::find().filter(Column::Kind.eq(number(kind)))
}

pub(super) fn column(name: &'static str) -> Expr {
    Expr::col(Alias::new(name))
}

fn ids_from(table: &'static str, kind: Kind) -> SelectStatement {
    let mut select = Query::select();
    select.column(Alias::new("id")).from(Alias::new(table)).and_where(column("kind").eq(number(kind)));
    select.take()
}

fn with_value(kind: Kind, field: &str, value: &str) -> SelectStatement {
    let mut select = ids_from("document_key", kind);
    select.and_where(column("field").eq(field)).and_where(column("value").eq(value));
    select
}

/// Selects the ids with the tags: one look-up in the index of tags, however many tags there are.
fn tagged(kind: Kind, tags: &Tags) -> SelectStatement {
    let (Tags::All(names) | Tags::Any(names)) = tags;
    let names: BTreeSet<&String> = names.iter().collect();
    let wanted = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let mut select = ids_from("document_tag", kind);
    select.and_where(column("tag").is_in(names.into_iter().cloned()));
    if matches!(tags, Tags::All(_)) {
        let found = column("tag").count();
        select.group_by_col(Alias::new("id")).and_having(found.eq(wanted));
    }
    select
}

/// Selects the ids that name an entity in a field, whatever its kind: a field names one kind alone.
fn naming(kind: Kind, field: &str, to: Uuid) -> SelectStatement {
    let mut select = ids_from("document_reference", kind);
    let target = model::described(kind)
        .and_then(|described| described.fields().iter().find(|declared| declared.name == field))
        .and_then(model::Field::target);
    if let Some(target) = target {
        select.and_where(column("to_kind").eq(number(target.kind)));
    }
    select.and_where(column("to_id").eq(to)).and_where(column("field").eq(field));
    select
}
