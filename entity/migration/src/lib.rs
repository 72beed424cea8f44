//! The history of the database's schema, oldest first. Append-only: a released migration is never edited.
//! Names are literals and not imported, so that history does not change with the code.

pub use sea_orm_migration::{MigratorTrait, SchemaManager};

use sea_orm_migration::prelude::*;

mod m20261123_000001_configuration;
mod m20261123_000002_revocation;
mod m20261123_000003_stamps;
mod m20261123_000004_certificates;
mod m20261123_000005_ca_certificates;
mod m20261126_000006_guard_and_secrets;
mod m20261126_000020_pem_blocks;
mod m20261126_000021_data_plane_instance;
mod m20261127_000030_documents;

/// All migrations.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_configuration::Migration),
            Box::new(m20261123_000002_revocation::Migration),
            Box::new(m20261123_000003_stamps::Migration),
            Box::new(m20261123_000004_certificates::Migration),
            Box::new(m20261123_000005_ca_certificates::Migration),
            Box::new(m20261126_000006_guard_and_secrets::Migration),
            Box::new(m20261126_000020_pem_blocks::Migration),
            Box::new(m20261126_000021_data_plane_instance::Migration),
            Box::new(m20261127_000030_documents::Migration),
        ]
    }
}
