//! The rows: one SeaORM entity per table, columns and relations and nothing else. Entities of all kinds are
//! documents of one table.

pub mod config_change;
pub mod config_head;
pub mod data_plane;
pub mod document;
pub mod document_key;
pub mod document_reference;
pub mod document_tag;
pub mod revocation;
