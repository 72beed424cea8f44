//! The plugins of one request: which ones were chosen, and what they keep between its phases.

use std::any::Any;
use std::sync::Arc;

use http::HeaderValue;
use smallvec::SmallVec;
use uuid::Uuid;

use super::Phases;
use super::chain::Chain;
use super::directory::Credential;
use super::instance::Instance;
use super::table::Plugins;
use crate::message::{FieldName, FieldValue};
use crate::route::Entry;
use crate::section::{Consumer, Service};

/// The plugins of one request.
#[derive(Debug)]
pub struct Running {
    pub(super) chain: Arc<Chain>,
    /// The plugins and consumers of the request's configuration, until the request is forwarded.
    pub(super) plugins: Option<Arc<Plugins>>,
    pub(super) route: Option<Arc<Entry>>,
    pub(super) service: Option<Arc<Service>>,
    /// The instances that run, in their order.
    pub(super) chosen: SmallVec<[Arc<Instance>; 6]>,
    pub(super) consumer: Option<Arc<Consumer>>,
    pub(super) credential: Option<Credential>,
    /// Fields of whatever answer is sent.
    pub(super) answer_fields: Vec<(FieldName, FieldValue)>,
    /// The path and the query that plugins gave the request.
    pub(super) path: Option<Vec<u8>>,
    pub(super) query: Option<Option<Vec<u8>>>,
    /// The host, and the port if there is one, that plugins gave the request.
    pub(super) host: Option<HeaderValue>,
    pub(super) kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Running {
    /// The plugins of a request for this route.
    pub fn new(
        plugins: &Arc<Plugins>,
        route: &Arc<Entry>,
        service: Option<&Arc<Service>>,
    ) -> Option<Box<Self>> {
        let chain = plugins.chain(&route.id, service.map(|service| &service.id));
        (!chain.is_empty()).then(|| {
            let begun = Self::begin(chain.clone(), plugins.clone());
            Box::new(Self { route: Some(route.clone()), service: service.cloned(), ..begun })
        })
    }

    /// The plugins that see the answer to a request without a route: the global ones.
    pub fn without_route(plugins: &Plugins) -> Option<Box<Self>> {
        let chain = plugins.global();
        (!chain.is_empty()).then(|| {
            let chosen = chain.slots().iter().filter_map(|slot| slot.base().cloned()).collect();
            let begun = Self::begin_without(chain.clone());
            Box::new(Self { chosen, ..begun })
        })
    }

    fn begin(chain: Arc<Chain>, plugins: Arc<Plugins>) -> Self {
        Self { plugins: Some(plugins), ..Self::begin_without(chain) }
    }

    fn begin_without(chain: Arc<Chain>) -> Self {
        Self {
            chain,
            plugins: None,
            route: None,
            service: None,
            chosen: SmallVec::new(),
            consumer: None,
            credential: None,
            answer_fields: Vec::new(),
            path: None,
            query: None,
            host: None,
            kept: Vec::new(),
        }
    }

    /// Whether any plugin does something in this phase.
    pub fn has(&self, phase: Phases) -> bool {
        self.chain.phases().has(phase)
    }

    /// Whether any plugin changes the answer, or has set fields for it.
    pub fn changes_answer(&self) -> bool {
        self.has(Phases::ANSWER) || !self.answer_fields.is_empty()
    }

    /// Fields of whatever answer is sent. They take the place of those that it has.
    pub fn answer_fields(&self) -> &[(FieldName, FieldValue)] {
        &self.answer_fields
    }

    /// The route.
    pub fn route(&self) -> Option<&Entry> {
        self.route.as_deref()
    }

    /// The service.
    pub fn service(&self) -> Option<&Service> {
        self.service.as_deref()
    }

    /// The consumer, once one is known.
    pub fn consumer(&self) -> Option<&Arc<Consumer>> {
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

    /// The ids of the route and of the service.
    pub(super) fn scope(&self) -> (Option<Uuid>, Option<Uuid>) {
        (self.route.as_ref().map(|route| route.id), self.service.as_ref().map(|service| service.id))
    }
}
