//! Moves the head with each write, and writes the change log.

use entity::config_change::{self, ActiveModel, Column};
use entity::config_head;
use sea_orm::sea_query::{
    CommonTableExpression, Expr, ExprTrait, InsertStatement, Keyword, Query, UpdateStatement, WithClause,
    WithQuery,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, Iterable, QueryResult,
};
use uuid::Uuid;

use super::super::log::{self, Head};
use super::super::notified;
use super::super::pool::Transaction;
use super::super::{ROWS, StoreError, within};

/// The name of the moved head within a statement.
const MOVED: &str = "moved";

/// Moves the head, and writes the rows of its revision: `row` makes them, each for a revision and the commit token
/// before it. Returns the head and that token.
///
/// The update waits for the lock of the head until the write before has committed: so the order of revisions is
/// the order of commits. Other control planes on the database receive a notification with the commit.
pub(super) async fn move_and_log(
    transaction: &Transaction,
    name: &str,
    count: usize,
    row: impl Fn(usize, Head, Uuid) -> ActiveModel,
) -> Result<(Head, Uuid), StoreError> {
    let commit_token = Uuid::new_v4();
    let backend = transaction.get_database_backend();
    let update = update(commit_token, (backend == DatabaseBackend::Postgres).then_some(name));
    if backend == DatabaseBackend::Postgres && count == 1 {
        // In one message: other writes wait while the head is locked.
        let head = Head { epoch: Uuid::nil(), revision: 0, commit_token };
        let both = with_row(update, row(0, head, Uuid::nil()));
        return within(head_of(transaction.query_one(&both), commit_token)).await;
    }
    let (head, previous) = within(head_of(transaction.query_one(&update), commit_token)).await?;
    for first in (0..count).step_by(ROWS) {
        let rows = (first..count.min(first + ROWS)).map(|ordinal| row(ordinal, head, previous));
        within(config_change::Entity::insert_many(rows).exec_without_returning(transaction)).await?;
    }
    Ok((head, previous))
}

/// The update of the head, which returns it. `notified` is the name of this control plane, for the notification.
fn update(commit_token: Uuid, notified: Option<&str>) -> UpdateStatement {
    use config_head::Column::{CommitToken, Epoch, Id, Previous, Revision};
    let mut returned = vec![Expr::col(Epoch), Expr::col(Revision), Expr::col(Previous)];
    returned.extend(notified.map(|name| Expr::cust(notified::notice(name))));
    Query::update()
        .table(config_head::Entity)
        .value(Revision, Expr::col(Revision).add(1))
        .value(Previous, Expr::col(CommitToken))
        .value(CommitToken, commit_token)
        .and_where(Expr::col(Id).eq(1))
        .returning(Query::returning().exprs(returned))
        .to_owned()
}

/// The update of the head together with the only row of its revision, whose own revision and previous token do
/// not count.
fn with_row(update: UpdateStatement, row: ActiveModel) -> WithQuery {
    use config_head::Column::{Epoch, Previous, Revision};
    let values = Column::iter().map(|column| match column {
        Column::Revision => Expr::col(Revision),
        Column::Previous => Expr::col(Previous),
        _ => row.get(column).into_value().map_or_else(|| Keyword::Null.into(), Expr::Value),
    });
    let logged = InsertStatement::new()
        .into_table(config_change::Entity)
        .columns(Column::iter())
        .select_from(Query::select().exprs(values).from(MOVED).to_owned())
        .expect("there is a value for each column")
        .to_owned();
    let mut with = WithClause::new();
    with.cte(CommonTableExpression::new().query(update).table_name(MOVED).to_owned());
    with.cte(CommonTableExpression::new().query(logged).table_name("logged").to_owned());
    with.query(Query::select().columns([Epoch, Revision, Previous]).from(MOVED).to_owned())
}

/// The head that an update has returned, and the commit token before it.
async fn head_of(
    moved: impl Future<Output = Result<Option<QueryResult>, DbErr>>,
    commit_token: Uuid,
) -> Result<(Head, Uuid), DbErr> {
    let row = moved.await?.ok_or_else(log::no_head)?;
    let revision: i64 = row.try_get("", "revision")?;
    let previous: Option<Uuid> = row.try_get("", "previous")?;
    let head = Head { epoch: row.try_get("", "epoch")?, revision: revision.unsigned_abs(), commit_token };
    Ok((head, previous.unwrap_or_default()))
}
