//! An order to remove answers that are kept. It changes nothing in the table: the holder of the answers carries
//! it out once the table is live.

use model::CachePurge as Declared;
use uuid::Uuid;

use super::{References, Refusal, Section};

/// An order to remove answers.
#[derive(Clone, Debug)]
pub struct CachePurge {
    /// The entity as it is declared.
    pub declared: Declared,
    references: References,
}

impl Section for CachePurge {
    type Entity = Declared;

    const NOUN: &'static str = "order to remove kept answers";

    fn compile(purge: &Declared, references: References) -> Result<Self, Refusal> {
        Ok(Self { declared: purge.clone(), references })
    }

    fn id(&self) -> &Uuid {
        &self.declared.id
    }

    fn references(&self) -> &References {
        &self.references
    }
}
