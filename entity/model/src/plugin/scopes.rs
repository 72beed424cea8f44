//! What a plugin can be limited to, and for which protocols.

use crate::protocol::Protocol;

/// The entities that a plugin can be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// Requests of one consumer.
    pub consumer: bool,
    /// Requests for one route.
    pub route: bool,
    /// Requests for one service.
    pub service: bool,
}

impl Scopes {
    /// All of them.
    pub const ALL: Self = Self { consumer: true, route: true, service: true };

    /// No consumer: the plugin acts before it is known.
    pub const WITHOUT_CONSUMER: Self = Self { consumer: false, ..Self::ALL };

    /// None: the plugin is for all requests.
    pub const GLOBAL: Self = Self { consumer: false, route: false, service: false };
}

/// The protocols that a plugin may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// Those that it may have, in the order of messages.
    pub allowed: &'static [Protocol],
    /// Those of a plugin whose body says nothing.
    pub default: &'static [Protocol],
}

const HTTP: &[Protocol] = &[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https];

impl Protocols {
    /// Those of HTTP alone.
    pub const HTTP: Self = Self { allowed: HTTP, default: HTTP };

    /// Any, and those of HTTP by default.
    pub const ANY: Self = Self { allowed: &Protocol::ALL, default: HTTP };

    /// Any, and those of HTTP and of streams by default.
    pub const WITH_STREAMS: Self = Self {
        allowed: &Protocol::ALL,
        default: &[
            Protocol::Grpc,
            Protocol::Grpcs,
            Protocol::Http,
            Protocol::Https,
            Protocol::Tcp,
            Protocol::Tls,
        ],
    };

    /// The message for a protocol that is not allowed.
    pub(crate) fn expected(&self) -> String {
        let names: Vec<_> = self.allowed.iter().map(|protocol| protocol.as_str()).collect();
        format!("expected one of: {}", names.join(", "))
    }
}
