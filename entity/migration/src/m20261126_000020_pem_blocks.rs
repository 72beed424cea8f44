//! Keeps only the used blocks of each PEM text. A text with a certificate and its key could be stored, and
//! was shown, as a certificate.

use pem::{EncodeConfig, LineEnding, Pem};
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, QueryResult};
use uuid::Uuid;

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub(super) struct Migration;

/// Table, column, marker of the used blocks, maximum number of used blocks.
const COLUMNS: &[(&str, &str, &str, usize)] = &[
    ("certificate", "cert", "CERTIFICATE", usize::MAX),
    ("certificate", "cert_alt", "CERTIFICATE", usize::MAX),
    ("certificate", "key", "PRIVATE KEY", 1),
    ("certificate", "key_alt", "PRIVATE KEY", 1),
    ("ca_certificate", "cert", "CERTIFICATE", 1),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut changed = 0;
        for (table, column, mark, most) in COLUMNS {
            for row in manager.get_connection().query_all(&texts(table, column)).await? {
                changed += u64::from(rewrite(manager, table, column, (mark, *most), &row).await?);
            }
        }
        if changed > 0 {
            // The change log has the old texts. Without it, data planes load a snapshot, because the epoch is
            // new.
            manager.execute(Query::delete().from_table(Alias::new("config_change")).to_owned()).await?;
            manager.execute(new_history()).await?;
        }
        Ok(())
    }
}

fn texts(table: &str, column: &str) -> SelectStatement {
    Query::select()
        .column(Alias::new("id"))
        .column(Alias::new(column))
        .from(Alias::new(table))
        .and_where(Expr::col(Alias::new(column)).is_not_null())
        .to_owned()
}

/// Whether the row's text had to be changed.
async fn rewrite(
    manager: &SchemaManager<'_>,
    table: &str,
    column: &str,
    used: (&str, usize),
    row: &QueryResult,
) -> Result<bool, DbErr> {
    let (id, text): (Uuid, String) = (row.try_get("", "id")?, row.try_get("", column)?);
    let Some(canonical) = canonical(&text, used).filter(|canonical| *canonical != text) else {
        return Ok(false);
    };
    let update = Query::update()
        .table(Alias::new(table))
        .value(Alias::new(column), canonical)
        .and_where(Expr::col(Alias::new("id")).eq(id))
        .to_owned();
    manager.execute(update).await.map(|()| true)
}

/// Encodes the used blocks again; `None` when there are none. No data plane has accepted such a text.
fn canonical(text: &str, (mark, most): (&str, usize)) -> Option<String> {
    let blocks: Vec<Pem> = pem::parse_many(text).ok()?;
    let used = blocks.iter().filter(|block| block.tag().ends_with(mark)).take(most);
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let text: String = used.map(|block| pem::encode_config(&plain(block), config)).collect();
    (!text.is_empty()).then_some(text)
}

/// The block without its headers.
fn plain(block: &Pem) -> Pem {
    Pem::new(block.tag(), block.contents())
}

fn new_history() -> UpdateStatement {
    Query::update().table(Alias::new("config_head")).value(Alias::new("epoch"), Uuid::new_v4()).to_owned()
}
