//! cors: tells browsers which origins may use the API.

mod origins;

use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN};
use http::{HeaderMap, HeaderName, Method};
use model::plugins::Cors as Config;

use self::origins::{Allowed, Origins};
use super::{Answer, AnswerFields, Exchange, InstanceTerms, Phases, Plugin, Reply, Step, Unusable};
use crate::message::FieldName;

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";
const EXPOSE_HEADERS: &str = "Access-Control-Expose-Headers";
const ALLOW_HEADERS: &str = "Access-Control-Allow-Headers";
const ALLOW_METHODS: &str = "Access-Control-Allow-Methods";
const ALLOW_PRIVATE_NETWORK: &str = "Access-Control-Allow-Private-Network";
const MAX_AGE: &str = "Access-Control-Max-Age";
const VARY: &str = "Vary";

/// By this field a browser asks whether it may leave a public network.
static REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct Cors {
    origins: Origins,
    credentials: bool,
    /// Lists for fields, joined; `None`: not configured.
    headers: Option<String>,
    exposed_headers: Option<String>,
    methods: String,
    max_age: Option<String>,
    private_network: bool,
    preflight_continue: bool,
    allow_origin_absent: bool,
}

/// Kept of a preflight: its answer has all fields, or is the upstream's business.
#[derive(Debug)]
struct IsPreflight;

impl Plugin for Cors {
    type Config = Config;

    const PHASES: Phases = Phases::ACCESS.with(Phases::ANSWER);

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        let origins = Origins::compile(config.origins.as_deref().unwrap_or_default())
            .map_err(|error| Unusable { field: "origins", message: error.reason().into() })?;
        let joined = |list: &Option<Vec<String>>| {
            list.as_ref().filter(|list| !list.is_empty()).map(|list| list.join(","))
        };
        let methods: Vec<&str> = config.methods.iter().map(|method| model::Word::as_str(*method)).collect();
        Ok(Self {
            origins,
            credentials: config.credentials,
            headers: joined(&config.headers),
            exposed_headers: joined(&config.exposed_headers),
            methods: methods.join(","),
            max_age: config.max_age.map(|seconds| seconds.to_string()),
            private_network: config.private_network,
            preflight_continue: config.preflight_continue,
            allow_origin_absent: config.allow_origin_absent,
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        if !is_preflight(exchange.method(), exchange.headers()) {
            return Step::GO_ON;
        }
        exchange.keep(IsPreflight);
        if self.preflight_continue {
            return Step::GO_ON;
        }
        let mut fields = AnswerFields::default();
        self.write_preflight(exchange.headers(), &mut fields);
        Step::reply(reply(&fields))
    }

    fn answer(&self, exchange: &mut Exchange<'_>, answer: &mut Answer) {
        if exchange.kept::<IsPreflight>().is_none() {
            self.write_answer(exchange.headers(), &mut answer.fields);
        }
    }
}

impl Cors {
    /// Writes the fields of the answer to a preflight.
    fn write_preflight(&self, request: &HeaderMap, fields: &mut AnswerFields) {
        self.write_origin(request, fields);
        match (&self.headers, request.get(ACCESS_CONTROL_REQUEST_HEADERS)) {
            (Some(headers), _) => fields.set(ALLOW_HEADERS, headers),
            (None, Some(asked)) => fields.set(ALLOW_HEADERS, asked),
            (None, None) => {}
        }
        fields.set(ALLOW_METHODS, &self.methods);
        if let Some(seconds) = &self.max_age {
            fields.set(MAX_AGE, seconds);
        }
        if self.private_network && request.get(&REQUEST_PRIVATE_NETWORK).is_some_and(|asked| asked == "true")
        {
            fields.set(ALLOW_PRIVATE_NETWORK, "true");
        }
    }

    /// Writes the fields of every other answer, in place of the upstream's.
    fn write_answer(&self, request: &HeaderMap, fields: &mut AnswerFields) {
        if !self.allow_origin_absent && !request.contains_key(ORIGIN) {
            return;
        }
        self.write_origin(request, fields);
        if let Some(names) = &self.exposed_headers {
            fields.set(EXPOSE_HEADERS, names);
        }
    }

    /// Writes which origin may read the answer, and whether with credentials.
    fn write_origin(&self, request: &HeaderMap, fields: &mut AnswerFields) {
        let origin = request.get(ORIGIN).filter(|origin| !origin.is_empty());
        let allowed = self.origins.allow(origin.map(HeaderValue::as_bytes));
        if self.origins.depends_on_origin() {
            vary(fields);
        }
        match &allowed {
            Allowed::All => fields.set(ALLOW_ORIGIN, "*"),
            Allowed::Origin(origin) => fields.set(ALLOW_ORIGIN, origin.as_bytes()),
            Allowed::None => fields.remove(ALLOW_ORIGIN),
        }
        match (self.credentials, &allowed, origin) {
            (false, ..) | (true, Allowed::All, None) => {}
            // With credentials, browsers take no `*`.
            (true, Allowed::All, Some(origin)) => {
                vary(fields);
                fields.set(ALLOW_ORIGIN, origin);
                fields.set(ALLOW_CREDENTIALS, "true");
            }
            (true, Allowed::Origin(_) | Allowed::None, _) => fields.set(ALLOW_CREDENTIALS, "true"),
        }
    }
}

/// Whether a browser asks if it may send a request.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    let has_origin = headers.get(ORIGIN).is_some_and(|origin| !origin.is_empty());
    *method == Method::OPTIONS && has_origin && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Says that the answer depends on the origin, unless that is said already.
fn vary(fields: &mut AnswerFields) {
    let is_it = |name: &[u8]| matches!(name, b"*") || name.eq_ignore_ascii_case(b"origin");
    let names = |list: &[u8]| list.split(|byte| *byte == b',').any(|name| is_it(name.trim_ascii()));
    if !fields.get_all(VARY).any(names) {
        fields.append(VARY, "Origin");
    }
}

/// The answer to a preflight.
fn reply(fields: &AnswerFields) -> Reply {
    fields.iter().fold(Reply::empty(200), |reply, (name, value)| {
        let name = std::str::from_utf8(name).ok().and_then(FieldName::new);
        match name.zip(HeaderValue::from_bytes(value).ok()) {
            Some((name, value)) => reply.with(name, value),
            None => reply,
        }
    })
}

#[cfg(test)]
mod tests;
