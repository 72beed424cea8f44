//! The table of plugins that let requests pass, refuse or change them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use super::Form;
use super::client::Sent;
use crate::plugins::plugin;

/// A plugin with a request that passes, and one that is refused. One of both may be absent.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) plugins: Vec<Value>,
    pub(super) passes: Option<Sent>,
    /// A field that the upstream receives then, and its value; `*` is any.
    pub(super) to_upstream: Option<(&'static str, &'static str)>,
    /// A field of the answer then.
    pub(super) to_client: Option<(&'static str, &'static str)>,
    pub(super) refused: Option<Refused>,
}

/// A request that is refused, and how.
pub(super) struct Refused {
    pub(super) sent: Sent,
    /// The plugins then, if they are others.
    pub(super) plugins: Option<Vec<Value>>,
    pub(super) status: u16,
    /// The text of the answer.
    pub(super) text: &'static str,
    /// The status of a call.
    pub(super) code: u8,
    /// The message of a call.
    pub(super) message: Option<&'static str>,
    /// A request that asks for a tunnel has no body.
    has_body: bool,
}

impl Refused {
    fn new(sent: Sent, status: u16, text: &'static str, code: u8) -> Self {
        let has_body = sent.body > 0;
        Self { sent, plugins: None, status, text, code, message: Some(text), has_body }
    }

    /// Whether a request of this form can be refused so.
    pub(super) fn applies_to(&self, form: Form) -> bool {
        !(self.has_body && form == Form::WebSocket)
    }
}

impl Case {
    fn new(name: &'static str, config: Value) -> Self {
        let plugins = vec![plugin(name, config)];
        Self { name, plugins, passes: None, to_upstream: None, to_client: None, refused: None }
    }

    fn beside(mut self, other: Value) -> Self {
        self.plugins.push(other);
        self
    }

    fn passes(self, fields: &[(&str, &str)]) -> Self {
        Self { passes: Some(Sent::with(fields)), ..self }
    }

    fn refuses(self, fields: &[(&str, &str)], status: u16, text: &'static str, code: u8) -> Self {
        Self { refused: Some(Refused::new(Sent::with(fields), status, text, code)), ..self }
    }

    fn shows_upstream(self, name: &'static str, value: &'static str) -> Self {
        Self { to_upstream: Some((name, value)), ..self }
    }

    fn shows_client(self, name: &'static str, value: &'static str) -> Self {
        Self { to_client: Some((name, value)), ..self }
    }
}

// The codes of calls.
const UNKNOWN: u8 = 2;
const INVALID_ARGUMENT: u8 = 3;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

/// All of them; `judge` is the URL of the service of forward-auth, which wants the field `x-pass`.
pub(super) fn all(judge: &str) -> Vec<Case> {
    let cases = [authentication(), forward_auth(judge), limits(), answers(), changes()];
    cases.into_iter().flatten().collect()
}

