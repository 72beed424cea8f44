//! Describes probes, their schedules and their results.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Version};

use crate::upstream::{Host, Terms};

/// A probe of one address. Equal probes are run once, whoever wants them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// The address and port to connect to.
    pub address: SocketAddr,
    /// What is sent there.
    pub check: Check,
    /// Time for all of it, from connecting to the header of the answer. Zero means 60 seconds.
    pub timeout: Duration,
}

/// What a probe sends, and what it expects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// Connects and closes.
    Tcp,
    /// Sends a request without a body, and reads the header of the answer.
    Http(HttpCheck),
    /// Calls `grpc.health.v1.Health/Check`.
    Grpc(GrpcCheck),
}

/// A request of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpCheck {
    /// TLS, and whether it is HTTP/1 or HTTP/2.
    pub terms: Arc<Terms>,
    /// The version of HTTP/1 that is tried first: 1.0 or 1.1. An answer of 426 or 505 makes the probe try the other
    /// one, then and later. HTTP/2 does not look at it.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: PathAndQuery,
    /// The `Host` field or the authority of HTTP/2, unless `fields` has a `Host`.
    pub host: HeaderValue,
    /// More fields. Those that frame a body are left out.
    pub fields: Arc<[(HeaderName, HeaderValue)]>,
}

/// A call of the health protocol of gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrpcCheck {
    /// TLS or not; the protocol is HTTP/2.
    pub terms: Arc<Terms>,
    /// The authority.
    pub host: HeaderValue,
    /// The service; empty for the whole server.
    pub service: Arc<str>,
    /// More fields.
    pub fields: Arc<[(HeaderName, HeaderValue)]>,
}

/// How often an upstream wants a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Between two probes of a healthy address, at least 100 ms; `None` for no probe.
    pub healthy: Option<Duration>,
    /// The same for an unhealthy address.
    pub unhealthy: Option<Duration>,
    /// By how many percent an interval is at most longer or shorter, so that probes do not stay in step.
    pub jitter: u8,
}

/// A probe that an upstream wants.
#[derive(Clone)]
pub struct WantedProbe {
    /// The probe.
    pub probe: Probe,
    /// How often.
    pub schedule: Schedule,
    /// The name of the target, if it is not an address, for the policy on addresses.
    pub name: Option<Arc<str>>,
    /// The address's owner.
    pub heard: Arc<dyn Heard>,
}

/// The owner of an address's health. Its methods are called on the thread of the prober, and must not block.
pub trait Heard: Send + Sync {
    /// Whether the address is healthy now. Chooses the interval.
    fn is_healthy(&self) -> bool;
    /// Receives a result.
    fn result(&self, outcome: &ProbeOutcome);
}

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The address accepts connections, or the service of gRPC is serving.
    Success,
    /// The status of an answer of HTTP.
    Status(u16),
    /// An answer that is none, or a service of gRPC that is not serving; counts like a bad status.
    HttpFailure(Box<str>),
    /// No connection, no TLS, or no answer on the connection.
    TcpFailure(Box<str>),
    /// Not complete within the timeout.
    Timeout,
}

/// The limits of all probes together.
#[derive(Clone, Copy, Debug)]
pub struct ProbeLimits {
    /// The most probes at a time.
    pub running: usize,
    /// The most idle connections of HTTP/1.1 that are kept for later probes. Further ones are closed.
    pub idle: usize,
}

/// The shortest interval: that of Kong's own timer.
const SHORTEST: Duration = Duration::from_millis(100);

/// The timeout in place of zero: that of nginx, and so of Kong.
const UNLIMITED: Duration = Duration::from_secs(60);

impl Probe {
    /// The time for all of it.
    pub(super) fn limit(&self) -> Duration {
        if self.timeout.is_zero() { UNLIMITED } else { self.timeout }
    }
}

impl Schedule {
    /// The interval for a health.
    pub(super) fn interval(&self, healthy: bool) -> Option<Duration> {
        let interval = if healthy { self.healthy } else { self.unhealthy };
        interval.filter(|interval| !interval.is_zero()).map(|interval| interval.max(SHORTEST))
    }

    /// The shorter interval of both; `None` if there is never a probe.
    pub(super) fn shortest(&self) -> Option<Duration> {
        [true, false].into_iter().filter_map(|healthy| self.interval(healthy)).min()
    }
}

/// The name that TLS verifies, and shows to the upstream unless it is an address: the configured one, else that of
/// `host_header`, else the target's.
pub fn server_name(https_sni: Option<&str>, host_header: Option<&str>, target: &str) -> Host {
    match (https_sni, host_header) {
        (Some(name), _) => Host::new(name),
        (None, Some(host)) => Host::new(without_port(host)),
        (None, None) => Host::new(target),
    }
}

/// `host` without a port. An IPv6 address with a port is in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((before, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            if before.contains(':') && !before.ends_with(']') { host } else { before }
        }
        _ => host,
    }
}

impl fmt::Debug for WantedProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { probe, schedule, name, heard: _ } = self;
        f.debug_struct("WantedProbe")
            .field("probe", probe)
            .field("schedule", schedule)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_name_is_the_most_specific_one() {
        let name = |sni, header, target| match server_name(sni, header, target) {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.to_string(),
        };
        assert_eq!(name(Some("Sni.test"), Some("host.test"), "target.test"), "sni.test");
        for (header, expected) in [
            ("host.test", "host.test"),
            ("host.test:8443", "host.test"),
            ("10.0.0.1:8443", "10.0.0.1"),
            ("[::1]:8443", "::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(name(None, Some(header), "target.test"), expected);
        }
        assert_eq!(name(None, None, "target.test"), "target.test");
        assert_eq!(name(None, None, "[::1]"), "::1");
    }

    #[test]
    fn interval_of_zero_is_no_probe_and_a_short_one_is_lengthened() {
        let millis = |millis| Some(Duration::from_millis(millis));
        let schedule = Schedule { healthy: millis(0), unhealthy: millis(1), jitter: 0 };
        assert_eq!(schedule.interval(true), None);
        assert_eq!(schedule.interval(false), millis(100));
        assert_eq!(schedule.shortest(), millis(100));
        assert_eq!(Schedule { unhealthy: None, ..schedule }.shortest(), None);
    }
}
