//! The body of an error, in a form that the client accepts.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    Json,
    /// `text/html`.
    Html,
    /// `application/xml`.
    Xml,
    /// `text/plain`.
    Text,
}

/// A body and its type.
#[derive(Debug)]
pub struct Body {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The bytes.
    pub text: String,
}

impl Body {
    /// Creates `{"message":"…"}`.
    pub fn exit(message: &str) -> Self {
        let text = serde_json::json!({ "message": message }).to_string();
        Self { content_type: "application/json; charset=utf-8", text }
    }

    /// Creates the body with `message`, a text of the gateway or of the configuration.
    pub fn new(format: Format, message: &str, request_id: &str) -> Self {
        let (content_type, text) = match format {
            Format::Json => (
                "application/json; charset=utf-8",
                format!(
                    "{{\n  \"message\":{},\n  \"request_id\":\"{request_id}\"\n}}",
                    serde_json::Value::from(message)
                ),
            ),
            Format::Html => (
                "text/html; charset=utf-8",
                format!(
                    "<!doctype html>\n<title>Error</title>\n<h1>Error</h1>\n<p>{}</p>\n\
                     <p>request_id: {request_id}</p>\n",
                    escaped(message)
                ),
            ),
            Format::Xml => (
                "application/xml; charset=utf-8",
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>{}</message>\n  \
                     <requestid>{request_id}</requestid>\n</error>\n",
                    escaped(message)
                ),
            ),
            Format::Text => ("text/plain; charset=utf-8", format!("{message}\nrequest_id: {request_id}\n")),
        };
        Self { content_type, text }
    }
}

impl Format {
    /// Chooses the form that `Accept` prefers, else `default`.
    pub fn accepted(headers: &HeaderMap, default: Self) -> Self {
        let lists = headers.get_all(ACCEPT).iter().filter_map(|list| list.to_str().ok());
        preferred(lists.flat_map(|list| list.split(','))).unwrap_or(default)
    }

    /// Chooses the form: the one that `Accept` prefers, else that of the request's own body, else `default`.
    pub fn negotiate(headers: &HeaderMap, default: Self) -> Self {
        if headers.contains_key(ACCEPT) {
            return Self::accepted(headers, default);
        }
        let own = headers.get(CONTENT_TYPE).and_then(|own| own.to_str().ok());
        own.and_then(|own| Self::of_media_type(essence(own))).unwrap_or(default)
    }

    fn of_media_type(media_type: &str) -> Option<Self> {
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        if is("application/json") || is("application/*") || is("*/*") {
            Some(Self::Json)
        } else if is("text/html") || is("text/*") {
            Some(Self::Html)
        } else if is("application/xml") || is("text/xml") {
            Some(Self::Xml)
        } else {
            is("text/plain").then_some(Self::Text)
        }
    }
}

/// A text in a document of HTML or XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The supported type with the greatest weight; the first of equals.
fn preferred<'a>(ranges: impl Iterator<Item = &'a str>) -> Option<Format> {
    let mut best: Option<(f32, Format)> = None;
    for range in ranges {
        let Some(format) = Format::of_media_type(essence(range)) else { continue };
        let weight = weight(range);
        if weight > best.map_or(0.0, |(weight, _)| weight) {
            best = Some((weight, format));
        }
    }
    best.map(|(_, format)| format)
}

/// A media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn weight(range: &str) -> f32 {
    let weight = range
        .split(';')
        .skip(1)
        .find_map(|parameter| parameter.trim().strip_prefix(['q', 'Q'])?.strip_prefix('='));
    weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_is_negotiated() {
        for (accept, content_type, format) in [
            (None, None, Format::Text),
            (None, Some("application/json; charset=utf-8"), Format::Json),
            (None, Some("image/png"), Format::Text),
            (Some("text/html,application/json;q=0.9"), None, Format::Html),
            (Some("text/html;q=0.5, application/xml"), None, Format::Xml),
            (Some("text/html;q=0, image/png"), None, Format::Text),
            (Some("*/*"), Some("text/html"), Format::Json),
            (Some("text/plain"), None, Format::Text),
            (Some("application/json;Q=0.2, application/xml;q=0.3"), None, Format::Xml),
            (Some("text/*, application/json;q=0.9"), None, Format::Html),
            (Some(";;q=,,"), None, Format::Text),
        ] {
            let mut headers = HeaderMap::new();
            accept.map(|value| headers.insert(ACCEPT, HeaderValue::from_static(value)));
            content_type.map(|value| headers.insert(CONTENT_TYPE, HeaderValue::from_static(value)));
            assert_eq!(Format::negotiate(&headers, Format::Text), format, "{accept:?} {content_type:?}");
        }
    }
}
