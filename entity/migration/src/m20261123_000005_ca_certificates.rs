//! CA certificates; a service can only name certificates that exist.

use sea_orm_migration::prelude::*;
use uuid::Uuid;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(ca_certificate()).await?;
        manager.execute(new_history()).await?;
        manager.execute(forget()).await
    }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn ca_certificate() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("ca_certificate"))
        .col(column("id").uuid().not_null().primary_key())
        .col(column("cert").text().not_null())
        .col(column("cert_digest").text().not_null().unique_key())
        .col(column("tags").json())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .to_owned()
}

/// Services could name certificates before any existed; data planes now reject such services.
fn names_certificates() -> Condition {
    Condition::any()
        .add(Expr::col(Alias::new("client_certificate")).is_not_null())
        .add(Expr::col(Alias::new("ca_certificates")).is_not_null())
}

/// The change log does not have the changes of [`forget`]. With a new epoch, data planes load a whole
/// snapshot.
fn new_history() -> UpdateStatement {
    let mut naming = Query::select();
    naming.column(Alias::new("id")).from(Alias::new("service")).cond_where(names_certificates());
    Query::update()
        .table(Alias::new("config_head"))
        .value(Alias::new("epoch"), Uuid::new_v4())
        .and_where(Expr::exists(naming))
        .to_owned()
}

fn forget() -> UpdateStatement {
    Query::update()
        .table(Alias::new("service"))
        .value(Alias::new("client_certificate"), Keyword::Null)
        .value(Alias::new("ca_certificates"), Keyword::Null)
        .cond_where(names_certificates())
        .to_owned()
}
