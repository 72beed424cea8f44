//! Writes several rows at one revision: data planes apply all of them at once, or none.

use uuid::Uuid;

use super::rows::{self, Table};
use super::write::Write;
use super::{Store, StoreError};

/// An edit of several rows; dropped without [`Edit::commit`], it leaves nothing. Until it ends, other writers
/// of these rows wait for it; on SQLite, all writers do.
pub struct Edit<'a>(Write<'a>);

impl Store {
    /// Begins an edit.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn edit(&self) -> Result<Edit<'_>, StoreError> {
        self.write().await.map(Edit)
    }
}

impl Edit<'_> {
    /// Inserts rows, or replaces those with their ids; each id at most once.
    ///
    /// # Errors
    /// When a name is in use, a row names one that does not exist, or the database fails. The edit is over
    /// then.
    pub async fn put<T: Table>(&mut self, rows: &[T::Model]) -> Result<(), StoreError> {
        rows::put::<T>(&mut self.0, rows, true).await
    }

    /// Deletes a row, and returns whether there was one.
    ///
    /// # Errors
    /// When other rows name it, or the database fails. The edit is over then.
    pub async fn delete<T: Table>(&mut self, id: Uuid) -> Result<bool, StoreError> {
        rows::delete::<T>(&mut self.0, id).await
    }

    /// Commits, and returns the revision: the previous one, if nothing was changed.
    ///
    /// # Errors
    /// When the database fails. Nothing of the edit is stored then, unless only the answer was lost.
    pub async fn commit(self) -> Result<u64, StoreError> {
        self.0.commit().await
    }
}

impl std::fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Edit").finish_non_exhaustive()
    }
}
