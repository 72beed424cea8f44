//! Every plugin for clients of HTTP/1.1, HTTP/2, gRPC and WebSocket: what passes, what is refused and how,
//! what is changed, and that a plugin that logs has one entry for each request, after its end.

mod cases;
mod client;
mod logs;

use std::collections::BTreeSet;

use model::{Protocol, Route, Service};
use serde_json::{Value, json};
use testkit::origin::{Answer, Origin, Received};

use self::cases::{Case, Refused};
use self::client::{Reply, Sent};
use super::auth::put_everyone;
use super::{Plugged, plugin};
use crate::grpc::echo::Server;
use crate::support::{at, route, service};

/// The form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Http1,
    Http2,
    Grpc,
    WebSocket,
}

impl Form {
    const ALL: [Self; 4] = [Self::Http1, Self::Http2, Self::Grpc, Self::WebSocket];

    /// The path of the route for it.
    fn path(self) -> &'static str {
        match self {
            Self::Http1 | Self::Http2 => "/",
            Self::Grpc => "/test.Echo/Each",
            Self::WebSocket => "/tunnel",
        }
    }

    /// The status of an answer that passes.
    fn status(self) -> u16 {
        if self == Self::WebSocket { 101 } else { 200 }
    }
}

/// A gateway with plugins for all requests, before an upstream for each form.
struct Stage {
    plugged: Plugged,
    tunnels: Origin,
    _grpc: Server,
}

impl Stage {
    async fn start(plugins: &[Value]) -> Self {
        let (plugged, tunnels, grpc) = (Plugged::start(plugins), Origin::start(), Server::start(None));
        // Something for each plugin that reads answers.
        plugged.origin.answer(Answer::echo().header("X-Kong-Limit", "videos=1"));
        tunnels.answer(Answer::upgrade("websocket").header("X-Kong-Limit", "videos=1"));
        plugged.gateway.serve(service(2, &tunnels), route(2, Form::WebSocket.path()));
        let to_grpc = Service { protocol: Protocol::Grpc, ..at(3, grpc.address) };
        let protocols = vec![Protocol::Grpc, Protocol::Grpcs];
        let of_grpc = Route { protocols, strip_path: false, ..route(3, "/test.Echo") };
        plugged.gateway.serve(to_grpc, of_grpc);
        put_everyone(&plugged);
        Self { plugged, tunnels, _grpc: grpc }
    }

    /// Sends a request, and finds out what the upstream received of it.
    async fn send(&self, form: Form, sent: &Sent) -> Reply {
        self.plugged.origin.forget();
        self.tunnels.forget();
        let mut reply = client::send(self.plugged.gateway.address(), form, sent).await;
        let received = match form {
            Form::Http1 | Form::Http2 => self.plugged.origin.requests(),
            Form::WebSocket => self.tunnels.requests(),
            // The server shows them in its answer.
            Form::Grpc => return reply,
        };
        reply.upstream = received.into_iter().next().map(|Received { headers, .. }| headers);
        reply
    }
}

/// Each case over each protocol, on a gateway of its own: some count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_pass_and_are_refused_or_changed() {
    let judge = Origin::start();
    judge.answer_with(|received| match received.header("x-pass") {
        Some(_) => Answer::status(200),
        None => Answer::status(403).body("no"),
    });
    for case in cases::all(&judge.url()) {
        for form in Form::ALL {
            let stage = Stage::start(&case.plugins).await;
            passes(&stage, form, &case).await;
            if let Some(refused) = case.refused.as_ref().filter(|refused| refused.applies_to(form)) {
                if let Some(plugins) = &refused.plugins {
                    stage.plugged.put_plugins(plugins);
                }
                is_refused(&stage, form, case.name, refused).await;
            }
        }
    }
}

async fn passes(stage: &Stage, form: Form, case: &Case) {
    let Some(sent) = &case.passes else { return };
    let mut reply = stage.send(form, sent).await;
    let about = format!("{} {form:?}: {reply:?}", case.name);
    assert_eq!(reply.status, form.status(), "{about}");
    assert!(reply.upstream.is_some(), "{about}");
    assert_eq!(reply.code.unwrap_or_default(), 0, "{about}");
    if let Some((name, value)) = case.to_upstream {
        let found = reply.to_upstream(name);
        assert!(found.is_some_and(|found| value == "*" || found == value), "{name}: {about}");
    }
    if let Some((name, value)) = case.to_client {
        let found = reply.header(name);
        assert!(found.is_some_and(|found| value == "*" || found == value), "{name}: {about}");
    }
    reply.echo().await;
}

