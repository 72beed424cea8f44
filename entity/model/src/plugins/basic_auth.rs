//! basic-auth: a request needs the username and the password of a consumer.

use model_derive::Record;

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;

/// The configuration of basic-auth.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct BasicAuth {
    /// The id or username of the consumer of requests without valid credentials; null: they are refused.
    #[field(longest = bounds::NAME)]
    pub anonymous: Option<String>,
    /// Whether the credentials are removed from the request before it is forwarded.
    #[field(default = false)]
    pub hide_credentials: bool,
    /// The realm in the field WWW-Authenticate.
    #[field(default = "service".to_owned(), longest = bounds::NAME, is = text::field_value)]
    pub realm: String,
}

impl Check for BasicAuth {}

impl PluginConfig for BasicAuth {
    const NAME: &'static str = "basic-auth";
    const PRIORITY: i32 = 1100;
    const SCOPES: Scopes = Scopes::WITHOUT_CONSUMER;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let expected = json!({ "anonymous": null, "hide_credentials": false, "realm": "service" });
        assert_eq!(view("basic-auth", &json!({})), expected);
        assert_eq!(view("basic-auth", &json!({ "realm": null })), expected);
    }

    #[test]
    fn messages() {
        for (config, expected) in [
            (json!({ "realm": 1 }), "config.realm: expected a string"),
            (json!({ "realm": "" }), "config.realm: length must be at least 1"),
            (json!({ "hide_credentials": "yes" }), "config.hide_credentials: expected a boolean"),
            (json!({ "anonymous": {} }), "config.anonymous: expected a string"),
            (json!({ "nonsense": 1 }), "config.nonsense: unknown field"),
        ] {
            assert_eq!(broken("basic-auth", &config), [expected], "{config}");
        }
    }
}