/// The credentials of the first consumer for hmac-auth, which sign a date.
pub(super) fn signed() -> [(&'static str, String); 2] {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    let signature = STANDARD.encode(hmac::sign(&key, format!("date: {date}").as_bytes()));
    let terms = "username=\"u\", algorithm=\"hmac-sha256\", headers=\"date\"";
    [("date", date), ("authorization", format!("hmac {terms}, signature=\"{signature}\""))]
}

fn authentication() -> Vec<Case> {
    let login = format!("Basic {}", STANDARD.encode("u:secret"));
    let bearer = format!("Bearer {}", token());
    let [date, signature] = signed();
    let consumer = ("x-consumer-username", "c1");
    let of = |name, fields: &[(&str, &str)], refusal| {
        let case = Case::new(name, json!({})).passes(fields).shows_upstream(consumer.0, consumer.1);
        case.refuses(&[("x-consumer-username", "c1")], 401, refusal, UNAUTHENTICATED)
    };
    vec![
        of("key-auth", &[("apikey", "one")], "No API key found in request"),
        of("basic-auth", &[("authorization", &login)], "Unauthorized"),
        of("jwt", &[("authorization", &bearer)], "Unauthorized"),
        of("hmac-auth", &[(date.0, &date.1), (signature.0, &signature.1)], "Unauthorized"),
        Case::new("acl", json!({ "allow": ["staff"] }))
            .beside(plugin("key-auth", json!({})))
            .passes(&[("apikey", "one")])
            .shows_upstream("x-consumer-groups", "staff")
            .refuses(&[("apikey", "two")], 403, "You cannot consume this service", PERMISSION_DENIED),
    ]
}

/// A token of the first consumer.
fn token() -> String {
    let part = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", part(json!({ "alg": "HS256" })), part(json!({ "iss": "a" })));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn forward_auth(judge: &str) -> Vec<Case> {
    let case = Case::new("forward-auth", json!({ "url": judge })).passes(&[("x-pass", "1")]);
    vec![case.refuses(&[], 403, "no", PERMISSION_DENIED)]
}

fn limits() -> Vec<Case> {
    let everywhere = Refused {
        plugins: Some(vec![plugin("ip-restriction", json!({ "deny": ["127.0.0.1"] }))]),
        ..Refused::new(Sent::with(&[]), 403, "IP address not allowed: 127.0.0.1", PERMISSION_DENIED)
    };
    let small = json!({ "allowed_payload_size": 20, "size_unit": "bytes" });
    let large = Refused::new(Sent::sized(40), 413, "Request size limit exceeded", INVALID_ARGUMENT);
    let uses = json!({ "limits": { "videos": { "year": 1 } }, "block_on_first_violation": true });
    let counted = "API rate limit exceeded for 'videos'";
    vec![
        Case::new("bot-detection", json!({ "deny": ["evil"] })).passes(&[("user-agent", "good/1")]).refuses(
            &[("user-agent", "evil/1")],
            403,
            "Forbidden",
            PERMISSION_DENIED,
        ),
        Case {
            refused: Some(everywhere),
            ..Case::new("ip-restriction", json!({ "deny": ["10.0.0.0/8"] })).passes(&[])
        },
        Case::new("rate-limiting", json!({ "year": 1 }))
            .passes(&[])
            .shows_client("x-ratelimit-remaining-year", "0")
            .refuses(&[], 429, "API rate limit exceeded", RESOURCE_EXHAUSTED),
        Case::new("response-ratelimiting", uses)
            .passes(&[])
            .shows_client("x-ratelimit-remaining-videos-year", "0")
            .refuses(&[], 429, counted, RESOURCE_EXHAUSTED),
        Case {
            passes: Some(Sent::sized(10)),
            refused: Some(large),
            ..Case::new("request-size-limiting", small)
        },
    ]
}

fn answers() -> Vec<Case> {
    let closed = json!({ "status_code": 503, "message": "closed", "trigger": "x-stop" });
    vec![
        Case::new("request-termination", closed).passes(&[]).refuses(
            &[("x-stop", "1")],
            503,
            "closed",
            UNAVAILABLE,
        ),
        Case::new("redirect", json!({ "location": "http://b.test/" })).refuses(
            &[],
            301,
            "redirecting",
            UNKNOWN,
        ),
    ]
}

fn changes() -> Vec<Case> {
    let added = || json!({ "add": { "headers": ["x-added:1"] } });
    let collector = json!({ "traces_endpoint": "http://collector.test", "sampling_rate": 0 });
    vec![
        Case::new("correlation-id", json!({ "echo_downstream": true }))
            .passes(&[("kong-request-id", "mine")])
            .shows_upstream("kong-request-id", "mine")
            .shows_client("kong-request-id", "mine"),
        Case::new("cors", json!({}))
            .passes(&[("origin", "http://a.test")])
            .shows_client("access-control-allow-origin", "*"),
        Case::new("request-transformer", added()).passes(&[]).shows_upstream("x-added", "1"),
        Case::new("response-transformer", added()).passes(&[]).shows_client("x-added", "1"),
        Case::new("opentelemetry", collector).passes(&[]).shows_upstream("traceparent", "*"),
    ]
}
