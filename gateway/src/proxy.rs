//! Implements Pingora's phases, each in a few lines that delegate.

mod preflight;
mod settings;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use http::Method;
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;
use tracing::{debug, error, warn};

pub use self::settings::{AmbiguousPaths, Settings};
use crate::access_log::AccessLog;
use crate::client::{Client, Ends, Incoming, Request, Slot};
use crate::context::Context;
use crate::error::RequestFailure;
use crate::forward::{self, Failure, Forwarder};
use crate::grpc;
use crate::limit::Limit;
use crate::live::Live;
use crate::metrics::{HttpMetrics, Source};
use crate::plugin::{self, KeyPrefetch, Phases, Reply, Running, Surroundings};
use crate::request::{self, Canonical, Target};
use crate::respond::{self, respond};
use crate::route;
use crate::upstream::Host;

/// The most bytes of a body that are read before the gateway answers by itself.
const MOST_DROPPED: usize = 64 * 1024;

/// The proxy.
#[derive(Debug)]
pub struct Proxy {
    /// The table.
    pub live: Arc<Live>,
    /// The way to upstreams.
    pub forwarder: Forwarder,
    /// Metrics of requests.
    pub metrics: HttpMetrics,
    /// The cap on requests in flight.
    pub in_flight: Arc<Limit>,
    /// Settings and limits of requests.
    pub settings: Settings,
    /// The log of all requests, if there is one.
    pub access_log: Option<Arc<AccessLog>>,
}

