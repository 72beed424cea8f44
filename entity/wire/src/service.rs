//! A service: the upstream of requests, and how they are sent to it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A service as it is published. Its canonical bytes are this struct as JSON, in this order of fields,
/// without those that hold their default. The id is not among them: the record's key has it. A default is
/// part of the wire and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// Unique name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Protocol of the upstream.
    #[serde(skip_serializing_if = "is_http")]
    pub protocol: Protocol,
    /// Host name or address of the upstream, without a port.
    pub host: String,
    /// Port of the upstream.
    #[serde(skip_serializing_if = "is_80")]
    pub port: u16,
    /// Path that precedes the request's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Further attempts after the first has failed.
    #[serde(skip_serializing_if = "is_5")]
    pub retries: u16,
    /// Time to establish a connection, in milliseconds.
    #[serde(skip_serializing_if = "is_minute")]
    pub connect_timeout: u32,
    /// Time between two writes of a request, in milliseconds.
    #[serde(skip_serializing_if = "is_minute")]
    pub write_timeout: u32,
    /// Time between two reads of a response, in milliseconds.
    #[serde(skip_serializing_if = "is_minute")]
    pub read_timeout: u32,
    /// Whether the upstream's certificate is verified; `None`: the data plane's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
    /// Greatest length of the upstream's certificate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verify_depth: Option<u8>,
    /// CA certificates that the upstream's certificate is verified against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<Vec<Uuid>>,
    /// Certificate shown to the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Uuid>,
    /// Whether its routes match at all.
    #[serde(skip_serializing_if = "is_true")]
    pub enabled: bool,
}

impl Service {
    /// Whether data planes proxy requests to the service: it is enabled, and they support its protocol.
    /// Otherwise its routes match nothing.
    pub fn is_served(&self) -> bool {
        self.enabled && self.protocol.is_http()
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            id: Uuid::nil(),
            name: None,
            protocol: Protocol::Http,
            host: String::new(),
            port: 80,
            path: None,
            retries: 5,
            connect_timeout: 60_000,
            write_timeout: 60_000,
            read_timeout: 60_000,
            tls_verify: None,
            tls_verify_depth: None,
            ca_certificates: None,
            client_certificate: None,
            enabled: true,
        }
    }
}

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

// serde's `skip_serializing_if` takes a path to a function of a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
mod defaults {
    use super::Protocol;

    pub(super) fn is_http(value: &Protocol) -> bool {
        *value == Protocol::Http
    }
    pub(super) fn is_80(value: &u16) -> bool {
        *value == 80
    }
    pub(super) fn is_5(value: &u16) -> bool {
        *value == 5
    }
    pub(super) fn is_minute(value: &u32) -> bool {
        *value == 60_000
    }
    pub(super) fn is_true(value: &bool) -> bool {
        *value
    }
}
use defaults::{is_5, is_80, is_http, is_minute, is_true};
