//! A plugin of the configuration, compiled.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::Arc;

use uuid::Uuid;

use super::list::{Made, make};
use super::terms::{InstanceTerms, Scope};
use super::{Behaviour, Phases};
use crate::section::{References, Refusal, Section};

/// A plugin of the configuration, compiled.
#[derive(Clone)]
pub struct Instance {
    /// What it knows of itself.
    pub terms: InstanceTerms,
    /// Its place in the order of plugins: the greatest first.
    pub priority: i32,
    /// Whether it runs.
    pub enabled: bool,
    /// The phases in which it does something.
    pub phases: Phases,
    behaviour: Arc<dyn Behaviour>,
    references: References,
}

impl Instance {
    /// What it does.
    pub(super) fn behaviour(&self) -> &dyn Behaviour {
        &*self.behaviour
    }

    /// Whether it runs for requests of a route and a service, as far as they decide.
    pub(super) fn runs_for(&self, route: Option<Uuid>, service: Option<Uuid>) -> bool {
        let scope = &self.terms.scope;
        self.enabled
            && scope.route.is_none_or(|id| Some(id) == route)
            && scope.service.is_none_or(|id| Some(id) == service)
    }

    /// How specific it is: of several of one plugin, the one with the greatest rank runs.
    pub(super) fn rank(&self) -> u8 {
        let Scope { route, service, consumer } = self.terms.scope;
        match (route.is_some(), service.is_some(), consumer.is_some()) {
            (true, true, true) => 7,
            (true, false, true) => 6,
            (false, true, true) => 5,
            (true, true, false) => 4,
            (false, false, true) => 3,
            (true, false, false) => 2,
            (false, true, false) => 1,
            (false, false, false) => 0,
        }
    }
}

impl Section for Instance {
    type Entity = model::Plugin;

    fn compile(plugin: &model::Plugin, references: References) -> Result<Self, Refusal> {
        let terms = InstanceTerms {
            id: plugin.id,
            name: plugin.config.name(),
            instance_name: plugin.instance_name.as_deref().map(Into::into),
            scope: Scope { route: plugin.route, service: plugin.service, consumer: plugin.consumer },
        };
        let made = make(&plugin.config, &terms).map_err(|unusable| {
            let message = format!("{}: {}", unusable.field, unusable.message);
            Refusal::new(model::Plugin::key(plugin.id), Some("config"), message)
        })?;
        let Made { behaviour, phases, priority } = made;
        Ok(Self { terms, priority, enabled: plugin.enabled, phases, behaviour: behaviour.into(), references })
    }

    fn id(&self) -> &Uuid {
        &self.terms.id
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }

    fn label(&self) -> String {
        format!("{} {}", self.terms.name, self.terms.id)
    }
}

impl Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("terms", &self.terms).finish_non_exhaustive()
    }
}