async fn is_refused(stage: &Stage, form: Form, name: &str, refused: &Refused) {
    let reply = stage.send(form, &refused.sent).await;
    let about = format!("{name} {form:?}: {reply:?}");
    assert_eq!(reply.status, refused.status, "{about}");
    assert!(reply.upstream.is_none() && reply.tunnel.is_none(), "{about}");
    assert_eq!(reply.header("upgrade"), None, "{about}");
    if form == Form::Grpc {
        assert_eq!(reply.code, Some(refused.code), "{about}");
        assert_eq!(reply.header("content-type"), Some("application/grpc"), "{about}");
        assert_eq!(reply.message.as_deref(), refused.message, "{about}");
        assert!(reply.body.is_empty(), "{about}");
    } else {
        assert!(reply.code.is_none() && reply.message.is_none(), "{about}");
        assert_eq!(reply.said().as_deref(), Some(refused.text), "{about}");
    }
}

/// What a call used is known from its answer, which then does not pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_is_refused_has_the_status_of_a_call() {
    let uses = json!({ "limits": { "videos": { "year": 1 } } });
    let stage = Stage::start(&[plugin("response-ratelimiting", uses)]).await;
    let first = stage.send(Form::Grpc, &Sent::with(&[])).await;
    assert_eq!((first.status, first.code), (200, Some(0)), "{first:?}");
    let second = stage.send(Form::Grpc, &Sent::with(&[])).await;
    assert_eq!((second.status, second.code), (429, Some(8)), "{second:?}");
    assert_eq!(second.header("content-type"), Some("application/grpc"), "{second:?}");
    for form in [Form::Http1, Form::Http2] {
        let refused = stage.send(form, &Sent::with(&[])).await;
        assert_eq!((refused.status, refused.code, refused.body.len()), (429, None, 0), "{refused:?}");
    }
    let tunnel = stage.send(Form::WebSocket, &Sent::with(&[])).await;
    assert!(tunnel.status == 429 && tunnel.tunnel.is_none() && tunnel.upstream.is_some(), "{tunnel:?}");
    // Its connection is not used again: it has another protocol.
    stage.plugged.remove_plugin(1);
    let mut tunnel = stage.send(Form::WebSocket, &Sent::with(&[])).await;
    assert_eq!(tunnel.status, 101, "{tunnel:?}");
    tunnel.echo().await;
}

/// A body that a plugin has read to its end is not the end of what the client sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnel_opens_behind_a_plugin_that_reads_bodies() {
    let stage = Stage::start(&[plugin("hmac-auth", json!({ "validate_request_body": true }))]).await;
    let fields = cases::signed();
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut reply = stage.send(Form::WebSocket, &Sent::with(&fields)).await;
    assert_eq!(reply.status, 101, "{reply:?}");
    reply.echo().await;
}

/// A browser asks before its request, which no protocol but HTTP has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflight_is_answered_over_both_versions() {
    let stage = Stage::start(&[plugin("cors", json!({ "max_age": 7 }))]).await;
    let asks = [("origin", "http://a.test"), ("access-control-request-method", "PUT")];
    let sent = Sent { method: "OPTIONS", ..Sent::with(&asks) };
    for form in [Form::Http1, Form::Http2] {
        let reply = stage.send(form, &sent).await;
        assert_eq!((reply.status, reply.header("access-control-max-age")), (200, Some("7")), "{reply:?}");
        assert!(reply.upstream.is_none(), "{form:?}");
    }
}

/// Answers of HTTP are kept for both versions; calls and tunnels never are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_kept_for_http_only() {
    let stage = Stage::start(&[plugin("proxy-cache", json!({ "strategy": "memory" }))]).await;
    for (form, status, is_sent) in [
        (Form::Http1, Some("Miss"), true),
        (Form::Http1, Some("Hit"), false),
        (Form::Http2, Some("Hit"), false),
        (Form::Grpc, Some("Bypass"), true),
        (Form::Grpc, Some("Bypass"), true),
        (Form::WebSocket, Some("Bypass"), true),
        (Form::WebSocket, Some("Bypass"), true),
    ] {
        let mut reply = stage.send(form, &Sent::with(&[])).await;
        assert_eq!(reply.status, form.status(), "{form:?} {reply:?}");
        assert_eq!(reply.header("x-cache-status"), status, "{form:?} {reply:?}");
        assert_eq!(reply.upstream.is_some(), is_sent, "{form:?} {reply:?}");
        reply.echo().await;
    }
    let first = stage.send(Form::Http2, &Sent { path: Some("/other"), ..Sent::with(&[]) }).await;
    assert_eq!((first.header("x-cache-status"), first.upstream.is_some()), (Some("Miss"), true));
}

#[test]
fn every_plugin_is_tried() {
    let cases = cases::all("http://127.0.0.1");
    let tried: BTreeSet<_> = cases.iter().map(|case| case.name).chain(logs::NAMES).collect();
    let tried: BTreeSet<_> = tried.into_iter().chain(["proxy-cache"]).collect();
    let all: BTreeSet<_> = model::PLUGINS.iter().map(|plugin| plugin.name).collect();
    assert_eq!(tried, all);
    assert_eq!(all.len(), 26);
}
