//! Operations that the tables of published entities share: read by id or name, list, put, delete.

use std::marker::PhantomData;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IdenStatic, IntoActiveModel, Iterable, ModelTrait,
    PrimaryKeyTrait, QueryFilter, QuerySelect,
};
use uuid::Uuid;
use wire::{Key, Kind};

use super::references::{self, Reference};
use super::select::{self, Listed, Page, Selector};
use super::write::{Write, Written};
use super::{ROWS, Store, StoreError, tags, within};

/// A table whose rows are published.
pub trait Table:
    EntityTrait<
        Model: ModelTrait<Entity = Self>
                   + IntoActiveModel<<Self as EntityTrait>::ActiveModel>
                   + Clone
                   + PartialEq
                   + Send
                   + Sync
                   + 'static,
        ActiveModel: ActiveModelTrait<Entity = Self> + Send,
        PrimaryKey: PrimaryKeyTrait<ValueType = Uuid>,
    >
{
    /// The kind of the entities.
    const KIND: Kind;
    /// The collection's name.
    const COLLECTION: &'static str;
    /// The column of ids.
    const ID: Self::Column;
    /// The column of names, if the rows have one.
    const NAME: Option<Self::Column>;

    /// Returns the row's id.
    fn id(row: &Self::Model) -> Uuid;

    /// Returns the row's list of tags.
    fn tags(row: &Self::Model) -> Option<&sea_orm::JsonValue>;

    /// Returns the canonical bytes of the entity.
    fn bytes(row: &Self::Model) -> Vec<u8>;

    /// Returns the references that are no foreign keys of the database.
    fn references(_row: &Self::Model) -> Vec<Reference> {
        Vec::new()
    }

    /// Converts the error that this row could not be put.
    fn not_put(row: &Self::Model, error: StoreError) -> StoreError;

    /// Deletes rows that have no use without this one.
    fn release(_write: &mut Write<'_>, _id: Uuid) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Converts the error that a row could not be deleted.
    fn not_deleted(error: StoreError) -> StoreError {
        error
    }
}

/// A row of a table.
pub type Row<T> = <T as EntityTrait>::Model;

/// A table whose rows belong to those of another.
pub trait Child: Table {
    /// The column that names the other row.
    const PARENT: Self::Column;
}

/// The rows of a table.
#[derive(Debug)]
pub struct Rows<'a, T> {
    store: &'a Store,
    table: PhantomData<T>,
}

impl<'a, T: Table> Rows<'a, T> {
    pub(super) const fn new(store: &'a Store) -> Self {
        Self { store, table: PhantomData }
    }

    pub(super) const fn store(&self) -> &'a Store {
        self.store
    }

    /// Returns one row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn get(&self, which: &Selector) -> Result<Option<T::Model>, StoreError> {
        let select = match which {
            Selector::Id(id) => T::find().filter(T::ID.eq(*id)),
            Selector::Name(name) => match T::NAME {
                Some(column) => T::find().filter(column.eq(name)),
                None => return Ok(None),
            },
        };
        within(select.one(self.store.database())).await
    }

    /// Returns a page of rows.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, page: &Page) -> Result<Listed<T::Model>, StoreError> {
        select::list(T::find(), T::ID, page, self.store.database()).await
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// When its id or its name is in use, it names a row that does not exist, or the database fails.
    pub async fn insert(&self, row: T::Model) -> Result<Written<T::Model>, StoreError> {
        self.put(row, false).await
    }

    /// Inserts a row, or replaces the one with its id.
    ///
    /// # Errors
    /// When its name is in use, it names a row that does not exist, or the database fails.
    pub async fn upsert(&self, row: T::Model) -> Result<Written<T::Model>, StoreError> {
        self.put(row, true).await
    }

    /// Replaces `before`, as it was read, by a row. An equal row makes no revision: tools that write the
    /// desired state again and again do not move the head.
    ///
    /// # Errors
    /// When the row has changed since it was read; else the same as for [`Rows::upsert`].
    pub async fn replace(&self, before: &T::Model, row: T::Model) -> Result<Written<T::Model>, StoreError> {
        let mut write = self.store.write().await?;
        unchanged::<T>(&write, before).await?;
        if says_the_same::<T>(before, &row) {
            return Ok(Written { revision: write.commit().await?, row: before.clone() });
        }
        put::<T>(&mut write, std::slice::from_ref(&row), true).await?;
        Ok(Written { revision: write.commit().await?, row })
    }

    /// Deletes a row and returns the revision; `None` when there was none.
    ///
    /// # Errors
    /// When other rows name it, or the database fails.
    pub async fn delete(&self, id: Uuid) -> Result<Option<u64>, StoreError> {
        let mut write = self.store.write().await?;
        if !delete::<T>(&mut write, id).await? {
            return Ok(None);
        }
        write.commit().await.map(Some)
    }

    async fn put(&self, row: T::Model, replace: bool) -> Result<Written<T::Model>, StoreError> {
        let mut write = self.store.write().await?;
        put::<T>(&mut write, std::slice::from_ref(&row), replace).await?;
        Ok(Written { revision: write.commit().await?, row })
    }
}

