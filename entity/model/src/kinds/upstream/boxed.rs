//! Records on the heap: an entity with large ones is itself small, as there may be many entities of its kind
//! and of others beside it.

use serde::Serializer;
use serde_json::{Map, Value};

use super::{Healthchecks, Policy};
use crate::field::{Field, FieldType, FieldValue, Level};
use crate::rules::Rules;
use crate::violations::FieldErrors;

/// For each record, since a box of any type might be a word.
macro_rules! boxed {
    ($($record:ty),*) => {
        $(impl FieldValue for Box<$record> {
            fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
                (**self).check(rules, level)
            }

            fn show(&self, rules: &Rules) -> Value {
                (**self).show(rules)
            }
        }

        impl FieldType for Box<$record> {
            fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
                <$record>::read(value, rules, form).map(Self::new)
            }

            fn read_part(value: Value, rules: &Rules, form: bool) -> (Option<Self>, Option<FieldErrors>) {
                let (read, errors) = <$record>::read_part(value, rules, form);
                (read.map(Self::new), errors)
            }

            fn fields() -> &'static [Field] {
                <$record as FieldType>::fields()
            }

            fn describe(rules: &Rules) -> Map<String, Value> {
                <$record>::describe(rules)
            }

            fn marks(value: Option<&Value>, path: &str, found: &mut Vec<String>) {
                <$record>::marks(value, path, found);
            }

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                (**self).write(serializer)
            }
        })*
    };
}

boxed!(Healthchecks, Policy);
