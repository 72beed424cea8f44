//! Services.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, Iterable, QueryFilter};
use uuid::Uuid;
use wire::Key;

use super::select::{self, Listed, Page, Selector};
use super::write::Written;
use super::{Store, StoreError, is_foreign_key, unique_or, within};
use crate::snapshot;
use entity::service::{Column, Entity, Model};

const COLLECTION: &str = "services";

/// The services.
#[derive(Debug)]
pub struct Services<'a>(pub(super) &'a Store);

impl Services<'_> {
    /// One service.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn get(&self, which: &Selector) -> Result<Option<Model>, StoreError> {
        let select = match which {
            Selector::Id(id) => Entity::find_by_id(*id),
            Selector::Name(name) => Entity::find().filter(Column::Name.eq(name)),
        };
        within(select.one(self.0.database())).await
    }

    /// A page of services.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, page: &Page) -> Result<Listed<Model>, StoreError> {
        select::list(Entity::find(), Column::Id, page, self.0.database()).await
    }

    /// A new service.
    ///
    /// # Errors
    /// When its id or its name is taken, or the database fails.
    pub async fn insert(&self, row: Model) -> Result<Written<Model>, StoreError> {
        self.put(row, false).await
    }

    /// A service, new or in place of the one with its id.
    ///
    /// # Errors
    /// When its name is taken, or the database fails.
    pub async fn upsert(&self, row: Model) -> Result<Written<Model>, StoreError> {
        self.put(row, true).await
    }

    /// Deletes a service and answers with the revision; `None` when there was none.
    ///
    /// # Errors
    /// When routes name it, or the database fails.
    pub async fn delete(&self, id: Uuid) -> Result<Option<u64>, StoreError> {
        let mut write = self.0.write().await?;
        let deleted =
            within(Entity::delete_by_id(id).exec(write.rows())).await.map_err(
                |error| match is_foreign_key(&error) {
                    true => StoreError::Referenced { entity: COLLECTION, by: "routes" },
                    false => error,
                },
            )?;
        if deleted.rows_affected == 0 {
            return Ok(None);
        }
        write.tag(id, COLLECTION, None).await?;
        write.delete(Key::service(id));
        write.commit().await.map(Some)
    }

    async fn put(&self, row: Model, replace: bool) -> Result<Written<Model>, StoreError> {
        let mut write = self.0.write().await?;
        // Every value is set, also those that a conversion would call unchanged.
        let insert = Entity::insert(row.clone().into_active_model().reset_all());
        let insert = if replace { insert.on_conflict(replacing()) } else { insert };
        within(insert.exec_without_returning(write.rows()))
            .await
            .map_err(|error| unique_or(error, row.id, row.name.as_deref()))?;
        write.tag(row.id, COLLECTION, row.tags.as_ref()).await?;
        write.put(Key::service(row.id), snapshot::service_bytes(&row));
        Ok(Written { revision: write.commit().await?, row })
    }
}

fn replacing() -> OnConflict {
    let columns = Column::iter().filter(|column| !matches!(column, Column::Id));
    OnConflict::column(Column::Id).update_columns(columns).to_owned()
}
