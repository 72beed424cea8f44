//! The configuration of request-termination.

use model_derive::Record;

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::violations::Violations;

/// Bytes of a message.
const MESSAGE: usize = 4 << 10;
/// Bytes of a body.
const BODY: usize = 256 << 10;

/// Answers requests in place of the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestTermination {
    /// The status of the answer.
    #[field(default = 503, between(100, 599))]
    pub status_code: u16,
    /// The message in the body of the answer; null: one of the status.
    #[field(longest = MESSAGE)]
    pub message: Option<String>,
    /// The media type of `body`.
    #[field(longest = bounds::HEADER_VALUE, is = text::field_value)]
    pub content_type: Option<String>,
    /// The body of the answer.
    #[field(longest = BODY)]
    pub body: Option<String>,
    /// Whether the answer describes the request.
    #[field(default = false)]
    pub echo: bool,
    /// Only requests with this header field, or with a query argument of this name, are answered; null: all.
    #[field(longest = bounds::HEADER_NAME, is = text::field_name)]
    pub trigger: Option<String>,
}

impl Check for RequestTermination {
    fn rules(&self, violations: &mut Violations) {
        let has_body = self.content_type.is_some() || self.body.is_some();
        if self.message.is_some() && has_body {
            violations.record("message cannot be used with content_type or body");
        } else if self.content_type.is_some() && self.body.is_none() {
            violations.record("content_type requires a body");
        } else if self.echo && has_body {
            violations.record("echo cannot be used with content_type and body");
        } else if let Err(message) = final_status(self.status_code) {
            violations.field("status_code", message);
        }
    }
}

/// Checks that a status can end a request: a client goes on waiting after an interim one (RFC 9110, section 15.2).
pub(super) fn final_status(status: u16) -> Result<(), String> {
    if (100..200).contains(&status) {
        Err(format!("{status} is no status of a final answer"))
    } else {
        Ok(())
    }
}

impl PluginConfig for RequestTermination {
    const NAME: &'static str = "request-termination";
    const PRIORITY: i32 = 2;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let all = json!({
            "status_code": 503, "message": null, "content_type": null, "body": null, "echo": false,
            "trigger": null,
        });
        assert_eq!(view(RequestTermination::NAME, &json!({})), all);
    }

    #[test]
    fn fields_have_their_texts() {
        let range = "config.status_code: value should be between 100 and 599";
        for (config, message) in [
            (json!({ "status_code": 99 }), range),
            (json!({ "status_code": 600 }), range),
            (json!({ "status_code": "503" }), "config.status_code: expected an integer"),
            (json!({ "status_code": 101 }), "config.status_code: 101 is no status of a final answer"),
            (
                json!({ "message": "a", "body": "b" }),
                "config: message cannot be used with content_type or body",
            ),
            (
                json!({ "message": "a", "content_type": "b" }),
                "config: message cannot be used with content_type or body",
            ),
            (json!({ "content_type": "text/plain" }), "config: content_type requires a body"),
            (json!({ "echo": true, "body": "b" }), "config: echo cannot be used with content_type and body"),
            (
                json!({ "trigger": "a b" }),
                "config.trigger: bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
            ),
        ] {
            assert_eq!(broken(RequestTermination::NAME, &config), [message], "{config}");
        }
        assert!(broken(RequestTermination::NAME, &json!({ "echo": true, "message": "a" })).is_empty());
    }
}
