//! request-termination: answers requests in place of the upstream.

use model_derive::Record;

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::violations::Violations;

/// The configuration of request-termination.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestTermination {
    /// The status of the answer.
    #[field(default = 503, between(100, 599))]
    pub status_code: u16,
    /// The message of an answer in JSON.
    #[field(longest = bounds::PLUGIN_BODY)]
    pub message: Option<String>,
    /// The type of the body.
    #[field(longest = bounds::PLUGIN_TEXT, is = text::field_value)]
    pub content_type: Option<String>,
    /// The body, as it is sent.
    #[field(longest = bounds::PLUGIN_BODY)]
    pub body: Option<String>,
    /// Whether the answer describes the request.
    #[field(default = false)]
    pub echo: bool,
    /// The header or query argument without which a request goes on; null: no request does.
    #[field(longest = bounds::HEADER_NAME, is = text::field_name)]
    pub trigger: Option<String>,
}

impl Check for RequestTermination {
    fn rules(&self, violations: &mut Violations) {
        let has_body = self.content_type.is_some() || self.body.is_some();
        if self.message.is_some() && has_body {
            violations.record("message cannot be used with content_type or body");
        }
        if self.content_type.is_some() && self.body.is_none() {
            violations.record("content_type requires a body");
        }
        if self.echo && has_body {
            violations.record("echo cannot be used with content_type and body");
        }
    }
}

impl PluginConfig for RequestTermination {
    const NAME: &'static str = "request-termination";
    const PRIORITY: i32 = 2;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}