impl<T: Child> Rows<'_, T> {
    /// Returns a page of the rows that belong to a row of another table.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list_of(&self, parent: Uuid, page: &Page) -> Result<Listed<T::Model>, StoreError> {
        select::list(T::find().filter(T::PARENT.eq(parent)), T::ID, page, self.store.database()).await
    }

    /// Inserts a row of another table, and replaces `before` by `row`, which belongs to it: both at one
    /// revision, or neither.
    ///
    /// # Errors
    /// The same as for [`Rows::insert`] and [`Rows::replace`].
    pub async fn replace_under<P: Table>(
        &self,
        parent: P::Model,
        before: &T::Model,
        row: T::Model,
    ) -> Result<Written<P::Model>, StoreError> {
        let mut write = self.store.write().await?;
        unchanged::<T>(&write, before).await?;
        put::<P>(&mut write, std::slice::from_ref(&parent), false).await?;
        put::<T>(&mut write, std::slice::from_ref(&row), true).await?;
        Ok(Written { revision: write.commit().await?, row: parent })
    }
}

/// Inserts rows, or, if `replace`, replaces those with their ids.
pub(super) async fn put<T: Table>(
    write: &mut Write<'_>,
    rows: &[T::Model],
    replace: bool,
) -> Result<(), StoreError> {
    references::exist(write, rows.iter().flat_map(T::references)).await?;
    for some in rows.chunks(ROWS) {
        // Sets every value, also those that a conversion would count as unchanged.
        let insert = T::insert_many(some.iter().map(|row| row.clone().into_active_model().reset_all()));
        let insert = if replace { insert.on_conflict(replacing::<T>()) } else { insert };
        within(insert.exec_without_returning(write.rows())).await.map_err(|error| match some {
            [row] => T::not_put(row, error),
            _ => error,
        })?;
        if replace {
            within(tags::delete(write.rows(), some.iter().map(|row| T::id(row)).collect())).await?;
        }
        let tags = some.iter().flat_map(|row| tags::of(T::id(row), T::COLLECTION, T::tags(row))).collect();
        within(tags::insert(write.rows(), tags)).await?;
    }
    rows.iter().for_each(|row| write.put(Key { kind: T::KIND, id: T::id(row) }, T::bytes(row)));
    Ok(())
}

/// Deletes a row, and returns whether there was one.
pub(super) async fn delete<T: Table>(write: &mut Write<'_>, id: Uuid) -> Result<bool, StoreError> {
    T::release(write, id).await?;
    let deleted = within(T::delete_by_id(id).exec(write.rows())).await.map_err(T::not_deleted)?;
    if deleted.rows_affected == 0 {
        return Ok(false);
    }
    references::none_to(write, T::KIND, id).await?;
    within(tags::delete(write.rows(), vec![id])).await?;
    write.delete(Key { kind: T::KIND, id });
    Ok(true)
}

/// Checks that a row is as it was read, and locks it until the end of the write. Another control plane may
/// have changed or deleted it.
pub(super) async fn unchanged<T: Table>(write: &Write<'_>, before: &T::Model) -> Result<(), StoreError> {
    let now = within(T::find_by_id(T::id(before)).lock_exclusive().one(write.rows())).await?;
    if now.as_ref() == Some(before) { Ok(()) } else { Err(StoreError::Changed) }
}

/// Whether two rows differ only in the time of their writing.
pub(super) fn says_the_same<T: Table>(one: &T::Model, other: &T::Model) -> bool {
    let mut columns = T::Column::iter().filter(|column| column.as_str() != "updated_at");
    columns.all(|column| one.get(column) == other.get(column))
}

fn replacing<T: Table>() -> OnConflict {
    let columns = T::Column::iter().filter(|column| column.as_str() != T::ID.as_str());
    OnConflict::column(T::ID).update_columns(columns).to_owned()
}
