//! Implements Pingora's phases, each in a few lines that delegate.

mod answer;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result, RetryType};
use tracing::{debug, error, warn};

pub use self::answer::AnswerLimits;
use self::answer::{remove_ours, strip_hop_by_hop};
pub use self::settings::{AmbiguousPaths, Settings};
use crate::context::{Context, Target};
use crate::draining::Draining;
use crate::error::RequestFailure;
use crate::framing;
use crate::grpc;
use crate::limit::Limit;
use crate::listener::{HeaderDeadline, ServerName};
use crate::live::Live;
use crate::metrics::{HttpMetrics, Source};
use crate::request::{self, Canonical, names};
use crate::respond::{milliseconds, refuse, respond};
use crate::route;
use crate::upstream::{self, Policy, Resolver};

/// How long the rest of a body is read that nobody wants, to keep the connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The proxy.
#[derive(Debug)]
pub struct Proxy {
    /// The table.
    pub live: Arc<Live>,
    /// The resolver of upstream names.
    pub resolver: Arc<Resolver>,
    /// The policy on upstream addresses.
    pub policy: Arc<Policy>,
    /// Metrics of requests.
    pub metrics: HttpMetrics,
    /// The cap on requests in flight.
    pub in_flight: Arc<Limit>,
    /// Settings and limits of requests.
    pub settings: Settings,
    /// Whether the program is stopping.
    pub draining: Draining,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new()
    }

    /// Leaves out Pingora's own module, which would look at every response for compression.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> Result<()> {
        let met = HeaderDeadline::met(session);
        self.set_timeouts(session);
        context.permit = self.in_flight.acquire();
        request::join_cookies(session.req_header_mut());
        let checked = met.and_then(|replaced| {
            context.replaced = replaced;
            self.check_limits(session, context)
        });
        checked.map_err(|failure| fail(context, failure))
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        let Err(failure) = self.find_target(session, context) else { return Ok(false) };
        context.failure = Some(failure);
        respond(session, context, failure, &self.settings.trusted).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        let Context { target: Some(target), upstream, .. } = context else {
            return Err(fail(context, RequestFailure::Internal));
        };
        let peer = upstream::next_peer(upstream, target, &self.resolver, &self.policy).await;
        peer.map_err(|failure| fail(context, failure))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent, so nothing can have had an effect.
        error.set_retry(context.may_retry());
        error
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        _: Option<&Digest>,
        _: &mut Context,
    ) -> Result<()> {
        let counter = if reused { &self.metrics.upstream_reused } else { &self.metrics.upstream_fresh };
        counter.inc();
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        request::rewrite(session, request, context, &self.settings.trusted)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        context: &mut Context,
    ) -> Result<()> {
        context.received += body.as_ref().map_or(0, Bytes::len) as u64;
        if !end && self.is_too_slow(session, context) {
            return Err(fail(context, RequestFailure::RequestTimeout));
        }
        // Pingora's issue 935: an empty last chunk makes it end a chunked body twice.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != 101 {
            return Ok(());
        }
        if self.draining.has_begun() {
            session.set_keepalive(None);
        }
        if !self.settings.answers.allow(response) {
            return Err(fail(context, RequestFailure::UpstreamHeaderTooLarge));
        }
        context.upstream.answered = context.upstream.started.map(|started| started.elapsed());
        strip_hop_by_hop(response);
        framing::frame(session, response)?;
        let waited = context.upstream.answered.unwrap_or_default();
        remove_ours(response);
        response.append_known(&names::VIA, request::VIA);
        response.append_known(&names::REQUEST_ID, context.request_id.clone());
        response.append_known(&names::PROXY_LATENCY, milliseconds(context.before_upstream()));
        response.append_known(&names::UPSTREAM_LATENCY, milliseconds(waited));
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        _: &mut Option<Bytes>,
        end: bool,
        _: &mut Context,
    ) -> Result<Option<Duration>> {
        // The response is complete. The rest of the request is read only so that the client gets to read the
        // response.
        if end && !session.was_upgraded() && !session.as_downstream_mut().is_body_done() {
            session.set_read_timeout(Some(DRAIN_TIMEOUT));
        }
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        // Retried only if the method is idempotent (RFC 9110, section 9.2.2) or the upstream says that it did
        // nothing. The body must still be at hand, and the connection may have been closed before the request
        // came.
        let harmless = session.req_header().method.is_idempotent() || was_not_processed(&error);
        let repeatable = harmless
            && !session.as_downstream().retry_buffer_truncated()
            && session.response_written().is_none();
        if repeatable && context.may_retry() {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let failure = *context.failure.get_or_insert_with(|| RequestFailure::from_pingora(error));
        log_failure(session, context, failure, error);
        session.set_keepalive(None);
        // A client that cannot be written to is gone.
        respond(session, context, failure, &self.settings.trusted).await.ok();
        FailToProxy { error_code: failure.answer().status, can_reuse_downstream: false }
    }

    async fn fail_to_read_request(&self, session: &mut ServerSession, error: &Error) {
        let refusal = HeaderDeadline::refusal(session);
        let failure = refusal.unwrap_or_else(|| RequestFailure::from_unreadable(error));
        let answer = failure.answer();
        // Without the error itself, which quotes the bytes read.
        debug!(reason = answer.reason, "a request's header cannot be read");
        self.metrics.errors.with_label_values(&[answer.reason]).inc();
        self.metrics.requests.count(answer.status, Source::Gateway);
        // As in fail_to_proxy.
        refuse(session, failure).await.ok();
    }

    /// Failures are logged where they are answered.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Context, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, context: &mut Context) {
        let sent = session.response_written().map(|header| header.status.as_u16());
        let failed = context.failure.map(RequestFailure::answer);
        if let Some(answer) = failed {
            self.metrics.errors.with_label_values(&[answer.reason]).inc();
        }
        let source = if sent.is_some() { context.answered_by } else { Source::Gateway };
        let status = sent.or(failed.map(|answer| answer.status)).unwrap_or(0);
        self.metrics.requests.count(status, source);
        self.metrics.request_duration.observe(context.started.elapsed().as_secs_f64());
        self.metrics.gateway_duration.observe(context.before_upstream().as_secs_f64());
        if let Some(answered) = context.upstream.answered {
            self.metrics.upstream_duration.observe(answered.as_secs_f64());
        }
    }
}

