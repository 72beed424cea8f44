//! The rules of entities, with the messages that Kong's users know. The Admin API refuses with
//! them what the data plane would refuse with them.

mod certificate;
mod host;
mod path;
mod route;
mod service;
mod text;

pub(crate) use host::split_port;
pub use text::validate_tags;

use crate::{Protocol, Violations};

/// Notes a field that the value of another one forbids: under the field, and as a rule between the two.
fn forbidden(violations: &mut Violations, given: &str, name: &str, message: impl Into<String>) {
    violations.entity(format!("failed conditional validation given value of field '{given}'"));
    violations.field(name, message);
}

/// `'tcp', 'tls' or 'udp'`.
fn quoted(protocols: &[Protocol]) -> String {
    let names: Vec<String> = protocols.iter().map(|protocol| format!("'{protocol}'")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
