//! request-size-limiting: refuses requests whose bodies are too long.
//!
//! A length that a request states is checked at once. A body without one is measured while it is passed on.

use http::HeaderValue;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};

use super::{Exchange, InstanceTerms, Phases, Plugin, Reply, Step, Unusable};
use crate::message::Framing;

/// The texts are Kong's: its clients look for them.
const TOO_LARGE: &str = "Request size limit exceeded";
const NO_LENGTH: &str = "A valid Content-Length header is required";

/// Refuses requests whose bodies are too long.
#[derive(Debug)]
pub struct RequestSizeLimiting {
    /// The longest body, in bytes.
    most: u64,
    needs_length: bool,
}

impl Plugin for RequestSizeLimiting {
    type Config = model::plugins::RequestSizeLimiting;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        Ok(Self { most: config.bytes(), needs_length: config.require_content_length })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        if let Framing::Length(length) = exchange.framing() {
            return if length > self.most { Step::reply(too_large(exchange)) } else { Step::GO_ON };
        }
        let states_length = exchange.headers().contains_key(CONTENT_LENGTH);
        if self.needs_length && !states_length && !is_chunked(exchange) {
            return Step::reply(Reply::message(411, NO_LENGTH));
        }
        // A plugin before this one may have read the whole body.
        if exchange.limit_body(self.most) { Step::GO_ON } else { Step::reply(too_large(exchange)) }
    }
}

/// 417 to a client that waits for the word to send its body, as Kong answers.
fn too_large(exchange: &Exchange<'_>) -> Reply {
    let expects = exchange.headers().get(EXPECT).is_some_and(|expected| {
        expected.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("100-continue"))
    });
    Reply::message(if expects { 417 } else { 413 }, TOO_LARGE)
}

fn is_chunked(exchange: &Exchange<'_>) -> bool {
    let is = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    exchange.headers().get(TRANSFER_ENCODING).is_some_and(is)
}
