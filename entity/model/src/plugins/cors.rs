//! The configuration of cors.

use model_derive::Record;

use super::expressions;
use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;
use crate::types::{Number, Word as _, words};
use crate::violations::Violations;

/// The most origins.
const ORIGINS: usize = 1000;
/// Bytes of an origin, or of its expression.
const ORIGIN: usize = 1024;
/// The most names of header fields.
const HEADERS: usize = 200;

/// Tells browsers which origins may use the API (Cross-Origin Resource Sharing).
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Cors {
    /// The origins that may: `*`, an origin, or a regular expression of whole origins. Null: all.
    #[field(most = ORIGINS, longest = ORIGIN, is = origin)]
    pub origins: Option<Vec<String>>,
    /// The header fields that a request may have; null: those that a preflight asks for.
    #[field(most = HEADERS, longest = bounds::HEADER_NAME, is = text::field_value)]
    pub headers: Option<Vec<String>>,
    /// The header fields of an answer that a script may read; null: those that it always may.
    #[field(most = HEADERS, longest = bounds::HEADER_NAME, is = text::field_value)]
    pub exposed_headers: Option<Vec<String>>,
    /// The methods that a request may have.
    #[field(default = CorsMethod::ALL.to_vec(), most = HEADERS)]
    pub methods: Vec<CorsMethod>,
    /// For how many seconds a browser may keep the answer to a preflight; null: as it likes.
    pub max_age: Option<Number>,
    /// Whether a request may have credentials, such as cookies.
    #[field(default = false)]
    pub credentials: bool,
    /// Whether a page of a public network may ask for a private one.
    #[field(default = false)]
    pub private_network: bool,
    /// Whether preflights go to the upstream, whose answer then stays as it is.
    #[field(default = false)]
    pub preflight_continue: bool,
    /// Whether the answer to a request without an origin has the fields, too.
    #[field(default = true, quiet)]
    pub allow_origin_absent: bool,
}

words! {
    /// A method that a request from another origin may have.
    CorsMethod {
        /// `GET`.
        Get = "GET",
        /// `HEAD`.
        Head = "HEAD",
        /// `PUT`.
        Put = "PUT",
        /// `PATCH`.
        Patch = "PATCH",
        /// `POST`.
        Post = "POST",
        /// `DELETE`.
        Delete = "DELETE",
        /// `OPTIONS`.
        Options = "OPTIONS",
        /// `TRACE`.
        Trace = "TRACE",
        /// `CONNECT`.
        Connect = "CONNECT",
    }
}

impl Cors {
    /// Whether an entry is an origin, or a name, as it is written. Every other one but `*` is an expression.
    pub fn is_plain(entry: &str) -> bool {
        entry.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte))
    }

    /// The expression of whole texts that an entry stands for.
    pub fn expression(entry: &str) -> String {
        format!("^(?:{entry})$")
    }
}

/// Checks an entry of the origins.
fn origin(entry: &str) -> Result<(), String> {
    // Alone, before it is put in a group: `a)|(b` would leave it.
    let valid =
        entry == "*" || expressions::check(entry).and(expressions::check(&Cors::expression(entry))).is_ok();
    if valid { Ok(()) } else { Err(format!("'{entry}' is not a valid regex")) }
}

impl Check for Cors {
    fn rules(&self, violations: &mut Violations) {
        let origins = self.origins.iter().flatten().filter(|entry| *entry != "*" && !Self::is_plain(entry));
        let all: Vec<String> = origins.map(|entry| Self::expression(entry)).collect();
        if let Err(message) = expressions::check_together(&all) {
            violations.field("origins", message);
        }
    }
}

impl PluginConfig for Cors {
    const NAME: &'static str = "cors";
    const PRIORITY: i32 = 2000;
    const SCOPES: Scopes = Scopes::WITHOUT_CONSUMER;
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
            "origins": null, "headers": null, "exposed_headers": null,
            "methods": ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"],
            "max_age": null, "credentials": false, "private_network": false, "preflight_continue": false,
        });
        assert_eq!(view(Cors::NAME, &json!({})), all);
    }

    #[test]
    fn fields_have_their_texts() {
        for (config, message) in [
            (json!({ "origins": "*" }), "config.origins: expected an array"),
            (json!({ "origins": ["*", "a)|(b"] }), "config.origins.2: 'a)|(b' is not a valid regex"),
            (json!({ "origins": ["(?=a)"] }), "config.origins.1: '(?=a)' is not a valid regex"),
            (json!({ "origins": ["\\w{10000}"] }), "config.origins.1: '\\w{10000}' is not a valid regex"),
            (
                json!({ "methods": ["get"] }),
                "config.methods.1: expected one of: GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS, TRACE, CONNECT",
            ),
            (json!({ "max_age": "1" }), "config.max_age: expected a number"),
            (json!({ "headers": ["a\n"] }), "config.headers.1: invalid value: \"a\\n\""),
            (json!({ "credentials": 1 }), "config.credentials: expected a boolean"),
        ] {
            assert_eq!(broken(Cors::NAME, &config), [message], "{config}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("[a-z]{{600}}{n}")).collect();
        assert_eq!(broken(Cors::NAME, &json!({ "origins": many })).len(), 1);
        for good in ["*", "https://a.test", "a.test", r"(.*\.)?a\.test", "^https?://a\\.test$"] {
            assert!(broken(Cors::NAME, &json!({ "origins": [good] })).is_empty(), "{good}");
        }
    }
}
