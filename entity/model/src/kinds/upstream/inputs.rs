//! How a target is chosen, and which part of a request is hashed.

use serde::{Deserialize, Serialize};

use crate::types::Word;

/// How a target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// By the hash of a part of the request.
    ConsistentHashing,
    /// The target with the fewest requests in progress for its weight.
    LeastConnections,
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The target that has answered fastest.
    Latency,
    /// The target that a cookie of the client names.
    StickySessions,
}

impl Algorithm {
    /// The word in bodies, views and canonical bytes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsistentHashing => "consistent-hashing",
            Self::LeastConnections => "least-connections",
            Self::RoundRobin => "round-robin",
            Self::Latency => "latency",
            Self::StickySessions => "sticky-sessions",
        }
    }
}

impl Word for Algorithm {
    const ALL: &'static [Self] = &[
        Self::ConsistentHashing,
        Self::LeastConnections,
        Self::RoundRobin,
        Self::Latency,
        Self::StickySessions,
    ];

    const LISTED: &'static [Self] =
        &[Self::ConsistentHashing, Self::LeastConnections, Self::RoundRobin, Self::Latency];

    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

/// A part of a request that is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashInput {
    /// Nothing.
    #[default]
    None,
    /// The consumer, or else the credential.
    Consumer,
    /// The client's address.
    Ip,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// The path.
    Path,
    /// A query argument.
    QueryArg,
    /// A capture of the route's path.
    UriCapture,
}

impl HashInput {
    /// The word in bodies, views and canonical bytes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Consumer => "consumer",
            Self::Ip => "ip",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Path => "path",
            Self::QueryArg => "query_arg",
            Self::UriCapture => "uri_capture",
        }
    }
}

impl Word for HashInput {
    const ALL: &'static [Self] = &[
        Self::None,
        Self::Consumer,
        Self::Ip,
        Self::Header,
        Self::Cookie,
        Self::Path,
        Self::QueryArg,
        Self::UriCapture,
    ];

    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}
