//! Implements Pingora's phases, each in a few lines that delegate.

mod settings;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use async_trait::async_trait;
use http::Method;
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tracing::{debug, error, warn};

pub use self::settings::{AmbiguousPaths, Settings};
use crate::client::{Client, Ends, Incoming, Request, Slot};
use crate::context::Context;
use crate::error::RequestFailure;
use crate::forward::{Failure, Forwarder};
use crate::grpc;
use crate::limit::Limit;
use crate::live::Live;
use crate::metrics::{HttpMetrics, Source};
use crate::request::{self, Canonical, Target};
use crate::respond::respond;
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
        Ok(())
    }

    /// The whole exchange: Pingora learns that an answer was sent.
    async fn request_filter(&self, _: &mut Session, context: &mut Context) -> Result<bool> {
        if let Some(mut incoming) = context.incoming.take() {
            let ended = self.serve(&mut incoming, context).await;
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
        if let Some(answered) = context.upstream.answered {
            self.metrics.upstream_duration.observe(answered.as_secs_f64());
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
        let checked = self.check_limits(&incoming.request, context);
        if checked.is_err() {
            incoming.client.close();
        }
        let found = checked.and_then(|()| self.find_target(&incoming.request, &incoming.ends, context));
        let failed = match found {
            Ok(()) => match self.forwarder.forward(incoming, context).await {
                Ok(()) => return true,
                Err(failed) => {
                    log_failure(incoming, context, &failed);
                    failed.reason
                }
            },
            Err(failure) => failure,
        };
        context.failure = Some(failed);
        if failed == RequestFailure::ClientClosed || context.answered.is_some() {
            return false;
        }
        if failed.is_of_body() {
            incoming.client.close();
        } else {
            // A body that is here already need not cost the connection.
            poll_fn(|task| drop_body(&mut incoming.client, task)).await;
        }
        respond(incoming, context, failed, &self.forwarder.trusted);
        poll_fn(|task| incoming.client.poll_flush(task)).await.is_ok()
    }

    fn check_limits(&self, request: &Request, context: &Context) -> Result<(), RequestFailure> {
        if context.permit.is_none() {
            Err(RequestFailure::Overloaded)
        } else if request.method == Method::CONNECT {
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
        let canonical = &context.canonical;
        let asked = route::Request {
            method: &request.method,
            host: canonical.host(),
            port: canonical.port().unwrap_or(ends.server.port()),
            path: canonical.path(request),
            headers: &request.headers,
            sni: ends.server_name.as_deref(),
        };
        let table = self.live.load();
        let table = table.as_ref().ok_or(RequestFailure::NoConfiguration)?;
        let found = table.lookup(&asked).ok_or(RequestFailure::NoRoute)?;
        if self.settings.ambiguous_paths == AmbiguousPaths::Refuse
            && table.has_another_reading(&asked, &found)
        {
            return Err(RequestFailure::AmbiguousPath);
        }
        self.check_protocol(request, ends, &found.route)?;
        let service = found.service.ok_or(RequestFailure::NoService)?;
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
            _ if route.grpc => grpc::check(request.version, &request.headers, refused),
            true => Err(RequestFailure::HttpsRequired(route.redirect_status)),
            false => Ok(()),
        }
    }
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
