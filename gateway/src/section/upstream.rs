//! Upstreams, their targets, and what operators have set for targets.

use uuid::Uuid;

use super::{References, Refusal, Section};

macro_rules! kept {
    ($($(#[$doc:meta])* $name:ident, $noun:literal;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            /// The entity as it is declared.
            pub entity: model::$name,
            references: References,
        }

        impl Section for $name {
            type Entity = model::$name;

            const NOUN: &'static str = $noun;

            fn compile(entity: &model::$name, references: References) -> Result<Self, Refusal> {
                Ok(Self { entity: entity.clone(), references })
            }

            fn id(&self) -> &Uuid {
                &self.entity.id
            }

            fn references(&self) -> &References {
                &self.references
            }
        })*
    };
}

kept! {
    /// An upstream.
    Upstream, "upstream";
    /// A target.
    Target, "target";
    /// The state that an operator has set for a target.
    TargetState, "state of a target";
    /// The health that an operator has set for a target.
    TargetHealth, "health of a target";
}
