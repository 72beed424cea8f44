//! The rows of a write: documents, values of unique fields, references and tags.

use std::collections::{BTreeMap, HashSet};

use entity::{document, document_key, document_reference, document_tag};
use model::{Content, Reference};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;
use wire::{Key, Kind};

use super::super::document::{Document, Draft, by_kind, kind, number};
use super::super::pool::Transaction;
use super::super::{ROWS, Store, StoreError, within};
use super::batch::Batch;

/// A new form of a document.
pub(super) struct Update<'a> {
    pub(super) before: Document,
    /// The content before, which is read once.
    old: Content,
    pub(super) after: &'a Draft,
}

impl<'a> Update<'a> {
    pub(super) fn new(before: Document, after: &'a Draft) -> Self {
        Self { old: before.content(), before, after }
    }

    fn changes_values(&self) -> bool {
        self.old.unique != self.after.unique
    }

    fn changes_references(&self) -> bool {
        self.old.references != self.after.references
    }

    fn changes_tags(&self) -> bool {
        self.before.tags != self.after.document.tags
    }
}

/// A reference as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named {
    /// The entity that names the other one.
    pub(super) by: Key,
    field: String,
    to: Key,
}

impl Named {
    /// Whether the entity is deleted with the one that it names.
    pub(super) fn cascades(&self) -> bool {
        let fields = model::described(self.by.kind).map(model::Described::fields).unwrap_or_default();
        let declared = fields.iter().find(|declared| declared.name == self.field);
        declared
            .and_then(model::Field::target)
            .is_some_and(|target| target.on_delete == model::OnDelete::Cascade)
    }
}

