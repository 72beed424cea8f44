//! hmac-auth: a request must be signed with the secret of a consumer.

use model_derive::Record;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;
use crate::types::{Number, Word};

/// The configuration of hmac-auth.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct HmacAuth {
    /// Whether the credentials are removed from the request before it is forwarded.
    #[field(default = false)]
    pub hide_credentials: bool,
    /// The greatest difference between the date of a request and the clock, in seconds.
    #[field(default = Number::whole(300), gt(0))]
    pub clock_skew: Number,
    /// The id or username of the consumer of requests without a valid signature; null: they are refused.
    #[field(longest = bounds::NAME)]
    pub anonymous: Option<String>,
    /// Whether the header Digest must be that of the body.
    #[field(default = false)]
    pub validate_request_body: bool,
    /// The headers that must be signed.
    #[field(
        default = Vec::new(),
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME,
        is = text::not_empty
    )]
    pub enforce_headers: Vec<String>,
    /// The algorithms that may be used.
    #[field(default = HmacAlgorithm::ALL.to_vec(), most = bounds::PLUGIN_LIST)]
    pub algorithms: Vec<HmacAlgorithm>,
    /// The realm in the field WWW-Authenticate.
    #[field(longest = bounds::NAME, is = text::field_value)]
    pub realm: Option<String>,
}

/// An algorithm of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HmacAlgorithm {
    /// HMAC with SHA-1.
    #[serde(rename = "hmac-sha1")]
    Sha1,
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// HMAC with SHA-384.
    #[serde(rename = "hmac-sha384")]
    Sha384,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

impl Word for HmacAlgorithm {
    const ALL: &'static [Self] = &[Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }
}

impl Check for HmacAuth {}

impl PluginConfig for HmacAuth {
    const NAME: &'static str = "hmac-auth";
    const PRIORITY: i32 = 1030;
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
            "hide_credentials": false,
            "clock_skew": 300,
            "anonymous": null,
            "validate_request_body": false,
            "enforce_headers": [],
            "algorithms": ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
            "realm": null,
        });
        assert_eq!(view("hmac-auth", &json!({})), expected);
    }

    #[test]
    fn messages() {
        let algorithms = "expected one of: hmac-sha1, hmac-sha256, hmac-sha384, hmac-sha512";
        for (config, expected) in [
            (json!({ "clock_skew": 0 }), "config.clock_skew: value must be greater than 0".to_owned()),
            (json!({ "clock_skew": "1" }), "config.clock_skew: expected a number".into()),
            (json!({ "algorithms": ["hmac-md5"] }), format!("config.algorithms.1: {algorithms}")),
            (json!({ "enforce_headers": [""] }), "config.enforce_headers.1: length must be at least 1".into()),
            (json!({ "enforce_headers": "date" }), "config.enforce_headers: expected an array".into()),
            (json!({ "validate_request_body": 1 }), "config.validate_request_body: expected a boolean".into()),
        ] {
            assert_eq!(broken("hmac-auth", &config), [expected], "{config}");
        }
    }
}