/// Pingora's session leads to the request and its client, and has no part in what follows.
#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new()
    }

    /// Leaves out Pingora's own module, which would look at every response for compression.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> Result<()> {
        context.permit = self.in_flight.acquire();
        context.incoming = Slot::take(session);
        context.key_prefetch = self.prefetch_key(context.incoming.as_deref());
        Ok(())
    }

    /// The whole exchange: Pingora learns that an answer was sent.
    async fn request_filter(&self, _: &mut Session, context: &mut Context) -> Result<bool> {
        if let Some(mut incoming) = context.incoming.take() {
            let ended = self.serve(&mut incoming, context).await;
            if context.notes.is_some() {
                // Logs look fields up in a shared request: to move late ones costs less than a copy.
                incoming.request.merge_late();
            }
            note_target(&incoming.request, context);
            self.log_ended(&incoming, context);
            // A client that is not kept is cut off, so that a part of an answer never looks whole.
            context.incoming = ended.then_some(incoming);
        }
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> Result<Box<HttpPeer>> {
        Err(Error::new_in(ErrorType::InternalError))
    }

    async fn fail_to_proxy(&self, _: &mut Session, _: &Error, _: &mut Context) -> FailToProxy {
        FailToProxy { error_code: 500, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, context: &mut Context) {
        let failed = context.failure.map(RequestFailure::answer);
        if let Some(answer) = failed {
            self.metrics.errors.with_label_values(&[answer.reason]).inc();
        }
        let unanswered = (failed.map_or(0, |answer| answer.status), Source::Gateway);
        let (status, source) = context.answered.unwrap_or(unanswered);
        self.metrics.requests.count(status, source);
        self.metrics.request_duration.observe(context.started.elapsed().as_secs_f64());
        self.metrics.gateway_duration.observe(context.before_upstream().as_secs_f64());
        if let Some(waited) = context.upstream.waited {
            self.metrics.upstream_duration.observe(waited.as_secs_f64());
        }
        // Before the connection's next request is counted.
        context.permit = None;
        if let Some(incoming) = context.incoming.take() {
            Slot::give_back(session, incoming.client);
        }
    }
}

impl Proxy {
    /// Answers the request. Returns whether the whole answer has been written.
    async fn serve(&self, incoming: &mut Incoming, context: &mut Context) -> bool {
        let ended = match self.run(incoming, context).await {
            Ok(()) => return true,
            Err(ended) => ended,
        };
        let failed = ended.failure();
        context.failure = failed;
        if failed.is_some_and(RequestFailure::is_of_upstream) {
            let upstream = &mut context.upstream;
            upstream.waited = upstream.waited.or_else(|| Some(upstream.started?.elapsed()));
        }
        if failed == Some(RequestFailure::ClientClosed) || context.answered.is_some() {
            return false;
        }
        if failed.is_some_and(RequestFailure::is_of_body) {
            incoming.client.close();
        } else {
            // A body that is here already need not cost the connection.
            poll_fn(|task| drop_body(&mut incoming.client, task)).await;
        }
        let shared = (&self.forwarder.trusted, &self.forwarder.shared);
        if matches!(ended, Ended::Failed(_)) {
            self.begin_global_plugins(context);
        }
        self.begin_notes(context);
        match ended {
            Ended::Failed(failure) => respond(incoming, context, failure, shared),
            Ended::Replied(reply) => respond::reply(incoming, context, *reply, shared),
        }
        poll_fn(|task| incoming.client.poll_flush(task)).await.is_ok()
    }

    /// Begins to fetch what will be looked up once the route is known.
    fn prefetch_key(&self, incoming: Option<&Incoming>) -> Option<KeyPrefetch> {
        let table = self.live.load();
        table.as_ref()?.plugins().key_prefetch(incoming?.request.headers())
    }

    /// The way of a request: its route, its plugins, its upstream.
    async fn run(&self, incoming: &mut Incoming, context: &mut Context) -> Result<(), Ended> {
        if let Err(failure) = self.check_limits(&incoming.request, context) {
            incoming.client.close();
            return Err(failure.into());
        }
        let found = self.find_target(&incoming.request, &incoming.ends, context);
        if found == Err(RequestFailure::NoRoute) && preflight::is_one(&incoming.request) {
            self.answer_preflight(incoming, context)?;
        }
        found?;
        self.begin_notes(context);
        if let Some(mut running) = context.plugins.take() {
            let outcome = plugin::access(incoming, &self.surroundings(context), &mut running).await;
            context.plugins = Some(running);
            outcome?;
        }
        if context.target.is_none() {
            return Err(RequestFailure::NoService.into());
        }
        self.forwarder.forward(incoming, context).await.map_err(|failed| {
            log_failure(incoming, context, &failed);
            failed.reason.into()
        })
    }

    fn surroundings<'r>(&'r self, context: &'r Context) -> Surroundings<'r> {
        Surroundings {
            canonical: &context.canonical,
            request_id: &context.request_id,
            target: context.target.as_ref(),
            started: context.started,
            trusted: &self.forwarder.trusted,
            shared: &self.forwarder.shared,
        }
    }

    /// Lets the plugins of the route that takes the method which a preflight asks for answer the preflight.
    fn answer_preflight(&self, incoming: &mut Incoming, context: &mut Context) -> Result<(), Ended> {
        let Some(method) = preflight::asked_method(&incoming.request) else { return Ok(()) };
        let table = self.live.load();
        let Some(table) = table.as_ref() else { return Ok(()) };
        let asked = asked(&incoming.request, &incoming.ends, &context.canonical, &method);
        let Some(found) = table.lookup(&asked) else { return Ok(()) };
        let running = Running::new(table.plugins(), &found.route, found.service.as_deref());
        let Some(mut running) = running else { return Ok(()) };
        running.set_route(found.route, found.service);
        let outcome = plugin::preflight(incoming, &self.surroundings(context), &mut running);
        if outcome.is_err() {
            context.plugins = Some(running);
        }
        Ok(outcome?)
    }

    /// Lets the global plugins see the answer to a request that found no route.
    fn begin_global_plugins(&self, context: &mut Context) {
        if context.plugins.is_none() && context.target.is_none() {
            let table = self.live.load();
            context.plugins = table.as_ref().and_then(|table| Running::without_route(table.plugins()));
        }
    }

    /// Begins to note what plugins with a last phase, or the access log, say of the request.
    fn begin_notes(&self, context: &mut Context) {
        let is_logged = context.plugins.as_ref().is_some_and(|running| running.has(Phases::LOG));
        if context.notes.is_none() && (is_logged || self.access_log.is_some()) {
            context.notes = Some(Box::default());
        }
    }

    /// Lets the plugins and the access log see a request that has ended.
    fn log_ended(&self, incoming: &Incoming, context: &Context) {
        let Some(notes) = &context.notes else { return };
        let failed = context.failure.map(RequestFailure::answer);
        let unanswered = (failed.map_or(0, |answer| answer.status), Source::Gateway);
        let (running, around) = (context.plugins.as_deref(), self.surroundings(context));
        let ended = plugin::Ended {
            request: &incoming.request,
            body_bytes: incoming.early.received(),
            ends: &incoming.ends,
            around: &around,
            running,
            route: around.route(running).map(AsRef::as_ref),
            service: around.service(running).map(AsRef::as_ref),
            notes,
            answered: context.answered.unwrap_or(unanswered),
            failure: failed.map(|answer| answer.reason),
            before_upstream: context.before_upstream(),
            waited: context.upstream.waited,
            now: Instant::now(),
            now_at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        plugin::ended(&ended);
        if let Some(access_log) = &self.access_log {
            access_log.write(&ended);
        }
    }

    fn check_limits(&self, request: &Request, context: &Context) -> Result<(), RequestFailure> {
        if context.permit.is_none() {
            Err(RequestFailure::Overloaded)
        } else if matches!(request.method, Method::CONNECT | Method::TRACE) {
            Err(RequestFailure::MethodNotAllowed)
        } else {
            Ok(())
        }
    }

    /// Finds the route. Releases the table before it returns.
    fn find_target(
        &self,
        request: &Request,
        ends: &Ends,
        context: &mut Context,
    ) -> Result<(), RequestFailure> {
        context.canonical = Canonical::new(request)?;
        let asked = asked(request, ends, &context.canonical, &request.method);
        let table = self.live.load();
        let table = table.as_ref().ok_or(RequestFailure::NoConfiguration)?;
        context.key_prefetch.inspect(|prefetch| prefetch.key(table.plugins().directory()));
        let found = table.lookup(&asked).ok_or(RequestFailure::NoRoute)?;
        context.key_prefetch.inspect(|prefetch| prefetch.consumer(table.plugins().directory()));
        if self.settings.ambiguous_paths == AmbiguousPaths::Refuse
            && table.has_another_reading(&asked, &found)
        {
            return Err(RequestFailure::AmbiguousPath);
        }
        self.check_protocol(request, ends, &found.route)?;
        context.plugins = Running::new(table.plugins(), &found.route, found.service.as_deref());
        // Plugins may answer without a service.
        let Some(service) = found.service else {
            if let Some(running) = &mut context.plugins {
                running.set_route(found.route, None);
            }
            return Ok(());
        };
        let group = match &service.host {
            Host::Name(name) => table.group(name).cloned(),
            Host::Address(_) => None,
        };
        context.target = Some(Target { route: found.route, service, group, matched: found.matched });
        Ok(())
    }

    fn check_protocol(
        &self,
        request: &Request,
        ends: &Ends,
        route: &route::Entry,
    ) -> Result<(), RequestFailure> {
        let refused = route.tls_only && !request::is_https(request, ends, &self.forwarder.trusted);
        match refused {
            _ if route.grpc => grpc::check(request.version, request.headers(), refused),
            true => Err(RequestFailure::HttpsRequired(route.redirect_status)),
            false => Ok(()),
        }
    }
}

/// Why a request is not forwarded to its end.
#[derive(Debug)]
enum Ended {
    Failed(RequestFailure),
    /// A plugin answers it.
    Replied(Box<Reply>),
}

impl Ended {
    fn failure(&self) -> Option<RequestFailure> {
        match self {
            Self::Failed(failure) => Some(*failure),
            Self::Replied(reply) => reply.failure,
        }
    }
}

impl From<RequestFailure> for Ended {
    fn from(failure: RequestFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Box<Reply>> for Ended {
    fn from(reply: Box<Reply>) -> Self {
        Self::Replied(reply)
    }
}

/// What the table is asked for.
fn asked<'r>(
    request: &'r Request,
    ends: &'r Ends,
    canonical: &'r Canonical,
    method: &'r Method,
) -> route::Request<'r> {
    route::Request {
        method,
        host: canonical.host(),
        port: canonical.port().unwrap_or(ends.server.port()),
        path: canonical.path(request),
        headers: request.headers(),
        sni: ends.server_name.as_deref(),
    }
}

/// Notes what the upstream would have been asked for, of a request that was answered before.
fn note_target(request: &Request, context: &mut Context) {
    let Some(mut notes) = context.notes.take() else { return };
    if notes.upstream_target.is_empty()
        && let Some(target) = &context.target
    {
        notes.upstream_target = forward::asked_target(request, context, target);
    }
    context.notes = Some(notes);
}

/// Reads what has come of a body that nobody wants.
fn drop_body(client: &mut Client, task: &mut Task<'_>) -> Poll<()> {
    let mut dropped = 0;
    while dropped < MOST_DROPPED {
        match client.poll_body(task) {
            Poll::Ready(Ok(Some(part))) => dropped += part.len(),
            Poll::Ready(Ok(None) | Err(_)) | Poll::Pending => break,
        }
    }
    Poll::Ready(())
}

/// Logs a failure. The gateway's operator acts on its own faults, the upstream's operator on those of the
/// upstream. Client errors appear in the metrics only.
fn log_failure(incoming: &Incoming, context: &Context, failed: &Failure) {
    let reason = failed.reason.answer().reason;
    let request_id = context.request_id.as_str();
    let cause = failed.cause.as_ref().map(ToString::to_string).unwrap_or_default();
    let request = || {
        let path = String::from_utf8_lossy(context.canonical.sent_path(&incoming.request)).into_owned();
        format!("{} {path:?}, host {:?}", incoming.request.method, context.canonical.host())
    };
    match failed.reason {
        RequestFailure::Internal => error!(reason, request_id, "{}: {cause}", request()),
        RequestFailure::NameResolution
        | RequestFailure::UpstreamConnect
        | RequestFailure::UpstreamTls
        | RequestFailure::UpstreamInvalid
        | RequestFailure::UpstreamTimeout => warn!(reason, request_id, "{}: {cause}", request()),
        _ => debug!(reason, request_id, "{}: {cause}", request()),
    }
}
