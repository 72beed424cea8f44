//! The parts that a control plane and a data plane share as programs.
//!
//! - [`config`]: typed configuration from defaults, a TOML file and the environment, with the origin of each
//!   value;
//! - [`descriptors`]: how many files and sockets a process may hold;
//! - [`exit`]: the exit codes, and the `main` of both programs;
//! - [`http`]: HTTP/1.1 listeners with a bound for everything a client can prolong or enlarge;
//! - [`identity`]: a node's key pair, and the peers that it trusts;
//! - [`link`]: a WebSocket over mutual TLS, bytes in and bytes out;
//! - [`logging`]: one subscriber, text or JSON, on the standard error stream, which no thread waits for;
//! - [`node_id`]: the id of a node, kept on its disk;
//! - [`status`]: the section `status` of both programs;
//! - [`text`]: makes the text of peers safe for a line of a log;
//! - [`tokens`]: the tokens that authenticate clients, kept as hashes in a file.
//!
//! This crate knows no service, no route, no frame of the wire, no database and no proxy.

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

/// Makes *ring* the TLS provider of this process. Without effect when there is one already.
pub fn install_tls_provider() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
