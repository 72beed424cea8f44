//! Fields that follow from the content of an entity.

use serde_json::{Map, Value};

use crate::field::{Field, FieldType, Level};
use crate::violations::Violations;

/// A field of views that the canonical bytes do not hold, since it follows from them. A body may hold it, as
/// clients send back what they were shown; its value there is ignored.
#[derive(Debug)]
pub struct Computed<E> {
    /// Its declaration.
    pub field: Field,
    /// Its value; `None` when the entity has none.
    pub value: fn(&E) -> Option<String>,
}

impl Field {
    /// Takes the value of a field that is no part of a record out of a body, and checks it. `None` when it is
    /// not given or breaks a rule.
    pub fn take<T: FieldType>(
        &self,
        fields: &mut Map<String, Value>,
        form: bool,
        violations: &mut Violations,
    ) -> Option<T> {
        let value = fields.remove(self.name).filter(|value| !value.is_null())?;
        let broken = |read: &T| {
            let bounds = read.check(&self.rules, Level::Bounds);
            bounds.or_else(|| read.check(&self.rules, Level::Rules))
        };
        let read = T::read(value, &self.rules, form).and_then(|read| broken(&read).map_or(Ok(read), Err));
        read.map_err(|errors| violations.at(self.name, errors)).ok()
    }
}
