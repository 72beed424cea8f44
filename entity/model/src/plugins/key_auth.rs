//! key-auth: a request must present the API key of a consumer.

use model_derive::Record;

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;

/// The configuration of key-auth.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct KeyAuth {
    /// The names of the headers, query arguments and fields of a body that may hold the key.
    #[field(
        default = vec!["apikey".to_owned()],
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME,
        is = text::field_name
    )]
    pub key_names: Vec<String>,
    /// Whether the key is removed before a request goes upstream.
    #[field(default = false)]
    pub hide_credentials: bool,
    /// The id or the name of the consumer of requests that fail; null: they are refused.
    #[field(longest = bounds::NAME)]
    pub anonymous: Option<String>,
    /// Whether the key may be in a header.
    #[field(default = true)]
    pub key_in_header: bool,
    /// Whether the key may be in the query.
    #[field(default = true)]
    pub key_in_query: bool,
    /// Whether the key may be in the body.
    #[field(default = false)]
    pub key_in_body: bool,
    /// Whether requests with the method OPTIONS need a key.
    #[field(default = true)]
    pub run_on_preflight: bool,
    /// The realm of the challenge; null: none.
    #[field(longest = bounds::NAME, is = text::field_value)]
    pub realm: Option<String>,
    /// Whether the key may also be the token of the header Authorization: Bearer, which is read last.
    #[field(default = false, quiet)]
    pub key_in_bearer: bool,
}

impl Check for KeyAuth {}

impl PluginConfig for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 1250;
    const SCOPES: Scopes = Scopes::WITHOUT_CONSUMER;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let expected = json!({
            "key_names": ["apikey"],
            "hide_credentials": false,
            "anonymous": null,
            "key_in_header": true,
            "key_in_query": true,
            "key_in_body": false,
            "run_on_preflight": true,
            "realm": null,
        });
        assert_eq!(view("key-auth", &json!({})), expected);
        assert_eq!(view("key-auth", &json!({ "key_in_bearer": true }))["key_in_bearer"], json!(true));
    }

    #[test]
    fn messages() {
        let bad = "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'";
        for (config, expected) in [
            (json!({ "key_names": ["a", "a b"] }), format!("config.key_names.2: {bad}")),
            (json!({ "key_names": [""] }), "config.key_names.1: length must be at least 1".into()),
            (json!({ "key_names": "a" }), "config.key_names: expected an array".into()),
            (json!({ "key_names": [1] }), "config.key_names.1: expected a string".into()),
            (json!({ "hide_credentials": "yes" }), "config.hide_credentials: expected a boolean".into()),
            (json!({ "key_in_body": 1 }), "config.key_in_body: expected a boolean".into()),
            (json!({ "anonymous": 1 }), "config.anonymous: expected a string".into()),
            (json!({ "anonymous": "" }), "config.anonymous: length must be at least 1".into()),
            (json!({ "realm": "a\nb" }), "config.realm: invalid value: \"a\\nb\"".into()),
            (json!({ "nonsense": 1 }), "config.nonsense: unknown field".into()),
        ] {
            assert_eq!(broken("key-auth", &config), [expected], "{config}");
        }
    }
}