/// Writes the new forms of documents, which are locked.
pub(super) async fn update(transaction: &Transaction, updates: &[Update<'_>]) -> Result<(), StoreError> {
    use document::Column::{Body, CreatedAt, Id, Kind, Tags, UpdatedAt};
    for some in updates.chunks(ROWS) {
        let rows = some.iter().map(|update| update.after.document.row().reset_all());
        let mut replacing = OnConflict::columns([Kind, Id]);
        replacing.update_columns([Body, Tags, CreatedAt, UpdatedAt]);
        let update = document::Entity::insert_many(rows).on_conflict(replacing);
        within(update.exec_without_returning(transaction)).await?;
    }
    Ok(())
}

/// Deletes documents. The database deletes what follows from them.
pub(super) async fn delete(transaction: &Transaction, gone: &[Document]) -> Result<(), StoreError> {
    use document::Column::{Id, Kind};
    delete_rows::<document::Entity>(transaction, (Kind, Id), keys(gone)).await
}

/// Deletes the values, references and tags of updated documents that are no longer true, and the values and
/// references of deleted ones: another entity of the write may take a value over.
pub(super) async fn take_away(
    transaction: &Transaction,
    updates: &[Update<'_>],
    deletes: &[Document],
) -> Result<(), StoreError> {
    let changed = |is_changed: fn(&Update<'_>) -> bool| {
        updates.iter().filter(move |update| is_changed(update)).map(|update| update.before.key)
    };
    let values = changed(|update| !update.old.unique.is_empty() && update.changes_values());
    let values = values.chain(keys(deletes));
    delete_rows::<document_key::Entity>(
        transaction,
        (document_key::Column::Kind, document_key::Column::Id),
        values,
    )
    .await?;
    let named = changed(|update| !update.old.references.is_empty() && update.changes_references());
    let named = named.chain(keys(deletes));
    delete_rows::<document_reference::Entity>(
        transaction,
        (document_reference::Column::Kind, document_reference::Column::Id),
        named,
    )
    .await?;
    let tagged = changed(|update| update.before.tags.is_some() && update.changes_tags());
    delete_rows::<document_tag::Entity>(
        transaction,
        (document_tag::Column::Kind, document_tag::Column::Id),
        tagged,
    )
    .await
}

fn keys(documents: &[Document]) -> impl Iterator<Item = Key> {
    documents.iter().map(|document| document.key)
}

/// Deletes the rows of these entities from a table.
async fn delete_rows<E: EntityTrait>(
    transaction: &Transaction,
    (kind_column, id_column): (E::Column, E::Column),
    keys: impl Iterator<Item = Key>,
) -> Result<(), StoreError> {
    for (kind, ids) in by_kind(keys) {
        for some in ids.chunks(ROWS) {
            let of_entities = E::delete_many()
                .filter(kind_column.eq(number(kind)))
                .filter(id_column.is_in(some.iter().copied()));
            within(of_entities.exec(transaction)).await?;
        }
    }
    Ok(())
}

/// Inserts new documents, their values, references and tags, and those of updated ones that have changed.
///
/// # Errors
/// [`StoreError::Changed`] when an id or a value is in use.
pub(super) async fn add(
    transaction: &Transaction,
    inserts: &[&Draft],
    updates: &[Update<'_>],
) -> Result<(), StoreError> {
    let (mut values, mut references, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    for draft in inserts {
        values.extend(rows_of_values(draft));
        references.extend(rows_of_references(draft));
        tags.extend(rows_of_tags(draft));
    }
    for update in updates {
        if update.changes_values() {
            values.extend(rows_of_values(update.after));
        }
        if update.changes_references() {
            references.extend(rows_of_references(update.after));
        }
        if update.changes_tags() {
            tags.extend(rows_of_tags(update.after));
        }
    }
    let place = |row: &document_key::ActiveModel| {
        (row.kind.clone().unwrap(), row.field.clone().unwrap(), row.value.clone().unwrap())
    };
    values.sort_by_cached_key(place);
    let mut batch = Batch::new(transaction);
    batch.add(inserts, |draft| draft.document.row()).await?;
    batch.add(&values, Clone::clone).await?;
    batch.add(&references, Clone::clone).await?;
    batch.add(&tags, Clone::clone).await?;
    // An id or a value is in use.
    if batch.finish().await? { Ok(()) } else { Err(StoreError::Changed) }
}

/// Returns the references to these entities.
pub(super) async fn naming(
    connection: &impl ConnectionTrait,
    keys: &[Key],
) -> Result<Vec<Named>, StoreError> {
    use document_reference::{Column, Entity};
    let mut found = Vec::new();
    for (to, ids) in by_kind(keys.iter().copied()) {
        for some in ids.chunks(ROWS) {
            let select = Entity::find()
                .filter(Column::ToKind.eq(number(to)))
                .filter(Column::ToId.is_in(some.iter().copied()));
            let rows = within(select.all(connection)).await?;
            found.extend(rows.into_iter().map(|row| Named {
                by: Key { kind: kind(row.kind), id: row.id },
                field: row.field,
                to: Key { kind: kind(row.to_kind), id: row.to_id },
            }));
        }
    }
    Ok(found)
}

/// The error that an entity is deleted while others still name it; `None` if none does. One that belongs to
/// the deleted entity in another way, `owned`, does not.
pub(super) fn still_named(found: &[Named], owned: &[Named]) -> Option<StoreError> {
    let owned: HashSet<Key> = owned.iter().map(|named| named.by).collect();
    let first =
        found.iter().filter(|named| !owned.contains(&named.by)).min_by_key(|named| (named.to, named.by))?;
    Some(StoreError::Referenced { to: first.to.kind, by: first.by.kind })
}

/// Returns the error that one of these references names no entity, if that is so. `made` says which entities
/// are part of the write.
pub(super) async fn missing(
    store: &Store,
    references: impl Iterator<Item = &Reference>,
    made: impl Fn(Key) -> bool,
) -> Result<Option<StoreError>, StoreError> {
    let mut by_target: BTreeMap<Key, &'static str> = BTreeMap::new();
    for reference in references.filter(|reference| !made(reference.to)) {
        by_target.entry(reference.to).or_insert(reference.field);
    }
    for (to, ids) in by_kind(by_target.keys().copied()) {
        for some in ids.chunks(ROWS) {
            let there = stored_ids(store, to, some).await?;
            if let Some(id) = some.iter().copied().find(|id| !there.contains(id)) {
                let to = Key { kind: to, id };
                return Ok(Some(StoreError::ForeignKey { field: by_target[&to], to }));
            }
        }
    }
    Ok(None)
}

fn rows_of_values(draft: &Draft) -> impl Iterator<Item = document_key::ActiveModel> {
    let Key { kind, id } = draft.document.key;
    draft.unique.iter().map(move |(field, value)| document_key::ActiveModel {
        kind: Set(number(kind)),
        field: Set((*field).to_owned()),
        value: Set(value.clone()),
        id: Set(id),
    })
}

fn rows_of_references(draft: &Draft) -> impl Iterator<Item = document_reference::ActiveModel> {
    let Key { kind, id } = draft.document.key;
    draft.references.iter().map(move |Reference { field, to, .. }| document_reference::ActiveModel {
        kind: Set(number(kind)),
        id: Set(id),
        field: Set((*field).to_owned()),
        to_kind: Set(number(to.kind)),
        to_id: Set(to.id),
    })
}

fn rows_of_tags(draft: &Draft) -> impl Iterator<Item = document_tag::ActiveModel> {
    let Key { kind, id } = draft.document.key;
    draft.document.tags.iter().flatten().map(move |tag| document_tag::ActiveModel {
        kind: Set(number(kind)),
        id: Set(id),
        tag: Set(tag.clone()),
    })
}

/// Returns one of these entities that exists.
pub(super) async fn existing(
    store: &Store,
    keys: impl Iterator<Item = Key>,
) -> Result<Option<Key>, StoreError> {
    for (kind, ids) in by_kind(keys) {
        for some in ids.chunks(ROWS) {
            if let Some(id) = stored_ids(store, kind, some).await?.into_iter().next() {
                return Ok(Some(Key { kind, id }));
            }
        }
    }
    Ok(None)
}

/// Returns those of the ids that entities of the kind have.
async fn stored_ids(store: &Store, kind: Kind, ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
    use document::{Column, Entity};
    let select =
        Entity::find().filter(Column::Kind.eq(number(kind))).filter(Column::Id.is_in(ids.iter().copied()));
    let select = select.select_only().column(Column::Id).into_tuple::<Uuid>();
    Ok(within(select.all(store.database())).await?.into_iter().collect())
}

/// The error that an entity has a value of one of these drafts, if that is so. `is_written` says which entities are
/// part of the write.
pub(super) async fn taken(
    store: &Store,
    drafts: impl Iterator<Item = &Draft>,
    is_written: impl Fn(Key) -> bool,
) -> Result<Option<StoreError>, StoreError> {
    use document_key::{Column, Entity};
    let mut wanted: BTreeMap<(Kind, &str), Vec<&str>> = BTreeMap::new();
    for draft in drafts {
        for (field, value) in &draft.unique {
            wanted.entry((draft.document.key.kind, field)).or_default().push(value);
        }
    }
    for ((kind, field), values) in wanted {
        for some in values.chunks(ROWS) {
            let select = Entity::find()
                .filter(Column::Kind.eq(number(kind)))
                .filter(Column::Field.eq(field))
                .filter(Column::Value.is_in(some.iter().copied()));
            let there = within(select.all(store.database())).await?;
            if let Some(taken) = there.into_iter().find(|row| !is_written(Key { kind, id: row.id })) {
                let fields = vec![(taken.field, taken.value)];
                return Ok(Some(StoreError::Unique { kind, fields }));
            }
        }
    }
    Ok(None)
}
