//! The request of a `/routes/match` question, from a query or a body.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderName, Method};
use model::{Field, FieldType, MatchRequest, Rules, Violations};
use serde_json::{Map, Value, json};

use super::super::body::Body;
use crate::error::ApiError;

/// Routes not taken that the answer explains by default.
const DEFAULT_CANDIDATES: usize = 10;
/// The maximum number of explained routes.
const MAX_CANDIDATES: i64 = 1000;
/// The end of a message: data planes reject the request.
const REFUSED: &str = "data planes answer 400 to it";

/// A request in canonical form.
#[derive(Debug, Default)]
pub(super) struct MatchQuery {
    pub(super) https: bool,
    method: String,
    host: String,
    port: u16,
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// Header fields, one entry for each value.
    headers: Vec<(String, String)>,
    /// The server name of the TLS handshake; empty if the client sends none, `None` for plaintext.
    sni: Option<String>,
    /// Routes not taken that the answer explains.
    pub(super) size: usize,
}

impl MatchQuery {
    /// Calls `then` with the request.
    pub(super) fn with_request<T>(&self, then: impl FnOnce(&MatchRequest<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        then(&MatchRequest {
            method: &self.method,
            host: &self.host,
            port: self.port,
            path: &self.path,
            headers: &headers,
            sni: self.sni.as_deref(),
        })
    }

    /// Shows the request.
    pub(super) fn view(&self) -> Value {
        json!({
            "scheme": if self.https { "https" } else { "http" },
            "method": self.method,
            "host": self.host,
            "port": self.port,
            "path": self.path,
            "sni": self.sni,
        })
    }

    fn read(mut body: Body) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        expand_url(&mut body, &mut violations);
        list_headers(&mut body);
        let mut fields = Fields { left: body.fields, form: body.form, violations };
        let https = read_scheme(&mut fields);
        let (host, port) = read_host(&mut fields);
        let (path, query) = read_path(&mut fields);
        let listening = fields.take::<u16>("port", Rules::new().between(1, 65_535));
        let size = fields.take::<u16>("size", Rules::new().between(0, MAX_CANDIDATES));
        let ask = Self {
            method: read_method(&mut fields),
            port: port.or(listening).unwrap_or(if https { 443 } else { 80 }),
            headers: read_headers(&mut fields),
            sni: read_sni(&mut fields, https, &host),
            size: size.map_or(DEFAULT_CANDIDATES, usize::from),
            https,
            host,
            path,
            query,
        };
        fields.finish().map(|()| ask)
    }
}

impl<S: Sync> FromRequest<S> for MatchQuery {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = if request.method() == Method::POST {
            Body::from_request(request, state).await?
        } else {
            Body::of_pairs(request.uri().query().unwrap_or_default().as_bytes())?
        };
        Self::read(body).map_err(ApiError::Invalid)
    }
}

/// The fields of a question. Taking a field removes it; those that remain at the end are unknown.
#[derive(Debug)]
struct Fields {
    left: Map<String, Value>,
    form: bool,
    violations: Violations,
}

impl Fields {
    fn take<T: FieldType>(&mut self, name: &'static str, rules: Rules) -> Option<T> {
        let field = Field::new::<Option<T>>(name, "", rules, None);
        field.take(&mut self.left, self.form, &mut self.violations)
    }

    fn string(&mut self, name: &'static str) -> Option<String> {
        self.take(name, Rules::new())
    }

    fn finish(mut self) -> Result<(), Violations> {
        for name in self.left.keys() {
            self.violations.field(name, "unknown field");
        }
        self.violations.into_result()
    }
}

/// Replaces a URL by `scheme`, `host` and `path`.
fn expand_url(body: &mut Body, violations: &mut Violations) {
    let url = body.fields.remove("url").filter(|url| !url.is_null());
    let parts = |url: &Value| {
        let (scheme, rest) = url.as_str()?.split_once("://")?;
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let slash = if path.starts_with('/') { "" } else { "/" };
        json!({ "scheme": scheme.to_ascii_lowercase(), "host": host, "path": format!("{slash}{path}") })
            .as_object()
            .cloned()
    };
    match url.as_ref().map(parts) {
        None => {}
        Some(Some(parts)) => body.fields.extend(parts),
        Some(None) => violations.field("url", "expected <scheme>://<host>[:<port>][/<path>][?<query>]"),
    }
}

/// Turns a single header value into a list: JSON allows both, too.
fn list_headers(body: &mut Body) {
    let headers = body.fields.get_mut("headers").and_then(Value::as_object_mut);
    let values = headers.into_iter().flat_map(Map::values_mut);
    values.filter(|value| value.is_string()).for_each(|value| *value = json!([value.take()]));
}

/// Whether the scheme is `https`.
fn read_scheme(fields: &mut Fields) -> bool {
    match fields.string("scheme").as_deref() {
        None | Some("http") => false,
        Some("https") => true,
        Some(_) => {
            fields.violations.field("scheme", "expected one of: http, https");
            false
        }
    }
}

fn read_method(fields: &mut Fields) -> String {
    let method = fields.string("method").unwrap_or_else(|| "GET".to_owned());
    match Method::from_bytes(method.as_bytes()) {
        Ok(Method::CONNECT) => fields.violations.field("method", "data planes answer 405 to it"),
        Ok(_) => {}
        Err(_) => fields.violations.field("method", REFUSED),
    }
    method
}

fn read_host(fields: &mut Fields) -> (String, Option<u16>) {
    if fields.left.get("host").is_none_or(Value::is_null) {
        fields.violations.field("host", "required field missing");
    }
    let Some(sent) = fields.string("host") else { return Default::default() };
    let Some((host, port)) = model::split_authority(&sent) else {
        fields.violations.field("host", REFUSED);
        return Default::default();
    };
    (canonical_host(host), port)
}

/// Reads path and query. A fragment never leaves a browser, and data planes drop it.
fn read_path(fields: &mut Fields) -> (String, Option<String>) {
    let given = fields.string("path").unwrap_or_else(|| "/".to_owned());
    let (sent, _) = given.split_once('#').unwrap_or((&given, ""));
    let (path, query) = match sent.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (sent, None),
    };
    let canonical = model::canonical_path(path.as_bytes()).filter(|_| model::is_target(sent.as_bytes()));
    if canonical.is_none() {
        fields.violations.field("path", REFUSED);
    }
    (canonical.unwrap_or_default().into_owned(), query)
}

fn read_headers(fields: &mut Fields) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let given = fields.take::<BTreeMap<String, Vec<String>>>("headers", Rules::new());
    for (name, values) in given.unwrap_or_default() {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(http::header::HOST) => fields.violations.field("headers", "host: is a field of its own"),
            Ok(_) => {}
            Err(_) => fields.violations.field("headers", format!("{name}: not a header's name")),
        }
        headers.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    headers
}

/// Reads the server name. By default it is the requested host, unless that is an address
/// (RFC 6066, section 3).
fn read_sni(fields: &mut Fields, https: bool, host: &str) -> Option<String> {
    let named = fields.string("sni");
    if !https {
        if named.is_some() {
            fields.violations.field("sni", "only with scheme https");
        }
        return None;
    }
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let own = if is_address { String::new() } else { host.to_owned() };
    Some(named.map_or(own, |name| canonical_host(&name)))
}

fn canonical_host(host: &str) -> String {
    model::normalize_host(host).unwrap_or_else(|| host.to_owned())
}
