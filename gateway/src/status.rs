//! The status listener: metrics, counters, the state of the sync, readiness, the health of upstreams.

mod kong;
mod thread;
mod upstreams;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use node::http::{Handler, Peer, RequestBody, without_redundant_slashes};
use node::tokens::{Tokens, sent};
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::sync::watch;

pub use self::kong::{KongCollector, NodeParts};
pub use self::thread::StatusThread;
use crate::cluster;
use crate::draining::Draining;
use crate::live::Live;
use crate::metrics::{Metrics, WRONG_TOKEN};
use crate::plugin::Shared;
use crate::upstream::Balancing;

/// The data that the status listener shows.
#[derive(Debug)]
pub struct Status {
    /// For `/metrics`.
    pub registry: Registry,
    /// For the counters of `/status`.
    pub metrics: Metrics,
    /// The state of the sync.
    pub sync: Arc<cluster::Status>,
    /// Whether there is a table.
    pub live: Arc<Live>,
    /// The targets of upstreams.
    pub balancing: Arc<Balancing>,
    /// What plugins share.
    pub plugins: Arc<Shared>,
    /// Whether Kong's families of metrics are shown without an instance of the plugin.
    pub compat: bool,
    /// Whether the program is stopping.
    pub draining: Draining,
}

/// The media type of the metrics where Kong's families are among them: Kong's.
const KONG_TEXT_FORMAT: &str = "text/plain; charset=UTF-8";

/// The hash that Kong shows before there is a configuration.
const NO_HASH: &str = "00000000000000000000000000000000";

/// The path that needs no token: load balancers ask it, and learn nothing else.
const READY: &str = "/status/ready";

/// Answers permitted requests.
#[derive(Clone, Debug)]
struct Front {
    status: Arc<Status>,
    /// The accepted tokens; `None`: no token is needed.
    tokens: Option<watch::Receiver<Arc<Tokens>>>,
}

impl Handler for Front {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<RequestBody>, _: Arc<Peer>) -> Response<Full<Bytes>> {
        let path = &*without_redundant_slashes(request.uri().path());
        let response = if path == READY || self.lets_in(request.headers()) {
            self.status.answer(request.method(), path, request.uri().query().unwrap_or_default())
        } else {
            self.status.metrics.status_refused.with_label_values(&[WRONG_TOKEN]).inc();
            unauthorized()
        };
        response.map(Full::from)
    }
}

impl Front {
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        let token = sent(headers).ok().flatten();
        token.is_some_and(|token| tokens.borrow().find(token).is_some())
    }
}

fn unauthorized() -> Response<Vec<u8>> {
    let text = message("A token of status.tokens is needed, as Authorization: Bearer");
    let mut response = json_response(StatusCode::UNAUTHORIZED, &text);
    let challenge = HeaderValue::from_static("Bearer realm=\"gibbon\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

impl Status {
    fn answer(&self, method: &Method, path: &str, query: &str) -> Response<Vec<u8>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return json_response(StatusCode::METHOD_NOT_ALLOWED, &message("Method not allowed"));
        }
        match path {
            "/metrics" => self.metrics_response(),
            "/status" => json_response(StatusCode::OK, &self.status()),
            READY => match self.not_ready() {
                Some(reason) => json_response(StatusCode::SERVICE_UNAVAILABLE, &message(reason)),
                None => json_response(StatusCode::OK, &message("ready")),
            },
            _ => match upstreams::answer(&self.balancing, self.sync.view().node_id, path, query) {
                Some(found) => json_response(StatusCode::OK, &found),
                None => json_response(StatusCode::NOT_FOUND, &message("Not found")),
            },
        }
    }

    fn not_ready(&self) -> Option<&'static str> {
        if self.draining.has_begun() {
            Some("draining")
        } else if self.live.load().is_none() {
            Some("no configuration available")
        } else {
            None
        }
    }

    fn status(&self) -> Value {
        let (connections, requests) = (&self.metrics.connections, &self.metrics.http);
        let (active, writing) = (connections.active.get(), requests.in_flight.get());
        let accepted = connections.accepted.get();
        let sync = self.sync.view();
        json!({
            "server": {
                "connections_accepted": accepted + connections.refused.get(),
                "connections_handled": accepted,
                "connections_active": active,
                "connections_reading": 0,
                "connections_writing": writing,
                "connections_waiting": (active - writing).max(0),
                "total_requests": requests.requests.total(),
            },
            "memory": { "workers_lua_vms": [], "lua_shared_dicts": {} },
            "configuration_hash": sync.config_hash.as_deref().unwrap_or(NO_HASH),
            "version": crate::VERSION,
            "sync": sync,
        })
    }

    fn metrics_response(&self) -> Response<Vec<u8>> {
        let encoder = TextEncoder::new();
        let mut body = Vec::new();
        self.plugins.answers.observe();
        let is_compat = self.compat || self.plugins.kong.is_used();
        let format = if is_compat { KONG_TEXT_FORMAT } else { prometheus::TEXT_FORMAT };
        match encoder.encode(&self.registry.gather(), &mut body) {
            Ok(()) => response(StatusCode::OK, HeaderValue::from_static(format), body),
            Err(error) => json_response(StatusCode::INTERNAL_SERVER_ERROR, &message(&error.to_string())),
        }
    }
}

fn message(text: &str) -> Value {
    json!({ "message": text })
}

fn json_response(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    response(
        status,
        HeaderValue::from_static("application/json; charset=utf-8"),
        body.to_string().into_bytes(),
    )
}

fn response(status: StatusCode, content_type: HeaderValue, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
