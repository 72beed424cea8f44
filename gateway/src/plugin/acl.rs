//! acl: only consumers in certain groups may, or may not.

use http::HeaderValue;

use super::auth::groups::AuthenticatedGroups;
use super::{Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Step, Unusable};
use crate::names;

/// Lets consumers pass by their groups.
#[derive(Debug)]
pub struct Acl {
    rule: Rule,
    hides: bool,
    /// Whether groups that an authentication plugin found count before those of a consumer with a credential.
    prefers_found: bool,
}

/// Whom an instance lets pass.
#[derive(Debug)]
enum Rule {
    /// Consumers in one of these groups.
    Allow(Vec<Box<str>>),
    /// Consumers in none of these groups.
    Deny(Vec<Box<str>>),
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// Nobody whom the gateway knows.
    Nobody,
    /// A credential without a consumer.
    Credential,
    /// A consumer without a credential: the anonymous one.
    Anonymous,
    /// A consumer with a credential.
    Consumer,
    /// Somebody whose groups an authentication plugin found, which count in place of a consumer's.
    Member,
}

/// Whether a request passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Pass,
    Unauthorized,
    Forbidden,
}

impl Plugin for Acl {
    type Config = model::plugins::Acl;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        let message = "needs exactly one of allow and deny".into();
        let rule = Rule::new(config).ok_or(Unusable { field: "allow", message })?;
        let prefers_found = config.always_use_authenticated_groups;
        Ok(Self { rule, hides: config.hide_groups_header, prefers_found })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        Step::Done(self.decide(exchange))
    }
}

impl Acl {
    fn decide(&self, exchange: &mut Exchange<'_>) -> Outcome {
        let sender = match (exchange.consumer(), exchange.credential()) {
            (None, None) => Sender::Nobody,
            (None, Some(_)) => Sender::Credential,
            (Some(_), None) => Sender::Anonymous,
            (Some(_), Some(_)) => Sender::Consumer,
        };
        let found = exchange.kept::<AuthenticatedGroups>();
        let found = found.filter(|_| self.prefers_found || sender != Sender::Consumer);
        let id = exchange.consumer().map(|consumer| consumer.id);
        let (sender, groups, name): (_, Vec<&str>, _) = match found {
            Some(found) => (Sender::Member, found.names().collect(), &names::AUTHENTICATED_GROUPS),
            None => {
                let groups = id.iter().flat_map(|id| exchange.directory().groups(id));
                (sender, groups.collect(), &names::CONSUMER_GROUPS)
            }
        };
        let refused = match self.rule.decide(sender, &groups) {
            Decision::Pass => None,
            Decision::Unauthorized => Some(Reply::message(401, "Unauthorized")),
            Decision::Forbidden => Some(Reply::message(403, "You cannot consume this service")),
        };
        if let Some(reply) = refused {
            return Err(Box::new(reply));
        }
        // A name with a line break cannot stand in a header: no groups are better than wrong ones.
        let header = HeaderValue::from_bytes(groups.join(", ").as_bytes()).ok();
        for of in [&names::AUTHENTICATED_GROUPS, &names::CONSUMER_GROUPS] {
            exchange.remove_header(&of.lower);
        }
        if let Some(value) = header.filter(|value| !self.hides && !value.is_empty()) {
            exchange.set_header(name, value);
        }
        Ok(())
    }
}

impl Rule {
    /// That of a configuration; `None` when it has both lists, or none. A list without groups counts as none beside
    /// the other one. Alone, it is from an older version.
    fn new(config: &model::plugins::Acl) -> Option<Self> {
        let groups = |groups: &[String]| groups.iter().map(|group| group.as_str().into()).collect();
        match (config.allow.as_deref(), config.deny.as_deref()) {
            (Some(allow), None | Some([])) => Some(Self::Allow(groups(allow))),
            (None | Some([]), Some(deny)) => Some(Self::Deny(groups(deny))),
            _ => None,
        }
    }

    fn decide(&self, sender: Sender, groups: &[&str]) -> Decision {
        let has_one_of =
            |listed: &[Box<str>]| groups.iter().any(|group| listed.iter().any(|one| &**one == *group));
        match (sender, self) {
            (Sender::Nobody, _) => Decision::Unauthorized,
            (Sender::Credential, _) => Decision::Forbidden,
            (_, Self::Allow(allow)) if has_one_of(allow) => Decision::Pass,
            (_, Self::Deny(deny)) if !has_one_of(deny) => Decision::Pass,
            // An anonymous consumer may be another one with credentials.
            (Sender::Anonymous, _) if groups.is_empty() => Decision::Unauthorized,
            _ => Decision::Forbidden,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions() {
        use Decision::{Forbidden, Pass, Unauthorized};
        use Sender::{Anonymous, Consumer, Credential, Member, Nobody};
        let list = || vec!["a".into(), "b".into()];
        let (allow, deny) = (Rule::Allow(list()), Rule::Deny(list()));
        for (sender, groups, by_allow, by_deny) in [
            (Nobody, &[][..], Unauthorized, Unauthorized),
            (Credential, &[], Forbidden, Forbidden),
            (Consumer, &[], Forbidden, Pass),
            (Consumer, &["a"], Pass, Forbidden),
            (Consumer, &["x", "b"], Pass, Forbidden),
            (Consumer, &["x"], Forbidden, Pass),
            (Consumer, &["A"], Forbidden, Pass),
            (Consumer, &["a, b"], Forbidden, Pass),
            (Anonymous, &[], Unauthorized, Pass),
            (Anonymous, &["a"], Pass, Forbidden),
            (Anonymous, &["x"], Forbidden, Pass),
            (Member, &["x", "b"], Pass, Forbidden),
            (Member, &["x"], Forbidden, Pass),
        ] {
            assert_eq!(allow.decide(sender, groups), by_allow, "allow {sender:?} {groups:?}");
            assert_eq!(deny.decide(sender, groups), by_deny, "deny {sender:?} {groups:?}");
        }
        assert_eq!(Rule::Allow(vec![]).decide(Consumer, &["a"]), Forbidden);
        assert_eq!(Rule::Deny(vec![]).decide(Consumer, &["a"]), Pass);
    }

    #[test]
    fn list_without_groups_counts_as_none_beside_the_other() {
        let none = Vec::new;
        let some = || vec!["a".to_owned()];
        for (allow, deny, expected) in [
            (Some(some()), Some(none()), Some("Allow([\"a\"])")),
            (Some(none()), Some(some()), Some("Deny([\"a\"])")),
            // From an older version.
            (Some(none()), None, Some("Allow([])")),
            (None, Some(none()), Some("Deny([])")),
            (Some(none()), Some(none()), Some("Allow([])")),
            (Some(some()), Some(some()), None),
            (None, None, None),
        ] {
            let config = model::plugins::Acl { allow, deny, ..Default::default() };
            let rule = Rule::new(&config).map(|rule| format!("{rule:?}"));
            assert_eq!(rule.as_deref(), expected, "{config:?}");
        }
    }
}
