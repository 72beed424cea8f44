//! Data planes: which ones the cluster knows, and what each holds.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, Iterable, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::{ROWS, Store, StoreError, now, within};
use entity::data_plane::{Column, Entity, Model};

/// The data planes.
#[derive(Debug)]
pub struct DataPlanes<'a>(pub(super) &'a Store);

impl DataPlanes<'_> {
    /// Returns all data planes, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self) -> Result<Vec<Model>, StoreError> {
        within(Entity::find().order_by_asc(Column::Id).all(self.0.database())).await
    }

    /// Returns the data planes that are connected to another control plane.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn connected_elsewhere(&self, control_plane: Uuid) -> Result<Vec<Model>, StoreError> {
        let connected = Entity::find().filter(Column::Connected.eq(true));
        let elsewhere = connected.filter(Column::ControlPlane.ne(control_plane));
        within(elsewhere.all(self.0.database())).await
    }

    /// Returns those of these data planes that are connected to another control plane.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn elsewhere(&self, control_plane: Uuid, ids: &[Uuid]) -> Result<Vec<Model>, StoreError> {
        let mut found = Vec::new();
        for ids in ids.chunks(ROWS) {
            let rows = Entity::find()
                .filter(Column::Id.is_in(ids.iter().copied()))
                .filter(Column::Connected.eq(true))
                .filter(Column::ControlPlane.ne(control_plane));
            found.extend(within(rows.all(self.0.database())).await?);
        }
        Ok(found)
    }

    /// Writes the records of data planes, each id at most once; the time of the first connection stays. Only
    /// the control plane to which a data plane was connected may mark it as disconnected: it may have joined
    /// another.
    ///
    /// # Errors
    /// When the database cannot be written; some rows may have been.
    pub async fn upsert(&self, rows: &[Model]) -> Result<(), StoreError> {
        let columns = Column::iter().filter(|column| !matches!(column, Column::Id | Column::CreatedAt));
        let theirs = Expr::cust(
            "excluded.connected OR data_plane.control_plane IS NOT DISTINCT FROM excluded.control_plane",
        );
        let replacing =
            OnConflict::column(Column::Id).update_columns(columns).action_and_where(theirs).to_owned();
        for some in rows.chunks(ROWS) {
            let _writer = self.0.turn().await?;
            let insert =
                Entity::insert_many(some.iter().map(|row| row.clone().into_active_model().reset_all()))
                    .on_conflict(replacing.clone());
            within(insert.exec_without_returning(self.0.database())).await?;
        }
        Ok(())
    }

    /// Deletes a data plane, and returns whether it was known.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete(&self, id: Uuid) -> Result<bool, StoreError> {
        let _writer = self.0.turn().await?;
        let deleted = within(Entity::delete_by_id(id).exec(self.0.database())).await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Deletes the data planes that are disconnected and were last heard before `last_seen`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn purge(&self, last_seen: i64) -> Result<(), StoreError> {
        let _writer = self.0.turn().await?;
        let gone = Entity::delete_many()
            .filter(Column::LastSeen.lt(last_seen))
            .filter(Column::Connected.eq(false))
            .exec(self.0.database());
        within(gone).await.map(drop)
    }

    /// Marks all data planes of this control plane as disconnected: it has just started.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn mark_disconnected(&self, control_plane: Uuid) -> Result<(), StoreError> {
        let _writer = self.0.turn().await?;
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
