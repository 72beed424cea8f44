//! Services, routes and their tags; the head and the change log; data planes.

use sea_orm_migration::prelude::*;
use uuid::Uuid;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(service()).await?;
        manager.create_table(route()).await?;
        manager.create_index(route_by_service()).await?;
        manager.create_table(tag()).await?;
        manager.create_index(tag_by_name()).await?;
        manager.create_table(config_head()).await?;
        manager.create_table(config_change()).await?;
        manager.create_table(data_plane()).await?;
        manager.execute(first_head()).await
    }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn table(name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name));
    table
}

fn service() -> TableCreateStatement {
    table("service")
        .col(column("id").uuid().not_null().primary_key())
        .col(column("name").text().unique_key())
        .col(column("protocol").text().not_null())
        .col(column("host").text().not_null())
        .col(column("port").integer().not_null())
        .col(column("path").text())
        .col(column("retries").integer().not_null())
        .col(column("connect_timeout").big_integer().not_null())
        .col(column("write_timeout").big_integer().not_null())
        .col(column("read_timeout").big_integer().not_null())
        .col(column("tags").json())
        .col(column("client_certificate").uuid())
        .col(column("tls_verify").boolean())
        .col(column("tls_verify_depth").integer())
        .col(column("ca_certificates").json())
        .col(column("enabled").boolean().not_null())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .to_owned()
}

fn route() -> TableCreateStatement {
    table("route")
        .col(column("id").uuid().not_null().primary_key())
        .col(column("name").text().unique_key())
        .col(column("service_id").uuid())
        .col(column("protocols").json().not_null())
        .col(column("methods").json())
        .col(column("hosts").json())
        .col(column("paths").json())
        .col(column("headers").json())
        .col(column("snis").json())
        .col(column("sources").json())
        .col(column("destinations").json())
        .col(column("https_redirect_status_code").integer().not_null())
        .col(column("regex_priority").integer().not_null())
        .col(column("strip_path").boolean().not_null())
        .col(column("path_handling").text().not_null())
        .col(column("preserve_host").boolean().not_null())
        .col(column("request_buffering").boolean().not_null())
        .col(column("response_buffering").boolean().not_null())
        .col(column("tags").json())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .foreign_key(
            ForeignKey::create()
                .name("route_service_id_fkey")
                .from(Alias::new("route"), Alias::new("service_id"))
                .to(Alias::new("service"), Alias::new("id"))
                // Not RESTRICT: SQLite reports it with an error code of its own, which sqlx does not know.
                .on_delete(ForeignKeyAction::NoAction),
        )
        .to_owned()
}

fn route_by_service() -> IndexCreateStatement {
    Index::create()
        .name("route_service_id_idx")
        .table(Alias::new("route"))
        .col(Alias::new("service_id"))
        .to_owned()
}

fn tag() -> TableCreateStatement {
    table("tag")
        .col(column("entity_id").uuid().not_null())
        .col(column("tag").text().not_null())
        .col(column("entity_name").text().not_null())
        .primary_key(Index::create().col(Alias::new("entity_id")).col(Alias::new("tag")))
        .to_owned()
}

fn tag_by_name() -> IndexCreateStatement {
    Index::create()
        .name("tag_tag_idx")
        .table(Alias::new("tag"))
        .col(Alias::new("tag"))
        .col(Alias::new("entity_id"))
        .to_owned()
}

fn config_head() -> TableCreateStatement {
    table("config_head")
        .col(column("id").integer().not_null().primary_key())
        .col(column("epoch").uuid().not_null())
        .col(column("revision").big_integer().not_null())
        .to_owned()
}

fn config_change() -> TableCreateStatement {
    table("config_change")
        .col(column("revision").big_integer().not_null())
        .col(column("ordinal").integer().not_null())
        .col(column("kind").small_integer().not_null())
        .col(column("id").uuid().not_null())
        .col(column("op").small_integer().not_null())
        .col(column("bytes").binary().not_null())
        .col(column("hash").binary().not_null())
        .primary_key(Index::create().col(Alias::new("revision")).col(Alias::new("ordinal")))
        .to_owned()
}

fn data_plane() -> TableCreateStatement {
    table("data_plane")
        .col(column("id").uuid().not_null().primary_key())
        .col(column("hostname").text().not_null())
        .col(column("ip").text().not_null())
        .col(column("version").text().not_null())
        .col(column("config_hash").text().not_null())
        .col(column("applied_revision").big_integer())
        .col(column("state").text().not_null())
        .col(column("sync_status").text().not_null())
        .col(column("labels").json().not_null())
        .col(column("cert_expiry").big_integer())
        .col(column("last_error").json())
        .col(column("connected").boolean().not_null())
        .col(column("control_plane").uuid())
        .col(column("last_seen").big_integer().not_null())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .to_owned()
}

/// The first head: a new epoch without a write.
fn first_head() -> InsertStatement {
    Query::insert()
        .into_table(Alias::new("config_head"))
        .columns([Alias::new("id"), Alias::new("epoch"), Alias::new("revision")])
        .values_panic([1.into(), Uuid::new_v4().into(), 0_i64.into()])
        .to_owned()
}
