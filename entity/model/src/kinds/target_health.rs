//! The health that an operator has set for a target, or for one of its addresses. No declarative configuration
//! changes it.

use model_derive::Record;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};
use wire::Kind;

use super::Target;
use crate::bounds;
use crate::check::host;
use crate::entity::Entity;
use crate::kind;
use crate::record::Check;
use crate::types::{Number, Word};

/// The health that an operator has set for a target. Its canonical bytes follow the rules of a
/// [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct TargetHealth {
    /// Identity, by target and address; taken from the record's key. See [`TargetHealth::id_of`].
    #[field(skip)]
    pub id: Uuid,
    /// The target.
    #[field(required, belongs_to(kind::TARGET))]
    pub target: Uuid,
    /// The address, in the form of a target; null: all of the target's.
    #[field(clean = Target::canonical_target, longest = bounds::TARGET, is = host::target)]
    pub address: Option<String>,
    /// The data plane that it is for; null: all.
    pub data_plane: Option<Uuid>,
    /// The health.
    #[field(default = ForcedHealth::Healthy)]
    pub health: ForcedHealth,
    /// When the operator has set it, in seconds since 1970 with milliseconds. The same health set again is a
    /// new operation.
    #[field(default = Number::whole(0), between(0, 429_496_729_500))]
    pub set_at: Number,
    /// Until when no check changes it, in seconds since 1970; null: the next check may change it.
    #[field(between(0, i64::MAX))]
    pub until: Option<i64>,
}

impl TargetHealth {
    /// The id of the operation on a target and one address, or all of its, at one data plane or all.
    pub fn id_of(target: Uuid, address: Option<&str>, data_plane: Option<Uuid>) -> Uuid {
        let mut named = [target.into_bytes(), data_plane.unwrap_or_default().into_bytes()].concat();
        named.extend(address.unwrap_or_default().bytes());
        let hash = digest(&SHA256, &named);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Whether checks may not change the health at a time, in seconds since 1970.
    pub fn is_pinned_at(&self, now: i64) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// A health that an operator can set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForcedHealth {
    /// Healthy.
    #[default]
    Healthy,
    /// Unhealthy.
    Unhealthy,
}

impl Word for ForcedHealth {
    const ALL: &'static [Self] = &[Self::Healthy, Self::Unhealthy];

    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Check for TargetHealth {}

impl Entity for TargetHealth {
    const KIND: Kind = kind::TARGET_HEALTH;
    const NOUN: &'static str = "health of the target";
    const HAS_COLLECTION: bool = false;
    const OPERATIONAL: bool = true;
}
