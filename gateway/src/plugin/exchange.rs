//! What a plugin sees of a request, and what it may change.

use std::any::Any;
use std::borrow::Cow;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tokio::time::Instant;
use uuid::Uuid;

use super::Phases;
use super::chain::Slot;
use super::directory::{Credential, Directory};
use super::instance::Instance;
use super::reply::Reply;
use super::running::Running;
use super::shared::Shared;
use crate::client::{Ends, Incoming};
use crate::counting::counters::Subject;
use crate::grpc;
use crate::message::{FieldName, FieldValue, Framing};
use crate::names;
use crate::request::{self, Canonical, Target, Trusted};
use crate::request_id::RequestId;
use crate::route::Entry;
use crate::section::{Consumer, Service};

/// What plugins see and do not change.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'r> {
    /// The canonical host and path.
    pub canonical: &'r Canonical,
    /// The id of the request.
    pub request_id: &'r RequestId,
    /// The target, with the route and the service.
    pub target: Option<&'r Target>,
    /// When the header had been read.
    pub started: Instant,
    /// Peers whose fields about the client are trusted.
    pub trusted: &'r Trusted,
    /// What outlives configurations.
    pub shared: &'r Arc<Shared>,
}

impl Surroundings<'_> {
    /// The route: the target's, or without a target that of `running`.
    pub fn route<'s>(&'s self, running: Option<&'s Running>) -> Option<&'s Arc<Entry>> {
        self.target.map(|target| &target.route).or_else(|| running?.route.as_ref())
    }

    /// The service: the target's, or without a target that of `running`.
    pub fn service<'s>(&'s self, running: Option<&'s Running>) -> Option<&'s Arc<Service>> {
        self.target.map(|target| &target.service).or_else(|| running?.service.as_ref())
    }
}

/// A request, as a plugin sees it. Edits are seen by later plugins, and go to the upstream.
#[derive(Debug)]
pub struct Exchange<'r> {
    incoming: &'r mut Incoming,
    around: &'r Surroundings<'r>,
    running: &'r mut Running,
}

/// Who sent a request.
#[derive(Debug)]
pub struct Authenticated {
    /// The consumer.
    pub consumer: Option<Consumer>,
    /// The credential; none for the anonymous consumer.
    pub credential: Option<Credential>,
}

impl<'r> Exchange<'r> {
    /// The request with its plugins.
    pub fn new(incoming: &'r mut Incoming, around: &'r Surroundings<'r>, running: &'r mut Running) -> Self {
        Self { incoming, around, running }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.incoming.request.method
    }

    /// Changes the method.
    pub fn set_method(&mut self, method: Method) {
        self.incoming.request.method = method;
    }

    /// The version in which the request came.
    pub fn version(&self) -> Version {
        self.incoming.request.version
    }

    /// Whether the client asked with HEAD, whatever the method is now: it takes no body.
    pub fn is_head(&self) -> bool {
        self.incoming.request.is_head
    }

    /// Whether a gRPC client sent it.
    pub fn is_grpc(&self) -> bool {
        grpc::is_request(self.version(), self.headers())
    }

    /// The fields. Cookies of HTTP/2 are joined.
    pub fn headers(&self) -> &HeaderMap {
        self.incoming.request.headers()
    }

    /// Puts a field in place of all with its name.
    pub fn set_header(&mut self, name: impl Into<FieldName>, value: HeaderValue) {
        self.incoming.request.set_field(name, value);
    }

    /// Adds a field.
    pub fn append_header(&mut self, name: impl Into<FieldName>, value: HeaderValue) {
        self.incoming.request.append_field(name, value);
    }

    /// Removes all fields with this name.
    pub fn remove_header(&mut self, name: &HeaderName) {
        self.incoming.request.remove_field(name);
    }

    /// Path and query as the client sent them.
    pub fn sent_target(&self) -> &[u8] {
        self.around.canonical.sent_target(&self.incoming.request)
    }

    /// The path as the client sent it.
    pub fn sent_path(&self) -> &[u8] {
        self.around.canonical.sent_path(&self.incoming.request)
    }

