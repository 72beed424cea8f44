//! What an instance of a plugin knows of itself.

use uuid::Uuid;

/// Which requests an instance is for. A part that is `None` is for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The route.
    pub route: Option<Uuid>,
    /// The service.
    pub service: Option<Uuid>,
    /// The consumer.
    pub consumer: Option<Uuid>,
}

/// What an instance knows of itself.
#[derive(Clone, Debug, Default)]
pub struct InstanceTerms {
    /// The id of the plugin entity.
    pub id: Uuid,
    /// The plugin's name.
    pub name: &'static str,
    /// The name that an operator gave it.
    pub instance_name: Option<Box<str>>,
    /// Which requests it is for.
    pub scope: Scope,
}
