//! What the Admin API needs of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use node::http::Limits;

use super::{ConfigLimits, Host, Origin, TlsFiles};

/// The addresses, access rules and bounds of the Admin API.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// The address without TLS.
    pub listen: SocketAddr,
    /// The address with TLS, and its files.
    pub tls: Option<(SocketAddr, TlsFiles)>,
    /// The Unix socket and its mode.
    pub socket: Option<(PathBuf, u32)>,
    /// The file of tokens.
    pub tokens: Option<PathBuf>,
    /// Whether answers show the secrets of credentials.
    pub show_secrets: bool,
    pub(crate) origins: Vec<Origin>,
    pub(crate) hosts: Vec<Host>,
    /// The most bytes of all bodies together that are being read or handled.
    pub max_body_memory: usize,
    /// The bounds of `/config`.
    pub config: ConfigLimits,
    /// The bounds of all its listeners together.
    pub limits: Limits,
}
