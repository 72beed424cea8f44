//! Revocations: certificates that are not accepted any more.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};

use super::{Store, StoreError, now, within};
use entity::revocation::{ActiveModel, Column, Entity, Model};

/// The revocations.
#[derive(Debug)]
pub struct Revocations<'a>(pub(super) &'a Store);

impl Revocations<'_> {
    /// Returns all revocations, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self) -> Result<Vec<Model>, StoreError> {
        let all = Entity::find().order_by_asc(Column::CreatedAt).order_by_asc(Column::Value);
        within(all.all(self.0.database())).await
    }

    /// Adds a revocation, or replaces the reason of an existing one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn put(&self, kind: &str, value: &str, reason: Option<&str>) -> Result<(), StoreError> {
        let row = ActiveModel {
            kind: Set(kind.to_owned()),
            value: Set(value.to_owned()),
            reason: Set(reason.map(str::to_owned)),
            created_at: Set(now()),
        };
        let replacing =
            OnConflict::columns([Column::Kind, Column::Value]).update_column(Column::Reason).to_owned();
        let _writer = self.0.turn().await?;
        let insert = Entity::insert(row).on_conflict(replacing);
        within(insert.exec_without_returning(self.0.database())).await.map(drop)
    }

    /// Deletes a revocation, and returns whether it existed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete(&self, kind: &str, value: &str) -> Result<bool, StoreError> {
        let key = (kind.to_owned(), value.to_owned());
        let _writer = self.0.turn().await?;
        let deleted = within(Entity::delete_by_id(key).exec(self.0.database())).await?;
        Ok(deleted.rows_affected > 0)
    }
}
