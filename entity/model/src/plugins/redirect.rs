//! The configuration of redirect.

use model_derive::Record;

use super::request_termination::final_status;
use crate::check::url;
use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::violations::Violations;

/// Bytes of a location.
const LOCATION: usize = 8 << 10;

/// Sends clients to another place.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Redirect {
    /// The status of the answer.
    #[field(default = 301, between(100, 599))]
    pub status_code: u16,
    /// The place.
    #[field(required, longest = LOCATION, is = url::url)]
    pub location: String,
    /// Whether the path and the query of the request replace those of `location`.
    #[field(default = false)]
    pub keep_incoming_path: bool,
}

impl Check for Redirect {
    fn rules(&self, violations: &mut Violations) {
        if let Err(message) = final_status(self.status_code) {
            violations.field("status_code", message);
        }
    }
}

impl PluginConfig for Redirect {
    const NAME: &'static str = "redirect";
    const PRIORITY: i32 = 779;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn fields_have_their_texts() {
        let all = json!({ "status_code": 301, "location": "https://a.test/", "keep_incoming_path": false });
        assert_eq!(view(Redirect::NAME, &json!({ "location": "https://a.test/" })), all);
        for (config, message) in [
            (json!({}), "config.location: required field missing"),
            (json!({ "location": "/a" }), "config.location: missing host in url"),
            (json!({ "location": "//a.test" }), "config.location: missing scheme in url"),
            (
                json!({ "location": "https://a.test", "status_code": 600 }),
                "config.status_code: value should be between 100 and 599",
            ),
            (
                json!({ "location": "https://a.test", "status_code": 100 }),
                "config.status_code: 100 is no status of a final answer",
            ),
        ] {
            assert_eq!(broken(Redirect::NAME, &config), [message], "{config}");
        }
    }
}
