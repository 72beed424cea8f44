//! Entities of all kinds in one table of documents, with tables of unique values, references and tags. Moves
//! the entities of the five tables there. Their canonical bytes stay the same: no data plane gets a byte.

mod old;

use std::collections::HashSet;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, QueryResult};
use uuid::Uuid;

use self::old::{Moved, TABLES};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

/// Certificates were the only kind with secrets.
const MARK_SECRETS: &str = "UPDATE config_change SET secret = TRUE WHERE kind = 3";

/// For both databases. Few changes hold secrets, so the index is small.
const INDEX_OF_SECRETS: &str =
    "CREATE INDEX config_change_secret_idx ON config_change (kind, id) WHERE secret IS TRUE";

/// Rows of one statement.
const ROWS: u64 = 1000;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(document()).await?;
        manager.create_table(key()).await?;
        manager.create_index(index("document_key_id_idx", "document_key", &["kind", "id"])).await?;
        manager.create_table(reference()).await?;
        let by_target = ["to_kind", "to_id", "kind", "field", "id"];
        manager.create_index(index("document_reference_to_idx", "document_reference", &by_target)).await?;
        manager.create_table(tag()).await?;
        manager.create_index(index("document_tag_tag_idx", "document_tag", &["tag", "id", "kind"])).await?;
        // The order in which each entity comes after those that it names.
        let mut moved = HashSet::new();
        for table in TABLES {
            move_rows(manager, table, &mut moved).await?;
        }
        for table in ["tag", "sni", "route", "service", "certificate", "ca_certificate"] {
            manager.drop_table(Table::drop().table(Alias::new(table)).to_owned()).await?;
        }
        manager.alter_table(new_column_of_changes("written_at", ColumnDef::big_integer)).await?;
        manager.alter_table(new_column_of_changes("author", ColumnDef::text)).await?;
        manager.alter_table(new_column_of_changes("source", ColumnDef::text)).await?;
        manager.alter_table(new_column_of_changes("before", ColumnDef::text)).await?;
        manager.alter_table(new_column_of_changes("secret", ColumnDef::boolean)).await?;
        let connection = manager.get_connection();
        connection.execute_unprepared(MARK_SECRETS).await?;
        connection.execute_unprepared("DROP INDEX config_change_secret_idx").await?;
        connection.execute_unprepared(INDEX_OF_SECRETS).await.map(drop)
    }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn document() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("document"))
        .col(column("kind").small_integer().not_null())
        .col(column("id").uuid().not_null())
        .col(column("body").text().not_null())
        .col(column("tags").json())
        .col(column("created_at").big_integer().not_null())
        .col(column("updated_at").big_integer().not_null())
        .primary_key(Index::create().col(Alias::new("kind")).col(Alias::new("id")))
        .to_owned()
}

fn key() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("document_key"))
        .col(column("kind").small_integer().not_null())
        .col(column("field").text().not_null())
        .col(column("value").text().not_null())
        .col(column("id").uuid().not_null())
        .primary_key(
            Index::create().col(Alias::new("kind")).col(Alias::new("field")).col(Alias::new("value")),
        )
        .foreign_key(&mut of_document("document_key"))
        .to_owned()
}

fn reference() -> TableCreateStatement {
    let mut named = ForeignKey::create();
    named
        .name("document_reference_to_fkey")
        .from_tbl(Alias::new("document_reference"))
        .from_col(Alias::new("to_kind"))
        .from_col(Alias::new("to_id"))
        .to_tbl(Alias::new("document"))
        .to_col(Alias::new("kind"))
        .to_col(Alias::new("id"))
        // Not RESTRICT: SQLite reports it with an error code of its own, which sqlx does not know.
        .on_delete(ForeignKeyAction::NoAction);
    Table::create()
        .table(Alias::new("document_reference"))
        .col(column("kind").small_integer().not_null())
        .col(column("id").uuid().not_null())
        .col(column("field").text().not_null())
        .col(column("to_kind").small_integer().not_null())
        .col(column("to_id").uuid().not_null())
        .primary_key(
            Index::create()
                .col(Alias::new("kind"))
                .col(Alias::new("id"))
                .col(Alias::new("field"))
                .col(Alias::new("to_kind"))
                .col(Alias::new("to_id")),
        )
        .foreign_key(&mut of_document("document_reference"))
        .foreign_key(&mut named)
        .to_owned()
}

