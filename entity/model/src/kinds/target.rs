//! A target: a host and a port to which the requests of an upstream go.

use model_derive::Record;
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::host;
use crate::common::Times;
use crate::entity::Entity;
use crate::kind;
use crate::record::Check;
use crate::target_address::TargetAddress;

/// How the tag begins that gives the zone of a target.
const ZONE: &str = "zone:";

/// A target. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Target {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The upstream whose requests it gets.
    #[field(required, belongs_to(kind::UPSTREAM))]
    pub upstream: Uuid,
    /// A name or an address, and a port: `api.example.com:8000`, `10.0.0.1:8000`, or an IPv6 address in
    /// brackets, in eight groups of four digits.
    #[field(
        required,
        unique_within("upstream"),
        clean = Target::canonical_target,
        longest = bounds::TARGET,
        is = host::target
    )]
    pub target: String,
    /// Its share of the requests, relative to the others; 0: none.
    #[field(default = 100, between(0, 65_535))]
    pub weight: u16,
    /// Whether it gets requests only when no other target is available.
    #[field(quiet, default = false)]
    pub failover: bool,
    /// The zone that the tag `zone:name` gives.
    #[field(internal)]
    pub zone: Option<String>,
}

impl Target {
    /// The stored form of a target. A text that is none stays as it is.
    pub fn canonical_target(text: &str) -> String {
        TargetAddress::parse(text).map_or_else(|| text.to_owned(), |address| address.to_string())
    }

    /// The host, an IPv6 address without its brackets, and the port.
    pub fn host_and_port(&self) -> (&str, u16) {
        let (host, port) = self.target.rsplit_once(':').unwrap_or((&self.target, ""));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (host, port.parse().unwrap_or(TargetAddress::DEFAULT_PORT))
    }
}

impl Check for Target {}

impl Entity for Target {
    const KIND: Kind = kind::TARGET;
    const NOUN: &'static str = "target";
    const ENDPOINT_KEY: Option<&'static str> = Some("target");
    const HAS_COLLECTION: bool = false;
    const TIMES: Times = Times::Milliseconds;

    fn set_tags(&mut self, tags: &[String]) {
        self.zone = tags.iter().find_map(|tag| tag.strip_prefix(ZONE)).map(str::to_owned);
    }
}

#[cfg(test)]
mod tests;
