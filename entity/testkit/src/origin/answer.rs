//! The origin's answer to one request.

use std::time::Duration;

use serde_json::json;

use super::Received;

/// An answer, good or bad. By default 200 with an empty body and a `Content-Length`.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) delay: Duration,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) framing: Framing,
    pub(super) pace: Option<(usize, Duration)>,
    pub(super) ending: Ending,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Echo,
    Bytes(Vec<u8>),
    Raw(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    UntilClose,
}

/// What happens to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    KeepAlive,
    /// Closes after the answer.
    Close,
    /// Closes without an answer.
    CloseUnanswered,
    ResetUnanswered,
    /// Closes after so many bytes of the body.
    CloseAfter(usize),
    ResetAfter(usize),
    /// Answers 101, then echoes every byte.
    Upgrade,
}

impl Answer {
    /// 200 with the request as JSON.
    pub fn echo() -> Self {
        Self { body: Body::Echo, ..Self::status(200) }.header("Content-Type", "application/json")
    }

    /// This status with an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            delay: Duration::ZERO,
            status,
            headers: Vec::new(),
            body: Body::Bytes(Vec::new()),
            framing: Framing::Length,
            pace: None,
            ending: Ending::KeepAlive,
        }
    }

    /// Exactly these bytes, head included, then the end of the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: Body::Raw(bytes.into()), ending: Ending::Close, ..Self::status(200) }
    }

    /// 101 for a WebSocket or any other upgrade; then echoes every byte.
    pub fn upgrade(protocol: &str) -> Self {
        Self { ending: Ending::Upgrade, ..Self::status(101) }
            .header("Connection", "Upgrade")
            .header("Upgrade", protocol)
    }

    /// No answer: the connection is closed.
    pub fn close() -> Self {
        Self { ending: Ending::CloseUnanswered, ..Self::status(200) }
    }

    /// No answer: the connection is reset.
    pub fn reset() -> Self {
        Self { ending: Ending::ResetUnanswered, ..Self::status(200) }
    }

    /// No answer, and the connection stays open for an hour.
    pub fn hang() -> Self {
        Self::close().delay(Duration::from_secs(3600))
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Body::Bytes(body.into()), ..self }
    }

    /// Sets a body of this many bytes.
    #[must_use]
    pub fn size(self, length: usize) -> Self {
        self.body(vec![b'x'; length])
    }

    /// Sets a delay before the answer, or before the action in place of one.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Sends the body chunked.
    #[must_use]
    pub fn chunked(self) -> Self {
        Self { framing: Framing::Chunked, ..self }
    }

    /// Sends the body without a length: it ends with the connection.
    #[must_use]
    pub fn until_close(self) -> Self {
        Self { framing: Framing::UntilClose, ending: Ending::Close, ..self }
    }

    /// Sends the body in pieces of this many bytes, with this pause after each.
    #[must_use]
    pub fn slow(self, piece: usize, pause: Duration) -> Self {
        Self { pace: Some((piece.max(1), pause)), ..self }
    }

    /// Closes the connection after the answer, and says so in it.
    #[must_use]
    pub fn then_close(self) -> Self {
        Self { ending: Ending::Close, ..self }.header("Connection", "close")
    }

    /// Closes the connection after this many bytes of the body.
    #[must_use]
    pub fn truncated(self, length: usize) -> Self {
        Self { ending: Ending::CloseAfter(length), ..self }
    }

    /// Resets the connection after this many bytes of the body.
    #[must_use]
    pub fn reset_after(self, length: usize) -> Self {
        Self { ending: Ending::ResetAfter(length), ..self }
    }

    /// The answer with its body filled in.
    pub(super) fn for_request(mut self, received: &Received) -> Self {
        if matches!(self.body, Body::Echo) {
            self.body = Body::Bytes(echo(received));
        }
        self
    }

    pub(super) fn body_bytes(&self) -> &[u8] {
        match &self.body {
            Body::Echo => &[],
            Body::Bytes(bytes) | Body::Raw(bytes) => bytes,
        }
    }
}

fn echo(received: &Received) -> Vec<u8> {
    let mut headers = serde_json::Map::new();
    for (name, _) in &received.headers {
        let values: Vec<_> = received.header_values(name).collect();
        headers.insert(name.to_ascii_lowercase(), values.join(", ").into());
    }
    let body = String::from_utf8_lossy(&received.body);
    let echo = json!({
        "method": received.method,
        "target": received.target,
        "headers": headers,
        "body": body,
    });
    echo.to_string().into_bytes()
}
