//! The names of metrics and of what they are about.

use model::plugins::statsd::{ConsumerIdentifier, ServiceIdentifier, WorkspaceIdentifier};

use crate::plugin::Ended;
use crate::section::{Consumer, Service};
use crate::upstream::Host;

/// A name without the dots that would divide it.
pub(super) fn undivided(text: &str) -> String {
    text.replace('.', "_")
}

/// A text without what would end a name or a value of a line: `ends`, and control characters.
pub(super) fn safe(text: &str, ends: &[char]) -> String {
    text.chars().map(|c| if ends.contains(&c) || c.is_control() { '_' } else { c }).collect()
}

/// The name of a consumer; `None` if the identifier that is wanted is not set.
pub(super) fn consumer(consumer: &Consumer, identifier: ConsumerIdentifier) -> Option<String> {
    match identifier {
        ConsumerIdentifier::Id => Some(consumer.id.to_string()),
        ConsumerIdentifier::CustomId => consumer.custom_id().map(str::to_owned),
        ConsumerIdentifier::Username => consumer.username().map(str::to_owned),
    }
}

/// The name of a service; `None` if the identifier that is wanted is not set.
pub(super) fn service(service: &Service, identifier: ServiceIdentifier) -> Option<String> {
    let host = || match &service.host {
        Host::Name(name) => name.to_string(),
        Host::Address(address) => address.to_string(),
    };
    let name = service.name.as_deref().map(str::to_owned);
    match identifier {
        ServiceIdentifier::Id => Some(service.id.to_string()),
        ServiceIdentifier::Name => name,
        ServiceIdentifier::Host => Some(host()),
        ServiceIdentifier::NameOrHost => Some(name.unwrap_or_else(host)),
    }
}

/// The name of the workspace.
pub(super) fn workspace(identifier: WorkspaceIdentifier) -> String {
    match identifier {
        WorkspaceIdentifier::Id => uuid::Uuid::nil().to_string(),
        WorkspaceIdentifier::Name => "default".to_owned(),
    }
}

/// The name of the machine.
pub(super) fn node(ended: &Ended<'_>) -> String {
    undivided(&ended.reports().hostname)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_ends_it() {
        assert_eq!(safe("alice@a.test:b|c\nd e,f", &[':', '|']), "alice@a.test_b_c_d e,f");
        assert_eq!(undivided("a.b.c"), "a_b_c");
    }
}
