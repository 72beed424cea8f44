//! The configuration of bot-detection.

use model_derive::Record;

use super::expressions;
use crate::check::regex;
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;
use crate::violations::Violations;

/// The most expressions of one list.
const EXPRESSIONS: usize = 200;
/// Bytes of an expression.
const EXPRESSION: usize = 1024;

/// Refuses programs by the name that they give themselves in `User-Agent`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct BotDetection {
    /// Regular expressions of programs that may, whatever else is said.
    #[field(default = Vec::new(), most = EXPRESSIONS, longest = EXPRESSION, is_regex, is = regex::regex)]
    pub allow: Vec<String>,
    /// Regular expressions of programs that may not, beside those that the gateway knows.
    #[field(default = Vec::new(), most = EXPRESSIONS, longest = EXPRESSION, is_regex, is = regex::regex)]
    pub deny: Vec<String>,
}

impl Check for BotDetection {
    fn rules(&self, violations: &mut Violations) {
        for (name, list) in [("allow", &self.allow), ("deny", &self.deny)] {
            if let Err(message) = expressions::check_together(list) {
                violations.field(name, message);
            }
        }
    }
}

impl PluginConfig for BotDetection {
    const NAME: &'static str = "bot-detection";
    const PRIORITY: i32 = 2500;
    const SCOPES: Scopes = Scopes::WITHOUT_CONSUMER;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn fields_have_their_texts() {
        assert_eq!(view(BotDetection::NAME, &json!({})), json!({ "allow": [], "deny": [] }));
        for (config, message) in [
            (json!({ "allow": ["("] }), "config.allow.1: not a valid regex: ("),
            (json!({ "deny": ["a", "(?=b)"] }), "config.deny.2: not a valid regex: (?=b)"),
            (json!({ "deny": "a" }), "config.deny: expected an array"),
        ] {
            assert_eq!(broken(BotDetection::NAME, &config), [message], "{config}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("[a-z]{{600}}{n}")).collect();
        let refused = broken(BotDetection::NAME, &json!({ "deny": many }));
        assert!(refused[0].starts_with("config.deny: the 100 regular expressions must"), "{refused:?}");
    }
}
