//! The configuration of ip-restriction.

use model_derive::Record;
use serde_json::{Value, json};

use crate::check::{host, text};
use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::types::Number;
use crate::violations::Violations;

/// The most addresses and networks of one list.
const NETWORKS: usize = 20_000;
/// Bytes of a network: an address of IPv6 with an address of IPv4 in it, and a length.
const NETWORK: usize = 50;
/// Bytes of a message.
const MESSAGE: usize = 4 << 10;

/// Allows or denies requests by the address of the client.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct IpRestriction {
    /// The addresses and networks in CIDR notation that alone may; null or empty: all.
    #[field(most = NETWORKS, longest = NETWORK, is = host::ip_or_cidr)]
    pub allow: Option<Vec<String>>,
    /// The addresses and networks that may not, even if they are allowed.
    #[field(most = NETWORKS, longest = NETWORK, is = host::ip_or_cidr)]
    pub deny: Option<Vec<String>>,
    /// The status of a refusal; null: 403.
    #[field(between(200, 599), number = whole)]
    pub status: Option<Number>,
    /// The message of a refusal; null: one with the address of the client.
    #[field(longest = MESSAGE, is = text::field_value)]
    pub message: Option<String>,
}

/// Checks that a number has no fraction.
fn whole(number: f64) -> Result<(), String> {
    if number.fract() == 0.0 { Ok(()) } else { Err("expected an integer".to_owned()) }
}

impl IpRestriction {
    /// The status of a refusal.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number between 200 and 599"
    )]
    pub fn status(&self) -> u16 {
        self.status.map_or(403, |status| status.get() as u16)
    }
}

impl Check for IpRestriction {
    fn rules(&self, violations: &mut Violations) {
        if [&self.allow, &self.deny].into_iter().flatten().all(Vec::is_empty) {
            violations
                .entity("at least one of these fields must be non-empty: 'config.allow', 'config.deny'");
        }
    }

    fn entity_checks() -> Vec<Value> {
        vec![json!({ "at_least_one_of": ["config.allow", "config.deny"] })]
    }
}

impl PluginConfig for IpRestriction {
    const NAME: &'static str = "ip-restriction";
    const PRIORITY: i32 = 990;
    const PROTOCOLS: Protocols = Protocols::WITH_STREAMS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let view = view(IpRestriction::NAME, &json!({ "allow": ["10.0.0.0/8"] }));
        assert_eq!(view, json!({ "allow": ["10.0.0.0/8"], "deny": null, "status": null, "message": null }));
    }

    #[test]
    fn fields_have_their_texts() {
        for (config, message) in [
            (
                json!({}),
                "@entity: at least one of these fields must be non-empty: 'config.allow', 'config.deny'",
            ),
            (json!({ "allow": ["a"] }), "config.allow.1: invalid ip or cidr range: 'a'"),
            (
                json!({ "deny": ["::1", "10.0.0.0/33"] }),
                "config.deny.2: invalid ip or cidr range: '10.0.0.0/33'",
            ),
            (json!({ "deny": ["::1"], "status": "403" }), "config.status: expected a number"),
            (json!({ "deny": ["::1"], "status": 99 }), "config.status: value should be between 200 and 599"),
            (json!({ "deny": ["::1"], "status": 403.5 }), "config.status: expected an integer"),
            (json!({ "deny": ["::1"], "message": 5 }), "config.message: expected a string"),
        ] {
            assert_eq!(broken(IpRestriction::NAME, &config), [message], "{config}");
        }
    }
}