impl Proxy {
    fn set_timeouts(&self, session: &mut Session) {
        let body_timeout = Some(self.settings.body_timeout);
        session.set_read_timeout(body_timeout);
        session.h2_body_timeout = body_timeout.filter(|_| session.is_http2());
        session.set_write_timeout(body_timeout);
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        // Only where the client did not ask to close.
        if session.get_keepalive().is_some() {
            // Pingora counts whole seconds, and 0 would mean no timeout.
            let seconds = self.settings.keepalive_timeout.as_millis().div_ceil(1000);
            session.set_keepalive(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0));
        }
    }

    /// Whether a body comes too slowly: each byte may come in time, and all of them never. Does not apply to
    /// gRPC, where a body may be one side of a conversation.
    fn is_too_slow(&self, session: &Session, context: &Context) -> bool {
        let took = context.started.elapsed();
        took > self.settings.body_timeout
            && !session.was_upgraded()
            && context.target.as_ref().is_none_or(|target| !target.route.grpc)
            && context.received < took.as_secs().saturating_mul(self.settings.min_body_rate.into())
    }

    fn check_limits(&self, session: &Session, context: &Context) -> Result<(), RequestFailure> {
        let header = session.req_header();
        if context.permit.is_none() {
            Err(RequestFailure::Overloaded)
        } else if header.method == Method::CONNECT {
            Err(RequestFailure::MethodNotAllowed)
        } else if header.raw_path().len() > self.settings.max_uri_bytes {
            Err(RequestFailure::UriTooLong)
        } else if header.headers.len() > self.settings.max_header_fields
            || header_bytes(&header.headers) > self.settings.max_header_bytes
        {
            Err(RequestFailure::HeaderTooLarge)
        } else {
            framing::check(header)
        }
    }

    /// Finds the route. Releases the table before it returns.
    fn find_target(&self, session: &Session, context: &mut Context) -> Result<(), RequestFailure> {
        let header = session.req_header();
        context.canonical = Canonical::new(header, &context.replaced)?;
        let canonical = &context.canonical;
        let request = route::Request {
            method: &header.method,
            host: canonical.host(),
            port: canonical.port().or_else(|| listening_port(session)).unwrap_or(0),
            path: canonical.path(header),
            headers: &header.headers,
            sni: ServerName::of(session.digest().and_then(|digest| digest.ssl_digest.as_deref())),
        };
        let table = self.live.load();
        let table = table.as_ref().ok_or(RequestFailure::NoConfiguration)?;
        let found = table.lookup(&request).ok_or(RequestFailure::NoRoute)?;
        if self.settings.ambiguous_paths == AmbiguousPaths::Refuse
            && table.has_another_reading(&request, &found)
        {
            return Err(RequestFailure::AmbiguousPath);
        }
        self.check_protocol(session, &found.route)?;
        let service = found.service.ok_or(RequestFailure::NoService)?;
        context.target = Some(Target { route: found.route, service, matched: found.matched });
        Ok(())
    }

    fn check_protocol(&self, session: &Session, route: &route::Entry) -> Result<(), RequestFailure> {
        let refused = route.tls_only && !request::is_https(session, &self.settings.trusted);
        match refused {
            _ if route.grpc => grpc::check(session.req_header(), refused),
            true => Err(RequestFailure::HttpsRequired(route.redirect_status)),
            false => Ok(()),
        }
    }
}

/// Whether an HTTP/2 upstream says that it did not process the request (RFC 9113, section 8.7). The stream is
/// beyond the last one of a GOAWAY, or was refused. Of the errors of this type, Pingora allows a retry of
/// these.
fn was_not_processed(error: &Error) -> bool {
    *error.etype() == ErrorType::H2Error && matches!(error.retry, RetryType::Decided(true))
}

/// Notes the failure, and makes the error that ends Pingora's phases.
fn fail(context: &mut Context, failure: RequestFailure) -> Box<Error> {
    context.failure = Some(failure);
    Error::new_in(ErrorType::InternalError)
}

/// Logs a failure. The gateway's operator acts on its own faults, the upstream's operator on those of the
/// upstream. Client errors appear in the metrics only.
fn log_failure(session: &Session, context: &Context, failure: RequestFailure, cause: &Error) {
    let reason = failure.answer().reason;
    let request_id = context.request_id();
    let request = || session.as_downstream().request_summary();
    match failure {
        RequestFailure::Internal => error!(reason, request_id, "{}: {cause}", request()),
        RequestFailure::NameResolution
        | RequestFailure::UpstreamConnect
        | RequestFailure::UpstreamTls
        | RequestFailure::UpstreamInvalid
        | RequestFailure::UpstreamTimeout => warn!(reason, request_id, "{}: {cause}", request()),
        _ => debug!(reason, request_id, "{}: {cause}", request()),
    }
}

/// The bytes of the header fields, as they stand on the wire.
fn header_bytes(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn listening_port(session: &Session) -> Option<u16> {
    session.server_addr()?.as_inet().map(std::net::SocketAddr::port)
}
