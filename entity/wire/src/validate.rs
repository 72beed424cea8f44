//! The rules of entities, with the messages that Kong's users know. The Admin API and the data plane apply
//! the same rules.

pub mod bounds;
mod certificate;
mod host;
mod path;
mod route;
mod service;
mod text;

pub(crate) use host::split_port;
pub use text::validate_tags;

use crate::Protocol;

/// `'tcp', 'tls' or 'udp'`.
fn quoted(protocols: &[Protocol]) -> String {
    let names: Vec<String> = protocols.iter().map(|protocol| format!("'{protocol}'")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
