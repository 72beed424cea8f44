//! forward-auth: asks a service of the operator whether a request may go on. Kong has no such plugin.

use model_derive::Record;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::check::{text, url};
use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::types::Word;

/// The configuration of forward-auth.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ForwardAuth {
    /// The address of the service that is asked.
    #[field(required, longest = bounds::PLUGIN_TEXT, is = url::of_http)]
    pub url: String,
    /// The method with which it is asked.
    #[field(default = ForwardAuthMethod::Get)]
    pub method: ForwardAuthMethod,
    /// The time within which it must have answered, in milliseconds.
    #[field(default = 5000, between(1, 60_000))]
    pub timeout: u32,
    /// The headers of the request that the service is sent; null: all but those of the connection and the body.
    #[field(most = bounds::PLUGIN_LIST, longest = bounds::HEADER_NAME, is = text::field_name)]
    pub request_headers: Option<Vec<String>>,
    /// The headers of the service's answer that the upstream is sent. Those of the request are removed.
    #[field(
        default = Vec::new(),
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME,
        is = text::field_name
    )]
    pub response_headers: Vec<String>,
    /// Whether a request goes on when the service fails: does not answer in time, or with a status of 5xx.
    #[field(default = false)]
    pub fail_open: bool,
}

/// A method with which the service of forward-auth is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ForwardAuthMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST, with an empty body.
    Post,
}

impl Word for ForwardAuthMethod {
    const ALL: &'static [Self] = &[Self::Get, Self::Head, Self::Post];

    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }
}

impl Check for ForwardAuth {}

impl PluginConfig for ForwardAuth {
    const NAME: &'static str = "forward-auth";
    const PRIORITY: i32 = 1000;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let expected = json!({
            "url": "http://a.test/check",
            "method": "GET",
            "timeout": 5000,
            "request_headers": null,
            "response_headers": [],
            "fail_open": false,
        });
        assert_eq!(view("forward-auth", &json!({ "url": "http://a.test/check" })), expected);
    }

    #[test]
    fn messages() {
        let bad = "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'";
        let with = |name: &str, value: serde_json::Value| json!({ "url": "http://a.test", name: value });
        for (config, expected) in [
            (json!({}), "config.url: required field missing".to_owned()),
            (with("url", json!("a.test")), "config.url: missing host in url".into()),
            (with("url", json!("ftp://a.test")), "config.url: expected a URL of http or https".into()),
            (with("url", json!("http://u:p@a.test")), "config.url: must not have a user".into()),
            (with("method", json!("PUT")), "config.method: expected one of: GET, HEAD, POST".into()),
            (with("timeout", json!(0)), "config.timeout: value should be between 1 and 60000".into()),
            (with("request_headers", json!(["a b"])), format!("config.request_headers.1: {bad}")),
            (with("response_headers", json!(["a b"])), format!("config.response_headers.1: {bad}")),
            (with("fail_open", json!("no")), "config.fail_open: expected a boolean".into()),
        ] {
            assert_eq!(broken("forward-auth", &config), [expected], "{config}");
        }
    }
}
