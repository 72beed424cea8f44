//! The control plane of Gibbon.

pub mod admin;
pub mod admin_client;
pub mod app;
mod bounded;
pub mod cluster;
pub mod config;
pub mod config_command;
pub mod declarative;
pub mod error;
pub mod expiry;
pub mod kinds;
mod kong_metrics;
pub mod metrics;
mod off_workers;
pub mod pki;
pub mod publish;
pub mod revocation;
mod signals;
pub mod status;
pub mod store;
pub mod token;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
