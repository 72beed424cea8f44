//! A consumer as the data plane uses it.

use std::sync::atomic::{AtomicBool, Ordering};

use compact_str::CompactString;
use uuid::Uuid;

use super::{Name, References, Refusal, Section};

/// Someone who sends requests. Names of usual length stand here and not in memory of their own, which a request
/// would have to wait for.
#[derive(Debug)]
pub struct Consumer {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    pub username: Option<CompactString>,
    /// Unique id in a system of the operator's.
    pub custom_id: Option<CompactString>,
    is_superseded: AtomicBool,
}

impl Consumer {
    /// Notes that the configuration which comes next has a later form of it, or none. Earlier ones have it still.
    /// That configuration is published later, and whatever reads it sees the note.
    pub fn supersede(&self) {
        self.is_superseded.store(true, Ordering::Relaxed);
    }

    /// Whether it may not be that of the latest configuration.
    pub(super) fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::Relaxed)
    }
}

impl Section for Consumer {
    type Entity = model::Consumer;

    fn compile(consumer: &model::Consumer, _: References) -> Result<Self, Refusal> {
        Ok(Self {
            id: consumer.id,
            username: consumer.username.as_deref().map(Into::into),
            custom_id: consumer.custom_id.as_deref().map(Into::into),
            is_superseded: AtomicBool::new(false),
        })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }
}

impl Name for Consumer {
    type Key = str;

    const FIELD: &'static str = "username";

    fn name(&self) -> Option<&str> {
        self.username.as_deref()
    }
}

impl Clone for Consumer {
    fn clone(&self) -> Self {
        let (username, custom_id) = (self.username.clone(), self.custom_id.clone());
        Self { id: self.id, username, custom_id, is_superseded: AtomicBool::new(false) }
    }
}
