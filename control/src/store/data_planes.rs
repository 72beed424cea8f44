//! Data planes: who has connected, and what each holds.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, Iterable, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::{Store, StoreError, now, within};
use entity::data_plane::{Column, Entity, Model};

/// The data planes.
#[derive(Debug)]
pub struct DataPlanes<'a>(pub(super) &'a Store);

impl DataPlanes<'_> {
    /// All of them, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self) -> Result<Vec<Model>, StoreError> {
        within(Entity::find().order_by_asc(Column::Id).all(self.0.database())).await
    }

    /// Writes what is known of one; when it first connected stays.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn upsert(&self, row: Model) -> Result<(), StoreError> {
        let columns = Column::iter().filter(|column| !matches!(column, Column::Id | Column::CreatedAt));
        let insert = Entity::insert(row.into_active_model().reset_all())
            .on_conflict(OnConflict::column(Column::Id).update_columns(columns).to_owned())
            .exec_without_returning(self.0.database());
        within(insert).await.map(drop)
    }

    /// Forgets one, and answers whether it was known.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete(&self, id: Uuid) -> Result<bool, StoreError> {
        let deleted = within(Entity::delete_by_id(id).exec(self.0.database())).await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Forgets those that are connected nowhere and were last heard before `last_seen`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn purge(&self, last_seen: i64) -> Result<(), StoreError> {
        let gone = Entity::delete_many()
            .filter(Column::LastSeen.lt(last_seen))
            .filter(Column::Connected.eq(false))
            .exec(self.0.database());
        within(gone).await.map(drop)
    }

    /// Notes that none is connected to this control plane: it has just started.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn mark_disconnected(&self, control_plane: Uuid) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::Connected, Expr::value(false))
            .col_expr(Column::State, Expr::value("disconnected"))
            .col_expr(Column::UpdatedAt, Expr::value(now()))
            .filter(Column::ControlPlane.eq(control_plane))
            .filter(Column::Connected.eq(true))
            .exec(self.0.database());
        within(update).await.map(drop)
    }
}
