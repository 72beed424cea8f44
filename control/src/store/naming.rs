//! The entities that name others.

use entity::document::{Column, Entity};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;
use wire::Kind;

use super::document::{Document, number};
use super::{ROWS, Store, StoreError, within};

impl Store {
    /// Returns the entities of a kind that name one of these entities, which are of the kind `to`, in a field.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn naming(
        &self,
        kind: Kind,
        field: &str,
        (to, ids): (Kind, &[Uuid]),
    ) -> Result<Vec<Document>, StoreError> {
        let mut found = Vec::new();
        for some in ids.chunks(ROWS) {
            let column = |name: &'static str| Expr::col(Alias::new(name));
            let ids = Query::select()
                .column(Alias::new("id"))
                .from(Alias::new("document_reference"))
                .and_where(column("kind").eq(number(kind)))
                .and_where(column("field").eq(field))
                .and_where(column("to_kind").eq(number(to)))
                .and_where(column("to_id").is_in(some.iter().copied()))
                .take();
            let select = Entity::find().filter(Column::Kind.eq(number(kind)));
            let rows = within(select.filter(Column::Id.in_subquery(ids)).all(self.database())).await?;
            found.extend(rows.into_iter().map(Document::from));
        }
        Ok(found)
    }
}
