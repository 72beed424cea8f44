//! A route: the requests that go to a service.

mod bounds_of_lists;
mod rules;

use std::collections::BTreeMap;

use model_derive::Record;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wire::Kind;

use crate::kind;
use crate::bounds;
use crate::check::{host, path, text};
use crate::entity::Entity;
use crate::protocol::Protocol;
use crate::record::Check;
use crate::routing::PathHandling;
use crate::violations::Violations;

/// A route. Its canonical bytes follow the rules of [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Route {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// Unique name.
    #[field(unique, longest = bounds::NAME, is = text::name)]
    pub name: Option<String>,
    /// The service of the route. A route without one is legal and answers 503.
    #[field(names(kind::SERVICE))]
    pub service: Option<Uuid>,
    /// Protocols of the requests that the route accepts. A set, in the order given.
    #[field(set, default = vec![Protocol::Http, Protocol::Https])]
    pub protocols: Vec<Protocol>,
    /// Methods that match, upper-case; null: any.
    #[field(set, most = bounds::METHODS, longest = bounds::METHOD, is = text::method)]
    pub methods: Option<Vec<String>>,
    /// Hosts that match: exact, `*.suffix` or `prefix.*`, each with an optional port; null: any.
    #[field(set, most = bounds::HOSTS, longest = bounds::HOST, is = host::route_host)]
    pub hosts: Option<Vec<String>>,
    /// Paths that match: a prefix (`/…`) or a regular expression (`~/…`); null: any.
    #[field(set, most = bounds::PATHS, is = path::route_path)]
    pub paths: Option<Vec<String>>,
    /// Request headers that must all be present with one of the listed values; null: any.
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// Server names of the TLS handshake; null: any.
    #[field(set, most = bounds::SNIS, longest = bounds::HOST, is = host::sni)]
    pub snis: Option<Vec<String>>,
    /// Source addresses of a stream; null: any.
    #[field(set, most = bounds::ENDPOINTS)]
    pub sources: Option<Vec<Endpoint>>,
    /// Destination addresses of a stream; null: any.
    #[field(set, most = bounds::ENDPOINTS)]
    pub destinations: Option<Vec<Endpoint>>,
    /// Status of the answer to plaintext requests for an https-only route.
    #[field(default = 426, one_of(&[426, 301, 302, 307, 308]))]
    pub https_redirect_status_code: u16,
    /// Order among regular expressions; the greater is tried first.
    #[field(default = 0)]
    pub regex_priority: i32,
    /// Whether the matched prefix is removed from the path before it goes upstream.
    #[field(default = true)]
    pub strip_path: bool,
    /// How service path, route path and request path are joined.
    #[field(default = PathHandling::V0)]
    pub path_handling: PathHandling,
    /// Whether the client's Host header goes upstream.
    #[field(default = false)]
    pub preserve_host: bool,
    /// Kept for Kong's clients and without effect: a request's body is always sent on as it arrives.
    #[field(default = true)]
    pub request_buffering: bool,
    /// Kept for Kong's clients and without effect: a response's body is always sent on as it arrives.
    #[field(default = true)]
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

impl Check for Route {
    fn rules(&self, violations: &mut Violations) {
        self.check_fields(violations);
        if self.check_protocols(violations) {
            self.check_forbidden(violations);
            self.check_needed(violations);
        }
    }

    fn bounds(&self, violations: &mut Violations) {
        self.check_bounds(violations);
    }

    fn written_rules(&self, violations: &mut Violations) {
        self.check_written_headers(violations);
        self.check_written_paths(violations);
    }

    fn entity_checks() -> Vec<Value> {
        Self::described_rules()
    }
}

impl Entity for Route {
    const KIND: Kind = kind::ROUTE;
    const NOUN: &'static str = "route";
    const ENDPOINT_KEY: Option<&'static str> = Some("name");

    fn set_created_at(&mut self, created_at: i64) {
        self.created_at = created_at;
    }

    /// The path of a gRPC request is a method's name: there is nothing to strip unless the body says so.
    fn expand(fields: &mut Map<String, Value>, _violations: &mut Violations) {
        // In a form, a single value stands for a list of one.
        let protocols = match fields.get("protocols") {
            Some(Value::Array(list)) => list.as_slice(),
            Some(one @ Value::String(_)) => std::slice::from_ref(one),
            _ => &[],
        };
        let is_grpc = protocols.iter().filter_map(Value::as_str).any(|name| name.starts_with("grpc"));
        if is_grpc && fields.get("strip_path").is_none_or(Value::is_null) {
            fields.insert("strip_path".to_owned(), false.into());
        }
    }
}

/// One address of a stream: at least one of the two is set.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Endpoint {
    /// An address or a network in CIDR notation.
    #[field(is = host::ip_or_cidr)]
    pub ip: Option<String>,
    /// A port.
    #[field(between(0, 65_535))]
    pub port: Option<u16>,
}

impl Check for Endpoint {
    fn rules(&self, violations: &mut Violations) {
        if self.ip.is_none() && self.port.is_none() {
            violations.entity("at least one of these fields must be non-empty: 'ip', 'port'");
        }
    }

    fn entity_checks() -> Vec<Value> {
        vec![json!({ "at_least_one_of": ["ip", "port"] })]
    }
}
