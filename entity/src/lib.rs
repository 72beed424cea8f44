//! The rows: one SeaORM entity per table, columns and relations and nothing else. The control plane's
//! `snapshot` translates rows to the published form.

pub mod ca_certificate;
pub mod certificate;
pub mod config_change;
pub mod config_head;
pub mod data_plane;
mod private_key;
pub mod revocation;
pub mod route;
pub mod service;
pub mod sni;
pub mod tag;

pub use private_key::PrivateKey;
