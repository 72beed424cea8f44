//! The data plane of Gibbon.
//!
//! [`app`] puts it together. A request goes through [`listener`], [`proxy`], [`route`], [`request`] and
//! [`upstream`]. The configuration comes in by [`cluster`], is compiled into a [`table`] of [sections](section),
//! and is read from [`live`].

pub mod access_log;
pub mod answer_cache;
pub mod app;
pub mod certified_keys;
pub mod client;
pub mod cluster;
pub mod config;
pub mod context;
pub mod counting;
pub mod delivery;
pub mod descriptors;
pub mod dns;
pub mod drain;
pub mod draining;
pub mod echo;
pub mod error;
pub mod forward;
pub mod grpc;
pub mod health;
pub mod http1;
mod json_text;
pub mod kong_metrics;
pub mod limit;
pub mod line_files;
pub mod listener;
pub mod live;
pub mod message;
pub mod metrics;
pub mod names;
pub mod notes;
pub mod notify;
pub mod outbound;
pub mod plugin;
mod prefetch;
pub mod proxy;
mod redaction;
pub mod request;
pub mod request_id;
pub mod respond;
pub mod route;
pub mod section;
pub mod status;
pub mod table;
mod turn;
pub mod upgrade;
pub mod upstream;
pub mod upstream_metrics;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
