//! bot-detection: refuses programs by the name that they give themselves.

mod known;

use http::header::USER_AGENT;
use model::plugins::BotDetection as Config;
use model::plugins::expressions::compile_all;
use regex::RegexSet;

use super::{Exchange, InstanceTerms, Phases, Plugin, Reply, Step, Unusable};

/// The bytes of a name that are looked at: what a match takes is in proportion.
const LONGEST: usize = 1024;

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct BotDetection {
    allow: RegexSet,
    deny: RegexSet,
}

impl Plugin for BotDetection {
    type Config = Config;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        let compiled = |field, list: &[String]| {
            compile_all(list).map_err(|error| Unusable { field, message: error.reason().into() })
        };
        Ok(Self { allow: compiled("allow", &config.allow)?, deny: compiled("deny", &config.deny)? })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let mut names = exchange.headers().get_all(USER_AGENT).iter();
        match (names.next(), names.next()) {
            (None, _) => Step::GO_ON,
            (Some(_), Some(_)) => Step::reply(Reply::message(400, "Only one User-Agent header allowed")),
            (Some(name), None) if self.allows(name.as_bytes()) => Step::GO_ON,
            (Some(_), None) => Step::reply(Reply::message(403, "Forbidden")),
        }
    }
}

impl BotDetection {
    fn allows(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(&name[..name.len().min(LONGEST)]);
        self.allow.is_match(&name) || !(self.deny.is_match(&name) || known::is_bot(&name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn allowed_names_win() {
        for (allow, deny, name, allowed) in [
            (
                json!([]),
                json!([]),
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                true,
            ),
            (json!([]), json!([]), "Go-http-client/1.1", false),
            (json!(["Go-http-client"]), json!([]), "Go-http-client/1.1", true),
            (json!([]), json!(["^curl/"]), "curl/8.0", false),
            (json!([]), json!(["^curl/"]), "libcurl/8.0", true),
            (json!(["curl/8"]), json!(["^curl/"]), "curl/8.0", true),
            (json!([]), json!(["CURL"]), "curl/8.0", true),
            (json!([]), json!(["(?i)CURL"]), "curl/8.0", false),
        ] {
            let config: Config = serde_json::from_value(json!({ "allow": allow, "deny": deny })).unwrap();
            let plugin = BotDetection::compile(&config, &InstanceTerms::default()).unwrap();
            assert_eq!(plugin.allows(name.as_bytes()), allowed, "{allow} {deny} {name}");
        }
    }

    #[test]
    fn long_names_are_looked_at_in_part() {
        let plugin = BotDetection::compile(&Config::default(), &InstanceTerms::default()).unwrap();
        assert!(plugin.allows(&b"a".repeat(1 << 20)));
        assert!(!plugin.allows(&[&b"Go-http-client/1.1 "[..], &b"\xff".repeat(1 << 20)].concat()));
    }
}
