//! Requests and responses.

use bytes::Bytes;
use serde_json::Value;

/// A request. Header fields go out in the order in which they were added. `Host` and `Content-Length` are
/// added if the request has none.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The protocol's version.
    pub version: Version,
    /// The status code.
    pub status: u16,
    /// The header fields, in their order and spelling.
    pub headers: Vec<(String, String)>,
    /// The body without the transfer coding.
    pub body: Bytes,
}

/// The version of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Request {
    /// A request for this target, which is sent as it is given.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    /// Sets a form as the body.
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = fields.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect();
        self.header("Content-Type", "application/x-www-form-urlencoded").body(pairs.join("&"))
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Encodes the request.
    pub fn encode(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let may_have_body = !matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE");
        let has_length = self.has("content-length") || self.has("transfer-encoding");
        if !has_length && (may_have_body || !self.body.is_empty()) {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }
}

impl Response {
    /// The first header field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All header fields of this name, in any case.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON: with the response.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text()))
    }

    /// Returns the response if it has this status.
    ///
    /// # Panics
    ///
    /// It has another: with the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "body: {}", self.text());
        self
    }

    /// Whether another request may be sent over the same connection.
    pub(super) fn keeps_alive(&self) -> bool {
        let says = |word| self.header("connection").is_some_and(|c| c.eq_ignore_ascii_case(word));
        let delimited = self.header("content-length").is_some() || self.header("transfer-encoding").is_some();
        match self.version {
            Version::Http11 => {
                !says("close") && self.status != 101 && (delimited || matches!(self.status, 204 | 304))
            }
            Version::Http10 => says("keep-alive") && delimited,
        }
    }
}

/// Percent-encoding for a form: everything but letters, digits and `-._~`.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
