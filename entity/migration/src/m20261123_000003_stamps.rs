//! Commit tokens, which make equal revision numbers of two histories differ; the epoch of a data plane's
//! position.

use sea_orm_migration::prelude::*;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

/// Older rows have no token, and then neither has the head: null follows null.
const COLUMNS: [(&str, &str); 5] = [
    ("config_head", "stamp"),
    ("config_head", "previous"),
    ("config_change", "stamp"),
    ("config_change", "previous"),
    ("data_plane", "applied_epoch"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in COLUMNS {
            let mut alter = Table::alter();
            alter.table(Alias::new(table)).add_column(ColumnDef::new(Alias::new(column)).uuid());
            manager.alter_table(alter.to_owned()).await?;
        }
        Ok(())
    }
}
