//! Selects rows: one by id or name, or a page of a list.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ModelTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::{StoreError, within};

/// One row, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By its id.
    Id(Uuid),
    /// By its name.
    Name(String),
}

/// The tags that a listed row must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// All of these.
    All(Vec<String>),
    /// One of these.
    Any(Vec<String>),
}

/// A page of a list; rows come in the order of their ids.
#[derive(Clone, Debug)]
pub struct Page {
    /// The maximum number of rows.
    pub size: u64,
    /// The last row of the previous page.
    pub after: Option<Uuid>,
    /// The tags that a row must have.
    pub tags: Option<Tags>,
}

/// The rows of one page.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The id that the next page begins after; `None` when this is the last.
    pub next: Option<Uuid>,
}

impl Selector {
    /// Parses an id, or else a name.
    pub fn parse(text: &str) -> Self {
        match Uuid::try_parse(text) {
            Ok(id) if text.len() == 36 => Self::Id(id),
            _ => Self::Name(text.to_owned()),
        }
    }
}

/// Returns the rows of `select` that are on the page.
pub(super) async fn list<E, C>(
    select: Select<E>,
    id: C,
    page: &Page,
    connection: &impl ConnectionTrait,
) -> Result<Listed<E::Model>, StoreError>
where
    E: EntityTrait,
    E::Model: ModelTrait<Entity = E> + Sync,
    C: ColumnTrait,
    E::Column: From<C>,
{
    let mut select = select.order_by_asc(id).limit(page.size + 1);
    if let Some(after) = page.after {
        select = select.filter(id.gt(after));
    }
    if let Some(tags) = &page.tags {
        select = select.filter(id.in_subquery(tagged(tags)));
    }
    let mut rows = within(select.all(connection)).await?;
    let more = rows.len() as u64 > page.size;
    rows.truncate(usize::try_from(page.size).unwrap_or(usize::MAX));
    let last = rows.last().filter(|_| more).and_then(|row| row.get(id.into()).unwrap::<Option<Uuid>>());
    Ok(Listed { rows, next: last })
}

/// Selects the ids with the tags: one look-up in the index of tags, however many tags there are.
fn tagged(tags: &Tags) -> SelectStatement {
    let (Tags::All(names) | Tags::Any(names)) = tags;
    let names: BTreeSet<&String> = names.iter().collect();
    let wanted = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let mut select = Query::select();
    select
        .column(Alias::new("entity_id"))
        .from(Alias::new("tag"))
        .and_where(Expr::col(Alias::new("tag")).is_in(names.into_iter().cloned()));
    if matches!(tags, Tags::All(_)) {
        let found = Expr::col(Alias::new("tag")).count();
        select.group_by_col(Alias::new("entity_id")).and_having(found.eq(wanted));
    }
    select.take()
}
