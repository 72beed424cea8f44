//! An upstream: the targets that requests to one name are balanced over, and by which rules.

mod boxed;
pub mod healthchecks;
mod inputs;
pub mod policy;
mod rules;

use model_derive::Record;
use serde_json::Value;
use uuid::Uuid;
use wire::Kind;

use self::healthchecks::Healthchecks;
pub use self::inputs::{Algorithm, HashInput};
use self::policy::Policy;
use crate::bounds;
use crate::check::{host, path, text};
use crate::entity::{Entity, Input};
use crate::kind;
use crate::record::Check;
use crate::violations::Violations;

/// An upstream. Its canonical bytes follow the rules of a [`crate::Service`].
///
/// No field is declared `must_understand`: a data plane that knows the kind knows every field of it. A field
/// that is added later and decides whether a request may be served must be declared so.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Upstream {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The name by which the host of a service gives the upstream, in any case.
    #[field(required, unique, fold = str::to_ascii_lowercase, longest = bounds::NAME, is = host::upstream_name)]
    pub name: String,
    /// How a target is chosen.
    #[field(default = Algorithm::RoundRobin)]
    pub algorithm: Algorithm,
    /// The part of a request that is hashed.
    #[field(default = HashInput::None)]
    pub hash_on: HashInput,
    /// The part that is hashed when a request lacks the first.
    #[field(default = HashInput::None)]
    pub hash_fallback: HashInput,
    /// The header that is hashed.
    #[field(longest = bounds::HASH_NAME, is = text::written_header_name)]
    pub hash_on_header: Option<String>,
    /// The header that is hashed instead.
    #[field(longest = bounds::HASH_NAME, is = text::written_header_name)]
    pub hash_fallback_header: Option<String>,
    /// The cookie that is hashed. A response sets it when the request lacks it.
    #[field(longest = bounds::HASH_NAME, is = text::cookie_name)]
    pub hash_on_cookie: Option<String>,
    /// The path of the cookie that a response sets.
    #[field(default = "/".to_owned(), starts_with("/"), is = path::cookie_path)]
    pub hash_on_cookie_path: String,
    /// The query argument that is hashed.
    #[field(longest = bounds::HASH_NAME)]
    pub hash_on_query_arg: Option<String>,
    /// The query argument that is hashed instead.
    #[field(longest = bounds::HASH_NAME)]
    pub hash_fallback_query_arg: Option<String>,
    /// The capture of the route's path that is hashed.
    #[field(longest = bounds::HASH_NAME)]
    pub hash_on_uri_capture: Option<String>,
    /// The capture of the route's path that is hashed instead.
    #[field(longest = bounds::HASH_NAME)]
    pub hash_fallback_uri_capture: Option<String>,
    /// Kept for Kong's clients: the size of the hash table follows from the number of targets.
    #[field(default = 10_000, between(10, 65_536))]
    pub slots: u32,
    /// How the health of targets is found.
    #[field(default = Box::default())]
    pub healthchecks: Box<Healthchecks>,
    /// The Host header that targets get, with an optional port; null: the target's name.
    #[field(longest = bounds::HOST, is = host::host_and_port)]
    pub host_header: Option<String>,
    /// Certificate shown to targets, when the service has none.
    #[field(names(kind::CERTIFICATE))]
    pub client_certificate: Option<Uuid>,
    /// Whether the name of an SRV record, and not that of the target, is the Host header.
    #[field(default = false)]
    pub use_srv_name: bool,
    /// The cookie that names the target of a client, for the algorithm sticky-sessions.
    #[field(quiet, longest = bounds::HASH_NAME, is = text::cookie_name)]
    pub sticky_sessions_cookie: Option<String>,
    /// The path of that cookie.
    #[field(quiet, default = "/".to_owned(), starts_with("/"), is = path::cookie_path)]
    pub sticky_sessions_cookie_path: String,
    /// What Kong has no field for. Clients that do not know it replace an upstream without it, and so leave
    /// it as it is.
    #[field(quiet, kept, default = Box::default())]
    pub policy: Box<Policy>,
}

impl Upstream {
    /// Whether any health check is on, as Kong decides it: an active interval or a passive limit of failures
    /// is not 0.
    pub fn checks_on(&self) -> bool {
        self.healthchecks.active.is_on() || self.healthchecks.passive.is_on()
    }

    /// The name of the header, cookie, query argument or capture that is hashed first; `None` when the input
    /// has no name.
    pub fn hash_on_name(&self) -> Option<&str> {
        match self.hash_on {
            HashInput::Header => self.hash_on_header.as_deref(),
            HashInput::Cookie => self.hash_on_cookie.as_deref(),
            HashInput::QueryArg => self.hash_on_query_arg.as_deref(),
            HashInput::UriCapture => self.hash_on_uri_capture.as_deref(),
            HashInput::None | HashInput::Consumer | HashInput::Ip | HashInput::Path => None,
        }
    }

    /// The same for the input that is hashed when the first is missing.
    pub fn hash_fallback_name(&self) -> Option<&str> {
        match self.hash_fallback {
            HashInput::Header => self.hash_fallback_header.as_deref(),
            HashInput::Cookie => self.hash_on_cookie.as_deref(),
            HashInput::QueryArg => self.hash_fallback_query_arg.as_deref(),
            HashInput::UriCapture => self.hash_fallback_uri_capture.as_deref(),
            HashInput::None | HashInput::Consumer | HashInput::Ip | HashInput::Path => None,
        }
    }
}

impl Check for Upstream {
    fn rules(&self, violations: &mut Violations) {
        self.check_inputs(violations);
        self.check_names(violations);
        self.check_policy(violations);
    }

    fn entity_checks() -> Vec<Value> {
        Self::described_rules()
    }
}

impl Entity for Upstream {
    const KIND: Kind = kind::UPSTREAM;
    const NOUN: &'static str = "upstream";
    const ENDPOINT_KEY: Option<&'static str> = Some("name");

    /// An algorithm that does not hash drops what was hashed; an input of the hash chooses the algorithm that
    /// hashes it. Without an input there is nothing to hash.
    fn imply(held: Option<&Self>, Input { fields, .. }: &mut Input, _violations: &mut Violations) {
        let unhashed = [Algorithm::LeastConnections, Algorithm::Latency, Algorithm::StickySessions];
        let algorithm = fields.get("algorithm").and_then(Value::as_str).map(str::to_owned);
        let algorithm = algorithm.as_deref();
        if algorithm.is_some_and(|given| unhashed.iter().any(|one| one.as_str() == given)) {
            fields.insert("hash_on".to_owned(), Value::Null);
        }
        let hashes = algorithm == Some(Algorithm::ConsistentHashing.as_str());
        let has_input = held.is_some_and(|held| held.hash_on != HashInput::None);
        let implied = match fields.get("hash_on") {
            None if hashes && !has_input => Algorithm::RoundRobin,
            None => return,
            Some(Value::Null) => {
                fields.insert("hash_on".to_owned(), HashInput::None.as_str().into());
                return;
            }
            Some(given) if given == HashInput::None.as_str() => Algorithm::RoundRobin,
            Some(_) => Algorithm::ConsistentHashing,
        };
        fields.insert("algorithm".to_owned(), implied.as_str().into());
    }
}

#[cfg(test)]
mod tests;