    /// The canonical path, by which the route was found.
    pub fn path(&self) -> &str {
        self.around.canonical.path(&self.incoming.request)
    }

    /// The query, without the question mark; `None` without one.
    pub fn query(&self) -> Option<&[u8]> {
        match self.running.query() {
            Some(query) => query,
            None => self.around.canonical.query(&self.incoming.request),
        }
    }

    /// Changes the query.
    pub fn set_query(&mut self, query: Option<Vec<u8>>) {
        self.running.query = Some(query);
    }

    /// Changes the whole path for the upstream. The service's path and the route's rules do not count then.
    pub fn set_upstream_path(&mut self, path: Vec<u8>) {
        self.running.path = Some(path);
    }

    /// Changes the host for the upstream, which may have a port. Neither the service's nor the client's counts then.
    pub fn set_upstream_host(&mut self, host: HeaderValue) {
        self.running.host = Some(host);
    }

    /// The path that a plugin gave the request for the upstream.
    pub fn upstream_path(&self) -> Option<&[u8]> {
        self.running.path()
    }

    /// The host that a plugin gave the request for the upstream.
    pub fn upstream_host(&self) -> Option<&HeaderValue> {
        self.running.host.as_ref()
    }

    /// What the route's regular expression captures of the path: by name, or by number.
    pub fn uri_capture(&self, wanted: &str) -> Option<&str> {
        self.route()?.capture(self.path(), wanted)
    }

    /// The host that the client asked for, in lower case, without its port.
    pub fn host(&self) -> &str {
        self.around.canonical.host()
    }

    /// Whether the client uses HTTPS: to the gateway, or to a trusted peer that says so.
    pub fn is_https(&self) -> bool {
        request::is_https(&self.incoming.request, &self.incoming.ends, self.around.trusted)
    }

    /// The client's address: that of a trusted peer's header, else the peer's.
    pub fn client_address(&self) -> IpAddr {
        request::client_address(&self.incoming.request, &self.incoming.ends, self.around.trusted)
    }

    /// Both ends of the client's connection.
    pub fn ends(&self) -> &Ends {
        &self.incoming.ends
    }

    /// The id of the request.
    pub fn request_id(&self) -> &RequestId {
        self.around.request_id
    }

    /// When the header had been read.
    pub fn started(&self) -> Instant {
        self.around.started
    }

    /// How the body is delimited.
    pub fn framing(&self) -> Framing {
        self.incoming.request.framing
    }

    /// Reads the whole body, which is kept for the upstream.
    ///
    /// # Errors
    /// The answer to a body of more than `limit` bytes, and to a client that fails.
    pub fn body(
        &mut self,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, Box<Reply>>> + Send + '_>> {
        let Incoming { early, client, .. } = &mut *self.incoming;
        Box::pin(async move {
            let read = poll_fn(|task| early.poll_whole(client, limit, task)).await;
            read.map_err(|failure| Box::new(Reply::failure(failure)))
        })
    }

    /// Puts `body` in place of the whole body, after it was read.
    pub fn set_body(&mut self, body: Bytes) {
        self.incoming.request.framing = match body.len() {
            0 => Framing::Empty,
            length => Framing::Length(length as u64),
        };
        self.incoming.early.replace(body);
    }

    /// Limits the body to so many bytes while it is passed on. More are answered 413, or break off. Returns whether
    /// no more were read already.
    #[must_use]
    pub fn limit_body(&mut self, bytes: u64) -> bool {
        self.incoming.early.limit(bytes)
    }

    /// The route.
    pub fn route(&self) -> Option<&Arc<Entry>> {
        self.around.route(Some(self.running))
    }

    /// The service.
    pub fn service(&self) -> Option<&Arc<Service>> {
        self.around.service(Some(self.running))
    }

    /// The consumers and credentials of the request's configuration, until it is forwarded.
    pub fn directory(&self) -> &Directory {
        self.running.plugins.as_ref().map_or_else(|| Directory::none(), |plugins| plugins.directory())
    }

    /// The consumer, once one is known.
    pub fn consumer(&self) -> Option<&Consumer> {
        self.running.consumer.as_ref()
    }

