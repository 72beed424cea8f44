//! The request that is asked about, from a query or a body.

use axum::extract::{FromRequest, Request};
use axum::http::Method;
use http::Uri;
use serde_json::{Map, Value};
use wire::MatchRequest;

use super::super::body::Body;
use crate::error::ApiError;

/// A request in canonical form.
#[derive(Debug)]
pub(super) struct Ask {
    method: String,
    host: String,
    port: u16,
    pub(super) https: bool,
    pub(super) path: String,
    pub(super) query: Option<String>,
    headers: Vec<(String, String)>,
    sni: Option<String>,
    /// Whether all routes are to be told of.
    pub(super) all: bool,
}

impl Ask {
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

    /// Of `method`, `url`, `sni`, `all` and `header.NAME`.
    fn read(fields: &[(String, String)]) -> Result<Self, ApiError> {
        let value =
            |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let headers = fields
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("header.")?.to_owned(), value.clone())));
        let known =
            |name: &str| matches!(name, "method" | "url" | "sni" | "all") || name.starts_with("header.");
        if let Some((name, value)) = fields.iter().find(|(name, _)| !known(name)) {
            return Err(bad(
                "query",
                format!("{name}={value}: expected method, url, header.NAME, sni or all"),
            ));
        }
        let url = value("url").ok_or_else(|| bad("url", "required".to_owned()))?;
        let wrong = |what: &str| bad("url", format!("{what}: {url}"));
        // A fragment never leaves a browser.
        let (sent, _) = url.split_once('#').unwrap_or((url, ""));
        let uri: Uri = sent.parse().map_err(|_| wrong("not a URL"))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("expected http://host/path or https://host/path")),
        };
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let (host, port) = wire::split_authority(authority).ok_or_else(|| wrong("not a port"))?;
        if host.is_empty() || host.contains('@') || uri.path().contains("%00") {
            return Err(wrong("no gateway takes it"));
        }
        let host = wire::normalize_host(host).unwrap_or_else(|| host.to_owned());
        let sni = value("sni").map(|sni| wire::normalize_host(sni).unwrap_or_else(|| sni.to_owned()));
        Ok(Self {
            method: value("method").unwrap_or("GET").to_owned(),
            port: port.unwrap_or(if https { 443 } else { 80 }),
            path: wire::normalize_path(uri.path()).unwrap_or_else(|| uri.path().to_owned()),
            query: uri.query().map(str::to_owned),
            headers: headers.collect(),
            // A client names the host that it asks for, unless that is an address.
            sni: sni.or_else(|| Some(host.clone())).filter(|_| https),
            all: matches!(value("all"), Some("1" | "true")),
            host,
            https,
        })
    }
}

impl<S: Sync> FromRequest<S> for Ask {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let mut fields: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        if request.method() == Method::POST {
            fields.extend(flat(Body::from_request(request, state).await?.fields)?);
        }
        Self::read(&fields)
    }
}

/// The fields of a body as those of a query: `headers` becomes one `header.NAME` for each value.
fn flat(fields: Map<String, Value>) -> Result<Vec<(String, String)>, ApiError> {
    let mut flat = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("headers", Value::Object(headers)) => {
                for (name, value) in headers {
                    let values = if let Value::Array(values) = value { values } else { vec![value] };
                    for value in values {
                        flat.push((format!("header.{name}"), text("headers", &value)?));
                    }
                }
            }
            (_, value) => {
                let value = text("body", &value)?;
                flat.push((name, value));
            }
        }
    }
    Ok(flat)
}

fn text(name: &'static str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(bad(name, format!("expected a string: {value}"))),
    }
}

fn bad(name: &'static str, message: String) -> ApiError {
    ApiError::InvalidOption { name, message: message.into() }
}
