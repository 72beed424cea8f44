//! Consumers, their credentials and groups, held as they are declared.

use uuid::Uuid;

use super::{References, Refusal, Section};

macro_rules! declared {
    ($($(#[$doc:meta])* $entity:ident, $noun:literal;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $entity {
            /// The entity as it is declared.
            pub declared: model::$entity,
            references: References,
        }

        impl Section for $entity {
            type Entity = model::$entity;

            const NOUN: &'static str = $noun;

            fn compile(entity: &model::$entity, references: References) -> Result<Self, Refusal> {
                Ok(Self { declared: entity.clone(), references })
            }

            fn id(&self) -> &Uuid {
                &self.declared.id
            }

            fn references(&self) -> &References {
                &self.references
            }
        })*
    };
}

declared! {
    /// A consumer.
    Consumer, "consumer";
    /// An API key.
    KeyAuthCredential, "API key";
    /// A user name and a password.
    BasicAuthCredential, "password";
    /// A key of tokens.
    JwtSecret, "key of tokens";
    /// A user name and a secret of signatures.
    HmacAuthCredential, "secret of signatures";
    /// A group of a consumer.
    Acl, "group";
    /// The key of the hashes of API keys.
    HashKey, "key of hashes";
}
