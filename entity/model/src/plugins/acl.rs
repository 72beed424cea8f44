//! acl: only consumers of certain groups may, or may not.

use model_derive::Record;
use serde_json::{Value, json};

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;
use crate::violations::Violations;

/// The configuration of acl.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Acl {
    /// The groups of which a consumer must be in one.
    #[field(most = bounds::PLUGIN_LIST, longest = bounds::NAME, is = text::not_empty)]
    pub allow: Option<Vec<String>>,
    /// The groups of which a consumer must be in none.
    #[field(most = bounds::PLUGIN_LIST, longest = bounds::NAME, is = text::not_empty)]
    pub deny: Option<Vec<String>>,
    /// Whether the groups are kept from the upstream.
    #[field(default = false)]
    pub hide_groups_header: bool,
    /// Whether groups that an authentication plugin found count before those of the consumer.
    #[field(default = false)]
    pub always_use_authenticated_groups: bool,
}

const EXACTLY_ONE: &str = "exactly one of these fields must be non-empty: 'config.allow', 'config.deny'";
const AT_LEAST_ONE: &str = "at least one of these fields must be non-empty: 'config.allow', 'config.deny'";

impl Acl {
    /// How many of the two lists have a group.
    fn given(&self) -> usize {
        let lists = [&self.allow, &self.deny];
        lists.into_iter().flatten().filter(|list| !list.is_empty()).count()
    }
}

impl Check for Acl {
    fn rules(&self, violations: &mut Violations) {
        if self.given() > 1 {
            violations.entity(EXACTLY_ONE);
        }
    }

    /// Older versions took a list without groups for one that is given.
    fn written_rules(&self, violations: &mut Violations) {
        if self.given() == 0 {
            violations.entity(EXACTLY_ONE);
            violations.entity(AT_LEAST_ONE);
        }
    }

    fn entity_checks() -> Vec<Value> {
        let fields = ["config.allow", "config.deny"];
        vec![json!({ "only_one_of": fields }), json!({ "at_least_one_of": fields })]
    }
}

impl PluginConfig for Acl {
    const NAME: &'static str = "acl";
    const PRIORITY: i32 = 950;
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
            "allow": ["a"],
            "deny": null,
            "hide_groups_header": false,
            "always_use_authenticated_groups": false,
        });
        assert_eq!(view("acl", &json!({ "allow": ["a"] })), expected);
    }

    #[test]
    fn messages() {
        let one = "@entity: exactly one of these fields must be non-empty: 'config.allow', 'config.deny'";
        let any = "@entity: at least one of these fields must be non-empty: 'config.allow', 'config.deny'";
        for (config, expected) in [
            (json!({}), vec![one, any]),
            (json!({ "allow": null }), vec![one, any]),
            (json!({ "allow": ["a"], "deny": ["b"] }), vec![one]),
            (json!({ "allow": [""] }), vec!["config.allow.1: length must be at least 1"]),
            (json!({ "deny": "a" }), vec!["config.deny: expected an array"]),
            (json!({ "deny": [] }), vec![one, any]),
            (json!({ "allow": [], "deny": [] }), vec![one, any]),
            (json!({ "allow": ["a"], "deny": [] }), vec![]),
        ] {
            assert_eq!(broken("acl", &config), expected, "{config}");
        }
    }
}
