//! The epoch that an operator has confirmed; an index of the changes that hold secrets. Blanks the superseded
//! ones for the first time.

use sea_orm_migration::prelude::*;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

/// The kind of certificates, which hold private keys.
const CERTIFICATE: i16 = 3;

/// For both databases. Few rows are certificates, so the index is small.
const INDEX: &str = "CREATE INDEX config_change_secret_idx ON config_change (kind, id) WHERE kind = 3";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut confirmed = Table::alter();
        confirmed
            .table(Alias::new("config_head"))
            .add_column(ColumnDef::new(Alias::new("confirmed_epoch")).uuid());
        manager.alter_table(confirmed.to_owned()).await?;
        manager.get_connection().execute_unprepared(INDEX).await?;
        manager.execute(blank_superseded()).await
    }
}

/// Blanks all changes of a certificate but the newest; op 3 marks a blanked change.
fn blank_superseded() -> UpdateStatement {
    let (change, later) = (Alias::new("config_change"), Alias::new("later"));
    let column = |table: &Alias, name: &'static str| Expr::col((table.clone(), Alias::new(name)));
    let mut newer = Query::select();
    newer
        .expr(Expr::val(1))
        .from_as(change.clone(), later.clone())
        .and_where(column(&later, "kind").eq(CERTIFICATE))
        .and_where(column(&later, "id").eq(column(&change, "id")))
        .and_where(column(&later, "revision").gt(column(&change, "revision")));
    Query::update()
        .table(change.clone())
        .value(Alias::new("op"), 3_i16)
        .value(Alias::new("bytes"), Vec::<u8>::new())
        .value(Alias::new("hash"), Vec::<u8>::new())
        .and_where(Expr::col(Alias::new("kind")).eq(CERTIFICATE))
        .and_where(Expr::col(Alias::new("op")).eq(1_i16))
        .and_where(Expr::exists(newer))
        .to_owned()
}
