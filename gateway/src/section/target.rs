//! A target as the data plane uses it, and what an operator has set for one.

use std::borrow::Cow;
use std::sync::Arc;

use model::{ForcedHealth, kind};
use uuid::Uuid;

use super::owned::Owned;
use super::{References, Refusal, Section};
use crate::upstream::{Host, Operation, TargetTerms};

/// A target.
#[derive(Clone, Debug)]
pub struct Target {
    /// What a group takes of it.
    pub terms: Arc<TargetTerms>,
    references: References,
}

/// The health that an operator has set for a target.
#[derive(Clone, Debug)]
pub struct TargetHealth {
    /// What a group takes of it.
    pub operation: Operation,
    id: Uuid,
    references: References,
}

impl Section for Target {
    type Entity = model::Target;

    fn compile(target: &model::Target, references: References) -> Result<Self, Refusal> {
        let (host, port) = target.host_and_port();
        let terms = TargetTerms {
            id: target.id,
            text: target.target.as_str().into(),
            name: host.into(),
            host: Host::new(host),
            port,
            weight: target.weight.into(),
            failover: target.failover,
            zone: target.zone.as_deref().map(Into::into),
        };
        Ok(Self { terms: Arc::new(terms), references })
    }

    fn id(&self) -> &Uuid {
        &self.terms.id
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }
}

impl Owned for Target {
    fn owner(&self) -> Uuid {
        self.references.to(kind::UPSTREAM).next().unwrap_or_default()
    }
}

impl Section for TargetHealth {
    type Entity = model::TargetHealth;

    fn compile(health: &model::TargetHealth, references: References) -> Result<Self, Refusal> {
        let operation = Operation {
            address: health.address.as_deref().map(Into::into),
            data_plane: health.data_plane,
            healthy: health.health == ForcedHealth::Healthy,
            set_at: health.set_at.milliseconds().try_into().unwrap_or_default(),
            until: health.until,
        };
        Ok(Self { operation, id: health.id, references })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }
}

impl Owned for TargetHealth {
    fn owner(&self) -> Uuid {
        self.references.to(kind::TARGET).next().unwrap_or_default()
    }
}
