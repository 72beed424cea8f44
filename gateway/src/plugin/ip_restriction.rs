//! ip-restriction: allows or denies requests by the address of the client.

mod networks;

use std::net::IpAddr;

use model::plugins::IpRestriction as Config;

use self::networks::Networks;
use super::{Exchange, InstanceTerms, Phases, Plugin, Reply, Step, Unusable};

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct IpRestriction {
    /// Empty: all.
    allow: Networks,
    deny: Networks,
    status: u16,
    /// `None`: one with the address.
    message: Option<String>,
}

impl Plugin for IpRestriction {
    type Config = Config;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        let networks = |field, list: &[String]| {
            Networks::compile(list).map_err(|entry| Unusable { field, message: entry.into() })
        };
        Ok(Self {
            allow: networks("allow", config.allow.as_deref().unwrap_or_default())?,
            deny: networks("deny", config.deny.as_deref().unwrap_or_default())?,
            status: config.status(),
            message: config.message.clone(),
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let address = exchange.client_address().to_canonical();
        if self.allows(address) {
            return Step::GO_ON;
        }
        let message = self.message.clone().unwrap_or_else(|| format!("IP address not allowed: {address}"));
        Step::reply(Reply::message(self.status, message))
    }
}

impl IpRestriction {
    fn allows(&self, address: IpAddr) -> bool {
        !self.deny.contains(address) && (self.allow.is_empty() || self.allow.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn denied_addresses_win() {
        for (allow, deny, address, allowed) in [
            (json!([]), json!(["10.0.0.0/8"]), "10.1.2.3", false),
            (json!([]), json!(["10.0.0.0/8"]), "11.1.2.3", true),
            (json!(["10.1.2.3"]), json!([]), "10.1.2.3", true),
            (json!(["10.1.2.3"]), json!([]), "10.1.2.4", false),
            (json!(["10.0.0.0/8"]), json!(["10.1.0.0/16"]), "10.1.2.3", false),
            (json!(["10.0.0.0/8"]), json!(["10.1.0.0/16"]), "10.2.2.3", true),
            (json!(["2001:db8::/32"]), json!([]), "2001:db8::1", true),
            (json!(["2001:db8::/32"]), json!([]), "2001:db9::1", false),
            (json!(["2001:db8::/32"]), json!([]), "10.0.0.1", false),
            (json!(["10.0.0.0/8"]), json!([]), "::ffff:10.0.0.1", true),
            (json!(["::ffff:10.0.0.0/104"]), json!([]), "10.0.0.1", true),
            (json!([]), json!(["0.0.0.0/0"]), "10.0.0.1", false),
            (json!([]), json!(["0.0.0.0/0"]), "::1", true),
            (json!([]), json!(["::/0"]), "::1", false),
        ] {
            let config: Config = serde_json::from_value(json!({ "allow": allow, "deny": deny })).unwrap();
            let plugin = IpRestriction::compile(&config, &InstanceTerms::default()).unwrap();
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(plugin.allows(address.to_canonical()), allowed, "{allow} {deny} {address}");
        }
    }
}
