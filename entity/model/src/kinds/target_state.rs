//! The state that an operator has set for a target. No declarative configuration changes it.

use model_derive::Record;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wire::Kind;

use crate::entity::Entity;
use crate::kind;
use crate::record::Check;
use crate::types::Word;

/// The state that an operator has set for a target, whose id it has. Its canonical bytes follow the rules of a
/// [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct TargetState {
    /// Identity: that of the target; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The target.
    #[field(required, belongs_to(kind::TARGET))]
    pub target: Uuid,
    /// The state.
    #[field(default = AdminState::Ready)]
    pub state: AdminState,
    /// When the state ends, in seconds since 1970; null: when an operator ends it.
    #[field(between(0, i64::MAX))]
    pub until: Option<i64>,
}

impl TargetState {
    /// Whether the state still holds at a time, in seconds since 1970.
    pub fn holds_at(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What an operator lets a target do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminState {
    /// Everything.
    #[default]
    Ready,
    /// It gets no new requests, except those of clients whose session is there. It is still checked.
    Drain,
    /// It gets nothing, and is not checked.
    Maint,
}

impl Word for AdminState {
    const ALL: &'static [Self] = &[Self::Ready, Self::Drain, Self::Maint];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

impl Check for TargetState {}

impl Entity for TargetState {
    const KIND: Kind = kind::TARGET_STATE;
    const NOUN: &'static str = "state of the target";
    const HAS_COLLECTION: bool = false;
    const OPERATIONAL: bool = true;
}
