//! The plugins of one request: which ones were chosen, and what they keep between its phases.

use std::any::Any;
use std::sync::Arc;

use http::HeaderValue;
use uuid::Uuid;

use super::Phases;
use super::chain::Chain;
use super::chosen::ChosenInstances;
use super::directory::Credential;
use super::table::Plugins;
use crate::counting::counters::Subject;
use crate::message::FieldLines;
use crate::route::Entry;
use crate::section::{Consumer, Service};

/// The plugins of one request.
#[derive(Debug)]
pub struct Running {
    /// The instances that run, and their chain.
    pub(super) chosen: ChosenInstances,
    /// The plugins and consumers of the request's configuration, until the request is forwarded.
    pub(super) plugins: Option<Arc<Plugins>>,
    /// The route and the service of a request without a target.
    pub(super) route: Option<Arc<Entry>>,
    pub(super) service: Option<Arc<Service>>,
    /// A copy: dropping an `Arc` would write its count, which has left the cache by then.
    pub(super) consumer: Option<Consumer>,
    pub(super) credential: Option<Credential>,
    /// What a plugin will count the sender by, and the plugin.
    pub(super) prepared: Option<(Uuid, Subject)>,
    /// Fields of whatever answer is sent.
    pub(super) answer_fields: FieldLines,
    /// The path and the query that plugins gave the request.
    pub(super) path: Option<Vec<u8>>,
    pub(super) query: Option<Option<Vec<u8>>>,
    /// The host, and the port if there is one, that plugins gave the request.
    pub(super) host: Option<HeaderValue>,
    pub(super) kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Running {
    /// The plugins of a request for this route. Route and service are those of its target; without one, call
    /// [`Self::set_route`].
    pub fn new(plugins: &Arc<Plugins>, route: &Entry, service: Option<&Service>) -> Option<Box<Self>> {
        let chain = plugins.chain(&route.id, service.map(|service| &service.id));
        (!chain.is_empty()).then(|| {
            let begun = Self::begin(ChosenInstances::none(chain.clone()));
            Box::new(Self { plugins: Some(plugins.clone()), ..begun })
        })
    }

    /// Sets the route and the service of a request that will have no target.
    pub fn set_route(&mut self, route: Arc<Entry>, service: Option<Arc<Service>>) {
        (self.route, self.service) = (Some(route), service);
    }

    /// The plugins that see the answer to a request without a route: the global ones.
    pub fn without_route(plugins: &Plugins) -> Option<Box<Self>> {
        let chain = plugins.global();
        (!chain.is_empty()).then(|| Box::new(Self::begin(ChosenInstances::of_anyone(chain.clone()))))
    }

    fn begin(chosen: ChosenInstances) -> Self {
        Self {
            chosen,
            plugins: None,
            route: None,
            service: None,
            consumer: None,
            credential: None,
            prepared: None,
            answer_fields: FieldLines::default(),
            path: None,
            query: None,
            host: None,
            kept: Vec::new(),
        }
    }

    /// Whether any plugin does something in this phase.
    pub fn has(&self, phase: Phases) -> bool {
        self.chain().phases().has(phase)
    }

    /// The chain.
    pub(super) fn chain(&self) -> &Arc<Chain> {
        self.chosen.chain()
    }

    /// Whether any plugin changes the answer, or has set fields for it.
    pub fn changes_answer(&self) -> bool {
        self.has(Phases::ANSWER) || !self.answer_fields.is_empty()
    }

    /// Fields of whatever answer is sent. They take the place of those that it has.
    pub fn answer_fields(&self) -> &FieldLines {
        &self.answer_fields
    }

    /// The consumer, once one is known.
    pub fn consumer(&self) -> Option<&Consumer> {
        self.consumer.as_ref()
    }

    /// The credential with which the consumer authenticated.
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// The path that a plugin gave the request, in place of the route's and the service's.
    pub fn path(&self) -> Option<&[u8]> {
        self.path.as_deref()
    }

    /// The query that plugins gave the request; `Some(None)`: none.
    pub fn query(&self) -> Option<Option<&[u8]>> {
        self.query.as_ref().map(Option::as_deref)
    }

    /// The host that a plugin gave the request for its upstream, with its port.
    pub fn host(&self) -> Option<&[u8]> {
        self.host.as_ref().map(HeaderValue::as_bytes)
    }

    /// What was kept of this type.
    pub fn kept<T: Any>(&self) -> Option<&T> {
        self.kept.iter().find_map(|kept| kept.downcast_ref())
    }
}
