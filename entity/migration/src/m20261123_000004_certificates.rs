//! Certificates that data planes show to clients, and their server names.

use sea_orm_migration::prelude::*;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(certificate()).await?;
        manager.create_table(sni()).await?;
        manager.create_index(sni_by_certificate()).await
    }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn certificate() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("certificate"))
        .col(column("id").uuid().not_null().primary_key())
        .col(column("cert").text().not_null())
        .col(column("key").text().not_null())
        .col(column("cert_alt").text())
        .col(column("key_alt").text())
        .col(column("tags").json())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .to_owned()
}

fn sni() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("sni"))
        .col(column("id").uuid().not_null().primary_key())
        .col(column("name").text().not_null().unique_key())
        .col(column("certificate_id").uuid().not_null())
        .col(column("tags").json())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .foreign_key(
            ForeignKey::create()
                .name("sni_certificate_id_fkey")
                .from(Alias::new("sni"), Alias::new("certificate_id"))
                .to(Alias::new("certificate"), Alias::new("id"))
                // Not RESTRICT: SQLite reports it with an error code of its own, which sqlx does not know.
                .on_delete(ForeignKeyAction::NoAction),
        )
        .to_owned()
}

fn sni_by_certificate() -> IndexCreateStatement {
    Index::create()
        .name("sni_certificate_id_idx")
        .table(Alias::new("sni"))
        .col(Alias::new("certificate_id"))
        .to_owned()
}
