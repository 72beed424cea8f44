//! What requests and answers may be and take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::request::Trusted;
use crate::upstream::AnswerLimits;

/// What a request may be and take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a connection may wait for its next request; zero: it is closed after each.
    pub keepalive_timeout: Duration,
    /// The longest silence within a body, in either direction.
    pub body_timeout: Duration,
    /// Bytes in a second that a body must come at, once it has taken `body_timeout`.
    pub min_body_rate: u32,
    /// The most bytes of header fields.
    pub max_header_bytes: usize,
    /// The most header fields.
    pub max_header_fields: usize,
    /// The most bytes of a request target.
    pub max_uri_bytes: usize,
    /// What becomes of a path in which an upstream may read another route's.
    pub ambiguous_paths: AmbiguousPaths,
    /// What an answer's header may be.
    pub answers: AnswerLimits,
    /// Peers whose `X-Forwarded-` headers are taken.
    pub trusted: Trusted,
}

/// What becomes of a path in which an upstream may read another route's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AmbiguousPaths {
    /// It is refused.
    Refuse,
    /// It is matched as it is written.
    Keep,
}
