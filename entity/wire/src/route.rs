//! A route: the requests that go to a service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Protocol;

/// A route as it is published. Its canonical bytes follow the rules of [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// Unique name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The service of the route. A route without one is legal and answers 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Uuid>,
    /// Protocols of the requests that the route accepts. A set, in the order given.
    #[serde(skip_serializing_if = "is_http_https")]
    pub protocols: Vec<Protocol>,
    /// Methods that match, upper-case; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Hosts that match: exact, `*.suffix` or `prefix.*`, each with an optional port; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Paths that match: a prefix (`/…`) or a regular expression (`~/…`); `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Request headers that must all be present with one of the listed values; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// Server names of the TLS handshake; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snis: Option<Vec<String>>,
    /// Source addresses of a stream; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Endpoint>>,
    /// Destination addresses of a stream; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<Endpoint>>,
    /// Status of the answer to plaintext requests for an https-only route: 426, 301, 302, 307 or 308.
    #[serde(skip_serializing_if = "is_426")]
    pub https_redirect_status_code: u16,
    /// Order among regular expressions; the greater is tried first.
    #[serde(skip_serializing_if = "is_0")]
    pub regex_priority: i32,
    /// Whether the matched prefix is removed from the path before it goes upstream.
    #[serde(skip_serializing_if = "is_true")]
    pub strip_path: bool,
    /// How service path, route path and request path are joined.
    #[serde(skip_serializing_if = "PathHandling::is_v0")]
    pub path_handling: PathHandling,
    /// Whether the client's Host header goes upstream.
    #[serde(skip_serializing_if = "is_false")]
    pub preserve_host: bool,
    /// Kept for Kong's clients and without effect: a request's body is always sent on as it arrives.
    #[serde(skip_serializing_if = "is_true")]
    pub request_buffering: bool,
    /// Kept for Kong's clients and without effect: a response's body is always sent on as it arrives.
    #[serde(skip_serializing_if = "is_true")]
    pub response_buffering: bool,
    /// When the route was created, in seconds since 1970. Among routes of equal priority the oldest wins,
    /// then the smallest id.
    pub created_at: i64,
}

impl Route {
    /// Whether plaintext requests that the route matches are not proxied.
    pub fn is_tls_only(&self) -> bool {
        self.protocols.iter().all(|protocol| protocol.is_tls())
    }

    /// Whether the route is for gRPC. All protocols of a route are of one family.
    pub fn is_grpc(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol.is_grpc())
    }
}

impl Default for Route {
    fn default() -> Self {
        Self {
            id: Uuid::nil(),
            name: None,
            service: None,
            protocols: vec![Protocol::Http, Protocol::Https],
            methods: None,
            hosts: None,
            paths: None,
            headers: None,
            snis: None,
            sources: None,
            destinations: None,
            https_redirect_status_code: 426,
            regex_priority: 0,
            strip_path: true,
            path_handling: PathHandling::V0,
            preserve_host: false,
            request_buffering: true,
            response_buffering: true,
            created_at: 0,
        }
    }
}

/// One address of a stream: at least one of the two is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// An address or a network in CIDR notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// A port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// How service path, route path and request path form the upstream path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathHandling {
    /// Joined with exactly one slash between the parts.
    #[default]
    V0,
    /// Concatenated as they are.
    V1,
}

impl PathHandling {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_v0(&self) -> bool {
        *self == Self::V0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
mod defaults {
    use crate::Protocol;

    #[expect(clippy::ptr_arg, reason = "the signature is serde's")]
    pub(super) fn is_http_https(value: &Vec<Protocol>) -> bool {
        value[..] == [Protocol::Http, Protocol::Https]
    }
    pub(super) fn is_426(value: &u16) -> bool {
        *value == 426
    }
    pub(super) fn is_0(value: &i32) -> bool {
        *value == 0
    }
    pub(super) fn is_true(value: &bool) -> bool {
        *value
    }
    pub(super) fn is_false(value: &bool) -> bool {
        !*value
    }
}
use defaults::{is_0, is_426, is_false, is_http_https, is_true};
