//! The process that uses a data plane's node id, so that control planes can distinguish two of them.

use sea_orm_migration::prelude::*;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut instance = Table::alter();
        instance.table(Alias::new("data_plane")).add_column(ColumnDef::new(Alias::new("instance")).uuid());
        manager.alter_table(instance.to_owned()).await
    }
}
