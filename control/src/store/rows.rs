//! What the tables of published entities have in common: read by id or name, list, put, delete.

use std::marker::PhantomData;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IdenStatic, IntoActiveModel, Iterable, ModelTrait,
    PrimaryKeyTrait, QueryFilter,
};
use uuid::Uuid;
use wire::{Key, Kind};

use super::select::{self, Listed, Page, Selector};
use super::write::{Write, Written};
use super::{Store, StoreError, within};

/// A table whose rows are published.
pub trait Table:
    EntityTrait<
        Model: ModelTrait<Entity = Self>
                   + IntoActiveModel<<Self as EntityTrait>::ActiveModel>
                   + Clone
                   + Send
                   + Sync
                   + 'static,
        ActiveModel: ActiveModelTrait<Entity = Self> + Send,
        PrimaryKey: PrimaryKeyTrait<ValueType = Uuid>,
    >
{
    /// Of the entities.
    const KIND: Kind;
    /// The collection's name.
    const COLLECTION: &'static str;
    /// Its column of ids.
    const ID: Self::Column;
    /// Its column of names.
    const NAME: Self::Column;

    /// The row's id.
    fn id(row: &Self::Model) -> Uuid;

    /// The row's list of tags.
    fn tags(row: &Self::Model) -> Option<&sea_orm::JsonValue>;

    /// The canonical bytes of the entity.
    fn bytes(row: &Self::Model) -> Vec<u8>;

    /// What it means that this row could not be put.
    fn not_put(row: &Self::Model, error: StoreError) -> StoreError;

    /// What it means that a row could not be deleted.
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

    /// One row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn get(&self, which: &Selector) -> Result<Option<T::Model>, StoreError> {
        let select = match which {
            Selector::Id(id) => T::find().filter(T::ID.eq(*id)),
            Selector::Name(name) => T::find().filter(T::NAME.eq(name)),
        };
        within(select.one(self.store.database())).await
    }

    /// A page of rows.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, page: &Page) -> Result<Listed<T::Model>, StoreError> {
        select::list(T::find(), T::ID, page, self.store.database()).await
    }

    /// Puts a new row.
    ///
    /// # Errors
    /// When its id or its name is taken, it names what is not there, or the database fails.
    pub async fn insert(&self, row: T::Model) -> Result<Written<T::Model>, StoreError> {
        self.put(row, false).await
    }

    /// Puts a row, new or in place of the one with its id.
    ///
    /// # Errors
    /// When its name is taken, it names what is not there, or the database fails.
    pub async fn upsert(&self, row: T::Model) -> Result<Written<T::Model>, StoreError> {
        self.put(row, true).await
    }

    /// Deletes a row and answers with the revision; `None` when there was none.
    ///
    /// # Errors
    /// When other rows name it, or the database fails.
    pub async fn delete(&self, id: Uuid) -> Result<Option<u64>, StoreError> {
        let mut write = self.store.write().await?;
        let deleted = within(T::delete_by_id(id).exec(write.rows())).await.map_err(T::not_deleted)?;
        if deleted.rows_affected == 0 {
            return Ok(None);
        }
        write.tag(id, T::COLLECTION, None).await?;
        write.delete(Key { kind: T::KIND, id });
        write.commit().await.map(Some)
    }

    async fn put(&self, row: T::Model, replace: bool) -> Result<Written<T::Model>, StoreError> {
        let mut write = self.store.write().await?;
        put::<T>(&mut write, &row, replace).await?;
        Ok(Written { revision: write.commit().await?, row })
    }
}

impl<T: Child> Rows<'_, T> {
    /// A page of the rows that belong to one of another table.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list_of(&self, parent: Uuid, page: &Page) -> Result<Listed<T::Model>, StoreError> {
        select::list(T::find().filter(T::PARENT.eq(parent)), T::ID, page, self.store.database()).await
    }

    /// Puts a new row of another table and one that belongs to it: both at one revision, or neither.
    ///
    /// # Errors
    /// As of [`Rows::insert`] for the one and of [`Rows::upsert`] for the other.
    pub async fn upsert_under<P: Table>(
        &self,
        parent: P::Model,
        row: &T::Model,
    ) -> Result<Written<P::Model>, StoreError> {
        let mut write = self.store.write().await?;
        put::<P>(&mut write, &parent, false).await?;
        put::<T>(&mut write, row, true).await?;
        Ok(Written { revision: write.commit().await?, row: parent })
    }
}

async fn put<T: Table>(write: &mut Write<'_>, row: &T::Model, replace: bool) -> Result<(), StoreError> {
    // Every value is set, also those that a conversion would call unchanged.
    let insert = T::insert(row.clone().into_active_model().reset_all());
    let insert = if replace { insert.on_conflict(replacing::<T>()) } else { insert };
    within(insert.exec_without_returning(write.rows())).await.map_err(|error| T::not_put(row, error))?;
    let id = T::id(row);
    write.tag(id, T::COLLECTION, T::tags(row)).await?;
    write.put(Key { kind: T::KIND, id }, T::bytes(row));
    Ok(())
}

fn replacing<T: Table>() -> OnConflict {
    let columns = T::Column::iter().filter(|column| column.as_str() != T::ID.as_str());
    OnConflict::column(T::ID).update_columns(columns).to_owned()
}
