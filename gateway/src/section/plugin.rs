//! A plugin as the data plane holds it.

use uuid::Uuid;

use super::{References, Refusal, Section};

/// A plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The entity as it is declared.
    pub declared: model::Plugin,
    references: References,
}

impl Section for Plugin {
    type Entity = model::Plugin;

    const NOUN: &'static str = "plugin";

    fn compile(plugin: &model::Plugin, references: References) -> Result<Self, Refusal> {
        Ok(Self { declared: plugin.clone(), references })
    }

    fn id(&self) -> &Uuid {
        &self.declared.id
    }

    fn references(&self) -> &References {
        &self.references
    }

    fn label(&self) -> String {
        let Self { declared, .. } = self;
        declared.instance_name.clone().unwrap_or_else(|| format!("{} {}", declared.name, declared.id))
    }
}
