//! The protocols of services and of routes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::types::Word;
use crate::violations::FieldErrors;

/// A protocol of a service or of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// gRPC over plaintext HTTP/2.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A TCP stream.
    Tcp,
    /// A TLS stream, terminated by the data plane.
    Tls,
    /// A TLS stream, passed through without decryption.
    TlsPassthrough,
    /// UDP datagrams.
    Udp,
}

impl Protocol {
    /// Every protocol, in the order of their names.
    pub const ALL: [Self; 8] = [
        Self::Grpc,
        Self::Grpcs,
        Self::Http,
        Self::Https,
        Self::Tcp,
        Self::Tls,
        Self::TlsPassthrough,
        Self::Udp,
    ];

    /// Whether the protocol's messages are those of HTTP, as gRPC's are.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https) || self.is_grpc()
    }

    /// Whether the protocol is gRPC, and so HTTP/2.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }

    /// Whether the protocol runs over TLS that the data plane terminates.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs | Self::Tls)
    }

    /// The name in the Admin API and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::TlsPassthrough => "tls_passthrough",
            Self::Udp => "udp",
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Protocol {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|p| p.as_str() == name).ok_or(())
    }
}

impl Word for Protocol {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }

    /// A list with a word that is no protocol is wrong as a whole.
    fn in_list(list: &[Value], errors: BTreeMap<usize, FieldErrors>) -> FieldErrors {
        let unknown = errors.keys().find_map(|index| list[*index].as_str());
        match unknown {
            Some(unknown) => format!("unknown type: {}", unknown.chars().take(64).collect::<String>()).into(),
            None => FieldErrors::Elements(errors),
        }
    }
}

/// A protocol of a plugin. Messages about a list of them name the wrong element, as those about routes do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginProtocol(pub Protocol);

impl Word for PluginProtocol {
    const ALL: &'static [Self] = &[
        Self(Protocol::Grpc),
        Self(Protocol::Grpcs),
        Self(Protocol::Http),
        Self(Protocol::Https),
        Self(Protocol::Tcp),
        Self(Protocol::Tls),
        Self(Protocol::TlsPassthrough),
        Self(Protocol::Udp),
    ];

    fn as_str(self) -> &'static str {
        self.0.as_str()
    }
}

/// `'tcp', 'tls' or 'udp'`.
pub(crate) fn quoted(protocols: &[Protocol]) -> String {
    let names: Vec<String> = protocols.iter().map(|protocol| format!("'{protocol}'")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
