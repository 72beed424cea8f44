//! What the last phase of a plugin sees: a request that has been answered, or that has failed.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::directory::Credential;
use super::exchange::Surroundings;
use super::reports::Reports;
use super::running::Running;
use super::shared::Shared;
use crate::client::{Ends, Request};
use crate::metrics::Source;
use crate::notes::Notes;
use crate::redaction::{Redaction, Redactions};
use crate::request;
use crate::route::Entry;
use crate::section::{Consumer, Service};

/// A request that has been answered, or that has failed. Plugins see it once, after the last byte of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'e> {
    /// The request, with the changes that plugins made.
    pub request: &'e Request,
    /// Both ends of the client's connection.
    pub ends: &'e Ends,
    /// What plugins see and do not change.
    pub around: &'e Surroundings<'e>,
    /// The plugins; `None` when none runs.
    pub running: Option<&'e Running>,
    /// The route, if one was found.
    pub route: Option<&'e Entry>,
    /// The service of the route, if it has one.
    pub service: Option<&'e Service>,
    /// Bytes of the body that came, without the frames of chunks; of a tunnel, those from the client.
    pub body_bytes: u64,
    /// What was noted on the way.
    pub notes: &'e Notes,
    /// The status, and who answered. Of a client that left before an answer, the status that it would have got.
    pub answered: (u16, Source),
    /// Why the request failed, as the metrics say it.
    pub failure: Option<&'static str>,
    /// Time from the header until an upstream was chosen, or until an answer of the gateway.
    pub before_upstream: Duration,
    /// Time from the first attempt to the header of the upstream's answer, or to its failure.
    pub waited: Option<Duration>,
    /// When the request ended.
    pub now: Instant,
    /// The same, since 1970.
    pub now_at: Duration,
}

impl Ended<'_> {
    /// Where it is reported.
    pub fn reports(&self) -> &Reports {
        &self.around.shared.reports
    }

    /// The id of the request.
    pub fn id(&self) -> &str {
        self.around.request_id.as_str()
    }

    /// The fields of the request, with the changes that plugins made.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The first value of a field of the request.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().get(name).map(http::HeaderValue::as_bytes)
    }

    /// Path and query as the client sent them.
    pub fn sent_target(&self) -> &[u8] {
        let known = self.around.canonical.sent_target(self.request);
        // A request that could not be read further has no canonical form.
        if known.is_empty() { &self.request.target } else { known }
    }

    /// The query as plugins have left it, without the question mark; `None` without one.
    pub fn query(&self) -> Option<&[u8]> {
        let sent = || {
            let target = self.sent_target();
            memchr::memchr(b'?', target).map(|at| &target[at + 1..])
        };
        self.running.and_then(Running::query).unwrap_or_else(sent)
    }

    /// The host that the client asked for, without its port.
    pub fn host(&self) -> &str {
        let sent = || str::from_utf8(self.request.authority.as_deref()?).ok();
        match self.around.canonical.host() {
            // A request that could not be read further has no canonical form.
            "" => sent().and_then(model::split_authority).map_or("", |(host, _)| host),
            host => host,
        }
    }

    /// `http`, or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.ends.server_name.is_some() { "https" } else { "http" }
    }

    /// The client's address: that of a trusted peer's header, else the peer's.
    pub fn client_address(&self) -> IpAddr {
        request::client_address(self.request, self.ends, self.around.trusted)
    }

    /// The consumer, if one is known.
    pub fn consumer(&self) -> Option<&Consumer> {
        self.running.and_then(Running::consumer)
    }

    /// The credential with which the consumer authenticated.
    pub fn credential(&self) -> Option<&Credential> {
        self.running.and_then(Running::credential)
    }

    /// What a plugin kept of this type.
    pub fn kept<T: Any>(&self) -> Option<&T> {
        self.running.and_then(Running::kept)
    }

    /// What a log must not show: what it is configured with, and the credentials that plugins of the request look for.
    pub(crate) fn redactions<'r>(&'r self, own: &'r Redaction) -> Redactions<'r> {
        let instances = self.running.into_iter().flat_map(|running| running.chosen.iter());
        let of_plugins = instances.filter_map(|instance| instance.behaviour().secrets());
        [own].into_iter().chain(of_plugins).collect()
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.answered.0
    }

    /// Whether the answer is the upstream's.
    pub fn is_from_upstream(&self) -> bool {
        self.answered.1 == Source::Upstream
    }

    /// What Kong calls its own latency: the time before the upstream, and that in which its body came.
    pub fn kong_latency(&self) -> Duration {
        self.before_upstream + self.notes.received.unwrap_or_default()
    }

    /// Time from the header of the request to the end of its answer.
    pub fn took(&self) -> Duration {
        self.now.saturating_duration_since(self.around.started)
    }

    /// When the header of the request had been read, since 1970.
    pub fn started_at(&self) -> Duration {
        self.at(self.around.started)
    }

    /// A moment of the request, since 1970.
    pub fn at(&self, moment: Instant) -> Duration {
        self.now_at.saturating_sub(self.now.saturating_duration_since(moment))
    }

    /// Bytes of the request that came.
    pub fn request_bytes(&self) -> u64 {
        self.request.header_bytes + self.body_bytes
    }

    /// Bytes of the answer.
    pub fn answer_bytes(&self) -> u64 {
        self.notes.answer_header_bytes + self.notes.answer_bytes
    }

    /// What outlives configurations.
    pub fn shared(&self) -> &Arc<Shared> {
        self.around.shared
    }
}
