//! The names of metrics and of what they are about.

use model::plugins::statsd::{ConsumerIdentifier, ServiceIdentifier, WorkspaceIdentifier};

use crate::plugin::Ended;
use crate::section::{Consumer, Service};
use crate::upstream::Host;

/// A part of a name: nothing that ends a name or a line stands in it.
pub(super) fn part(text: &str) -> String {
    let safe = |c: char| match c {
        '.' | ':' | '|' | '@' | '#' | ',' | '=' | ';' | '/' => '_',
        c if c.is_whitespace() || c.is_control() => '_',
        c => c,
    };
    text.chars().map(safe).collect()
}

/// The name of a consumer; `None` if the identifier that is wanted is not set.
pub(super) fn consumer(consumer: &Consumer, identifier: ConsumerIdentifier) -> Option<String> {
    match identifier {
        ConsumerIdentifier::Id => Some(part(&consumer.id.to_string())),
        ConsumerIdentifier::CustomId => consumer.custom_id.as_deref().map(part),
        ConsumerIdentifier::Username => consumer.username.as_deref().map(part),
    }
}

/// The name of a service; `None` if the identifier that is wanted is not set.
pub(super) fn service(service: &Service, identifier: ServiceIdentifier) -> Option<String> {
    let host = || match &service.host {
        Host::Name(name) => part(name),
        Host::Address(address) => part(&address.to_string()),
    };
    let name = service.name.as_deref().map(part);
    match identifier {
        ServiceIdentifier::Id => Some(part(&service.id.to_string())),
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

/// The prefix of all names.
pub(super) fn prefix(prefix: &str, has_hostname: bool, ended: &Ended<'_>) -> String {
    if has_hostname { format!("{prefix}.{}", part(&ended.reports().hostname)) } else { prefix.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_part_ends_a_name() {
        assert_eq!(part("a.b:c|d@e#f\n g"), "a_b_c_d_e_f__g");
    }
}
