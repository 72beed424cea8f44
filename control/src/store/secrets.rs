//! Secrets in the change log: only the newest change of an entity keeps them.
//!
//! Every delta goes up to the head, and of several changes of one entity the last counts. So a superseded
//! change is still needed, since revisions have no gap, but its bytes are not. The transaction that
//! supersedes a change blanks its bytes. A reader that meets a blanked change without its successor has read
//! an older head: it reads the configuration itself instead.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;
use wire::Kind;

use super::ROWS;
use super::log::{LoggedChange, SUPERSEDED, signed};
use entity::config_change::{Column, Entity};

/// Kinds whose bytes hold a secret. A new one also needs an index of its changes: see the migration for the
/// present ones.
const SECRET: [Kind; 1] = [Kind::CERTIFICATE];

/// Blanks the changes that these supersede.
pub(super) async fn blank_superseded(
    rows: &impl ConnectionTrait,
    changes: &[LoggedChange],
) -> Result<(), DbErr> {
    let Some(revision) = changes.first().map(|change| change.revision) else { return Ok(()) };
    for kind in SECRET {
        let of_kind = changes.iter().filter(|change| change.key.kind == kind);
        let ids: Vec<Uuid> = of_kind.map(|change| change.key.id).collect();
        for some in ids.chunks(ROWS) {
            blank(rows, kind, some, revision).await?;
        }
    }
    Ok(())
}

async fn blank(rows: &impl ConnectionTrait, kind: Kind, ids: &[Uuid], before: u64) -> Result<(), DbErr> {
    let blank = Entity::update_many()
        .col_expr(Column::Op, Expr::value(SUPERSEDED))
        .col_expr(Column::Bytes, Expr::value(Vec::<u8>::new()))
        .col_expr(Column::Hash, Expr::value(Vec::<u8>::new()))
        // A literal, so that the database uses the index, which holds this kind alone.
        .filter(Expr::col(Column::Kind).eq(Expr::cust(kind.0.to_string())))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::Revision.lt(signed(before)))
        .filter(Column::Op.eq(1_i16));
    blank.exec(rows).await.map(drop)
}
