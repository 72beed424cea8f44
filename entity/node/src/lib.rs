//! What a control plane and a data plane share as programs.
//!
//! - [`config`]: a typed configuration out of defaults, a TOML file and the environment, which knows for
//!   each key where its value came from;
//! - [`descriptors`]: how many files and sockets a process may hold;
//! - [`exit`]: the exit codes, and the `main` of both programs;
//! - [`http`]: HTTP/1.1 listeners with a bound for everything a client can make last or grow;
//! - [`identity`]: a node's key pair, and whom it trusts;
//! - [`link`]: a WebSocket over mutual TLS, bytes in and bytes out;
//! - [`logging`]: one subscriber, text or JSON, on the standard error stream, which no thread waits for;
//! - [`node_id`]: the id of a node, kept on its disk;
//! - [`status`]: the section `status` of both programs;
//! - [`text`]: what peers write, made fit for a line of a log;
//! - [`tokens`]: the tokens by which clients are known, kept as hashes in a file.
//!
//! Nothing here knows a service, a route or a frame of the wire, and nothing here knows a database or a
//! proxy.

pub mod certified_key;
pub mod config;
pub mod descriptors;
pub mod exit;
pub mod file;
pub mod http;
pub mod identity;
pub mod link;
pub mod logging;
pub mod node_id;
pub mod status;
pub mod text;
pub mod tokens;

/// Makes *ring* the TLS provider of this process; without effect when there is one already.
pub fn install_tls_provider() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