fn tag() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("document_tag"))
        .col(column("kind").small_integer().not_null())
        .col(column("id").uuid().not_null())
        .col(column("tag").text().not_null())
        .primary_key(Index::create().col(Alias::new("kind")).col(Alias::new("id")).col(Alias::new("tag")))
        .foreign_key(&mut of_document("document_tag"))
        .to_owned()
}

/// What follows from a document is deleted with it.
fn of_document(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{table}_id_fkey"))
        .from_tbl(Alias::new(table))
        .from_col(Alias::new("kind"))
        .from_col(Alias::new("id"))
        .to_tbl(Alias::new("document"))
        .to_col(Alias::new("kind"))
        .to_col(Alias::new("id"))
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}

/// Adds a column of the change log that older changes do not have.
fn new_column_of_changes(
    name: &'static str,
    typed: fn(&mut ColumnDef) -> &mut ColumnDef,
) -> TableAlterStatement {
    let mut added = column(name);
    typed(&mut added);
    Table::alter().table(Alias::new("config_change")).add_column(added).to_owned()
}

async fn move_rows(
    manager: &SchemaManager<'_>,
    table: &old::Table,
    known: &mut HashSet<(i16, Uuid)>,
) -> Result<(), DbErr> {
    let mut after: Option<Uuid> = None;
    loop {
        let mut select = Query::select();
        select
            .column(Asterisk)
            .from(Alias::new(table.name))
            .order_by(Alias::new("id"), Order::Asc)
            .limit(ROWS);
        if let Some(after) = after {
            select.and_where(Expr::col(Alias::new("id")).gt(after));
        }
        let rows = manager.get_connection().query_all(&select).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.try_get("", "id")?);
        let mut moved = rows.iter().map(table.read).collect::<Result<Vec<_>, _>>()?;
        for row in &rows {
            known.insert((table.kind, row.try_get("", "id")?));
        }
        // A list of CA certificates had no foreign key. Data planes name one that is not there.
        moved
            .iter_mut()
            .for_each(|moved| moved.references.retain(|(_, kind, id)| known.contains(&(*kind, *id))));
        write(manager, table, &rows, &moved).await?;
    }
}

async fn write(
    manager: &SchemaManager<'_>,
    table: &old::Table,
    rows: &[QueryResult],
    moved: &[Moved],
) -> Result<(), DbErr> {
    let kind = table.kind;
    let mut documents = insert_into("document", &["kind", "id", "body", "tags", "created_at", "updated_at"]);
    let mut values = insert_into("document_key", &["kind", "field", "value", "id"]);
    let mut references = insert_into("document_reference", &["kind", "id", "field", "to_kind", "to_id"]);
    let mut tags = insert_into("document_tag", &["kind", "id", "tag"]);
    for (row, moved) in rows.iter().zip(moved) {
        let id: Uuid = row.try_get("", "id")?;
        let (created_at, updated_at): (i64, i64) =
            (row.try_get("", "created_at")?, row.try_get("", "updated_at")?);
        let list = old::texts(row, "tags")?;
        let shown = list.as_ref().map(|list| serde_json::json!(list));
        documents.values_panic([
            kind.into(),
            id.into(),
            moved.body.as_str().into(),
            shown.into(),
            created_at.into(),
            updated_at.into(),
        ]);
        for (field, value) in &moved.unique {
            values.values_panic([kind.into(), (*field).into(), value.as_str().into(), id.into()]);
        }
        for (field, to_kind, to) in &moved.references {
            references.values_panic([
                kind.into(),
                id.into(),
                (*field).into(),
                (*to_kind).into(),
                (*to).into(),
            ]);
        }
        for tag in list.iter().flatten() {
            tags.values_panic([kind.into(), id.into(), tag.as_str().into()]);
        }
    }
    tags.on_conflict(OnConflict::new().do_nothing().to_owned());
    let any = |count: usize| count > 0;
    manager.execute(documents).await?;
    if any(moved.iter().map(|moved| moved.unique.len()).sum()) {
        manager.execute(values).await?;
    }
    if any(moved.iter().map(|moved| moved.references.len()).sum()) {
        manager.execute(references).await?;
    }
    let tagged = rows.iter().map(|row| old::texts(row, "tags")).collect::<Result<Vec<_>, _>>()?;
    if tagged.iter().flatten().any(|list| !list.is_empty()) {
        manager.execute(tags).await?;
    }
    Ok(())
}

fn insert_into(table: &'static str, columns: &[&'static str]) -> InsertStatement {
    let mut insert = Query::insert();
    insert.into_table(Alias::new(table)).columns(columns.iter().map(|column| Alias::new(*column)));
    insert
}
