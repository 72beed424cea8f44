//! Entities that requests use as they are declared.

use std::borrow::Cow;

use model::Entity;
use uuid::Uuid;

use super::{References, Refusal, Section};

/// An entity as it is declared.
#[derive(Clone, Debug)]
pub struct Declared<E> {
    /// The entity.
    pub entity: E,
    references: References,
}

impl<E: Entity + Clone + Send + Sync + 'static> Section for Declared<E> {
    type Entity = E;

    fn compile(entity: &E, references: References) -> Result<Self, Refusal> {
        Ok(Self { entity: entity.clone(), references })
    }

    fn id(&self) -> &Uuid {
        self.entity.id()
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }
}
