//! jwt: a request needs a token that is signed with a key of a consumer, or of a key set that the issuer
//! publishes.
//!
//! The fields after `maximum_expiration` are additions to Kong's.

use model_derive::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bounds;
use crate::check::{text, url};
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;
use crate::types::{Number, Word};
use crate::violations::Violations;

/// The greatest `maximum_expiration`, in seconds: a year.
const YEAR: i64 = 31_536_000;
/// Bytes of the name of a claim, an issuer or an audience.
const CLAIM: usize = 1024;

/// The configuration of jwt.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Jwt {
    /// The query arguments that may hold the token.
    #[field(
        set,
        default = vec!["jwt".to_owned()],
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME,
        is = text::not_empty
    )]
    pub uri_param_names: Vec<String>,
    /// The cookies that may hold the token.
    #[field(
        set,
        default = Vec::new(),
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME,
        is = cookie_name
    )]
    pub cookie_names: Vec<String>,
    /// The claim, or field of the token's header, that names the credential.
    #[field(default = "iss".to_owned(), longest = CLAIM)]
    pub key_claim_name: String,
    /// Whether the secrets of HS256, HS384 and HS512 are stored in base64.
    #[field(default = false)]
    pub secret_is_base64: bool,
    /// The claims that a token must have and that must hold; null: those of them that a token has must hold.
    #[field(set)]
    pub claims_to_verify: Option<Vec<Claim>>,
    /// The id or username of the consumer of requests without a valid token; null: they are refused.
    #[field(longest = bounds::NAME)]
    pub anonymous: Option<String>,
    /// Whether requests with the method OPTIONS need a token.
    #[field(default = true)]
    pub run_on_preflight: bool,
    /// The longest time until a token expires, in seconds; 0: any.
    #[field(default = Number::whole(0), between(0, YEAR))]
    pub maximum_expiration: Number,
    /// The headers that may hold the token.
    #[field(
        set,
        default = vec!["authorization".to_owned()],
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME,
        is = text::field_name
    )]
    pub header_names: Vec<String>,
    /// The realm in the field WWW-Authenticate.
    #[field(longest = bounds::NAME, is = text::field_value)]
    pub realm: Option<String>,
    /// The address of a key set (RFC 7517), whose keys verify the tokens that name no credential.
    #[field(quiet, longest = bounds::PLUGIN_TEXT, is = url::of_http)]
    pub jwks_uri: Option<String>,
    /// The issuer of tokens that the key set verifies; null: any.
    #[field(quiet, longest = CLAIM)]
    pub issuer: Option<String>,
    /// The audiences of which a token that the key set verifies must name one; empty: any.
    #[field(set, quiet, default = Vec::new(), most = bounds::PLUGIN_LIST, longest = CLAIM)]
    pub audiences: Vec<String>,
    /// The claim with the id or username of the consumer of tokens that the key set verifies; null: they have
    /// no consumer.
    #[field(quiet, longest = CLAIM)]
    pub consumer_claim: Option<String>,
}

/// A claim about the time in which a token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// The time from which on the token is not valid.
    Exp,
    /// The time before which the token is not valid.
    Nbf,
}

impl Word for Claim {
    const ALL: &'static [Self] = &[Self::Exp, Self::Nbf];

    fn as_str(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Nbf => "nbf",
        }
    }
}

fn cookie_name(name: &str) -> Result<(), String> {
    text::not_empty(name).and_then(|()| text::cookie_name(name))
}

impl Check for Jwt {
    fn rules(&self, violations: &mut Violations) {
        let verifies_exp = self.claims_to_verify.as_ref().is_some_and(|claims| claims.contains(&Claim::Exp));
        if !self.maximum_expiration.is_zero() && !verifies_exp {
            violations.entity("failed conditional validation given value of field 'config.maximum_expiration'");
            violations.field("claims_to_verify", "expected to contain: exp");
        }
        let of_key_set = self.issuer.is_some() || !self.audiences.is_empty() || self.consumer_claim.is_some();
        if of_key_set && self.jwks_uri.is_none() {
            violations.field("jwks_uri", "required field missing");
        }
    }

    fn entity_checks() -> Vec<Value> {
        let conditional = json!({
            "if_field": "config.maximum_expiration",
            "if_match": { "gt": 0 },
            "then_field": "config.claims_to_verify",
            "then_match": { "contains": "exp" },
        });
        vec![json!({ "conditional": conditional })]
    }
}

impl PluginConfig for Jwt {
    const NAME: &'static str = "jwt";
    const PRIORITY: i32 = 1450;
    const SCOPES: Scopes = Scopes::WITHOUT_CONSUMER;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let expected = json!({
            "uri_param_names": ["jwt"],
            "cookie_names": [],
            "key_claim_name": "iss",
            "secret_is_base64": false,
            "claims_to_verify": null,
            "anonymous": null,
            "run_on_preflight": true,
            "maximum_expiration": 0,
            "header_names": ["authorization"],
            "realm": null,
        });
        assert_eq!(view("jwt", &json!({})), expected);
        let additions = json!({ "jwks_uri": "https://a.test/keys", "issuer": "a", "audiences": ["b"] });
        let shown = view("jwt", &additions);
        assert!(additions.as_object().unwrap().iter().all(|(name, value)| shown[name] == *value), "{shown}");
    }

    #[test]
    fn messages() {
        let cookie = "contains one or more invalid characters. ASCII control characters (0-31;127), space, tab and \
                      the characters ()<>@,;:\\\"/?={}[] are not allowed.";
        let conditional =
            "@entity: failed conditional validation given value of field 'config.maximum_expiration'".to_owned();
        let lacks_exp = vec![conditional, "config.claims_to_verify: expected to contain: exp".into()];
        let one = |message: &str| vec![message.to_owned()];
        for (config, expected) in [
            (json!({ "claims_to_verify": ["iss"] }), one("config.claims_to_verify.1: expected one of: exp, nbf")),
            (json!({ "claims_to_verify": "exp" }), one("config.claims_to_verify: expected an array")),
            (json!({ "uri_param_names": [""] }), one("config.uri_param_names.1: length must be at least 1")),
            (json!({ "cookie_names": ["a;"] }), one(&format!("config.cookie_names.1: {cookie}"))),
            (json!({ "key_claim_name": 1 }), one("config.key_claim_name: expected a string")),
            (
                json!({ "maximum_expiration": -1 }),
                one("config.maximum_expiration: value should be between 0 and 31536000"),
            ),
            (json!({ "maximum_expiration": "1" }), one("config.maximum_expiration: expected a number")),
            (json!({ "maximum_expiration": 1 }), lacks_exp.clone()),
            (json!({ "maximum_expiration": 1, "claims_to_verify": ["nbf"] }), lacks_exp),
            (json!({ "maximum_expiration": 1, "claims_to_verify": ["exp"] }), vec![]),
            (json!({ "issuer": "a" }), one("config.jwks_uri: required field missing")),
            (json!({ "jwks_uri": "a.test" }), one("config.jwks_uri: missing host in url")),
            (json!({ "jwks_uri": "file://a/b" }), one("config.jwks_uri: expected a URL of http or https")),
        ] {
            assert_eq!(broken("jwt", &config), expected, "{config}");
        }
    }
}
