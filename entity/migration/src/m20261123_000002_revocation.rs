//! Revocations of nodes' certificates.

use sea_orm_migration::prelude::*;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(revocation()).await
    }
}

fn revocation() -> TableCreateStatement {
    let column = |name: &'static str| ColumnDef::new(Alias::new(name));
    Table::create()
        .table(Alias::new("revocation"))
        .col(column("kind").text().not_null())
        .col(column("value").text().not_null())
        .col(column("reason").text())
        .col(column("created_at").big_integer().not_null())
        .primary_key(Index::create().col(Alias::new("kind")).col(Alias::new("value")))
        .to_owned()
}
