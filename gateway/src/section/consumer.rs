//! A consumer as the data plane uses it.

use uuid::Uuid;

use super::{Name, References, Refusal, Section};

/// Someone who sends requests.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    pub username: Option<Box<str>>,
    /// Unique id in a system of the operator's.
    pub custom_id: Option<Box<str>>,
}

impl Section for Consumer {
    type Entity = model::Consumer;

    fn compile(consumer: &model::Consumer, _: References) -> Result<Self, Refusal> {
        Ok(Self {
            id: consumer.id,
            username: consumer.username.as_deref().map(Into::into),
            custom_id: consumer.custom_id.as_deref().map(Into::into),
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