    /// The credential; none for an anonymous consumer.
    pub fn credential(&self) -> Option<&Credential> {
        self.running.credential.as_ref()
    }

    /// Says who sent the request, and tells the upstream. What the client says of it is removed.
    pub fn authenticate(&mut self, who: Authenticated) {
        let Authenticated { consumer, credential } = who;
        (self.running.consumer, self.running.credential) = (consumer, credential);
        self.prepare();
        let request = &mut self.incoming.request;
        // A plugin that decides by groups sets them afterwards.
        request::remove_all_claims(request);
        if let Some(consumer) = &self.running.consumer {
            request.append_late_id(&names::CONSUMER_ID, &consumer.id);
            let both = [
                (&names::CONSUMER_CUSTOM_ID, consumer.custom_id()),
                (&names::CONSUMER_USERNAME, consumer.username()),
            ];
            for (name, value) in both {
                value.into_iter().for_each(|value| request.append_late(name, value.as_bytes()));
            }
        }
        match &self.running.credential {
            Some(Credential { identifier: Some(text), .. }) => {
                request.append_late(&names::CREDENTIAL_IDENTIFIER, text.as_bytes());
            }
            Some(Credential { id, .. }) => request.append_late_id(&names::CREDENTIAL_IDENTIFIER, id),
            None => request.append_late(&names::ANONYMOUS_CONSUMER, b"true"),
        }
    }

    /// Lets the plugins prepare for the sender. One subject is kept: only rate-limiting returns one, and a chain runs
    /// one instance of a plugin. Instances of a single consumer are not asked, and compute theirs in their turn.
    fn prepare(&mut self) {
        self.running.prepared = None;
        if !self.running.has(Phases::PREPARE) {
            return;
        }
        let instances = self.running.chain().slots().iter().filter_map(Slot::base);
        let instances = instances.filter(|instance| instance.phases.has(Phases::PREPARE));
        let subject = |one: &Instance| Some((one.terms.id, one.behaviour().prepare(self)?));
        self.running.prepared = instances.fold(None, |before, one| subject(one).or(before));
    }

    /// The subject that the plugin with this id has prepared for the sender.
    pub fn prepared(&self, plugin: Uuid) -> Option<Subject> {
        self.running.prepared.filter(|(of, _)| *of == plugin).map(|(_, subject)| subject)
    }

    /// Sets a field of whatever answer is sent, the upstream's or one of the gateway.
    pub fn set_answer_header(&mut self, name: impl Into<FieldName>, value: impl Into<FieldValue>) {
        self.running.answer_fields.set(name.into(), &value.into());
    }

    /// Sets several fields of whatever answer is sent. No two of them may have the same name.
    pub fn answer_headers(&mut self) -> impl FnMut(FieldName, FieldValue) {
        let fields = &mut self.running.answer_fields;
        // Where no other plugin has set any, none has to leave.
        let are_first = fields.is_empty();
        move |name, value| {
            if are_first {
                debug_assert!(!fields.has(name.written().as_bytes()));
                fields.add(name, &value);
            } else {
                fields.set(name, &value);
            }
        }
    }

    /// Whether a plugin has set a field of whatever answer is sent.
    pub fn sets_answer_header(&self, name: &HeaderName) -> bool {
        self.running.answer_fields.has(name.as_str().as_bytes())
    }

    /// Keeps a value for a later phase of this request. One of a type.
    pub fn keep<T: Any + Send + Sync>(&mut self, value: T) {
        self.running.kept.retain(|kept| !kept.is::<T>());
        self.running.kept.push(Box::new(value));
    }

    /// What was kept of this type.
    pub fn kept<T: Any>(&self) -> Option<&T> {
        self.running.kept()
    }

    /// What outlives configurations.
    pub fn shared(&self) -> &'r Arc<Shared> {
        self.around.shared
    }

    /// The fields as they were written, with their names in the case in which they came.
    pub fn written_headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.incoming.request.fields()
    }

    /// The authority that the client sent, with its port.
    pub fn sent_authority(&self) -> Option<Cow<'_, str>> {
        self.incoming.request.authority.as_deref().map(String::from_utf8_lossy)
    }
}
