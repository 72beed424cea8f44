//! Words: values of which there are a few, and their declaration in one list.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{listed, typed};
use crate::field::{FieldType, FieldValue, Level};
use crate::rules::Rules;
use crate::violations::FieldErrors;

/// One of a few words.
pub trait Word: Copy + PartialEq + Serialize + 'static {
    /// Every word, in the order in which messages list them.
    const ALL: &'static [Self];

    /// The words that messages list: those that Kong has, too.
    const LISTED: &'static [Self] = Self::ALL;

    /// The word in bodies, views and canonical bytes.
    fn as_str(self) -> &'static str;

    /// The error of a list with these wrong elements.
    fn in_list(_list: &[Value], errors: BTreeMap<usize, FieldErrors>) -> FieldErrors {
        FieldErrors::Elements(errors)
    }
}

/// Declares enums, each of a few [words](crate::Word):
///
/// ```text
/// words! {
///     /// The form of a size.
///     SizeUnit {
///         /// 1,048,576 bytes.
///         Megabytes = "megabytes",
///     }
/// }
/// ```
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_word:meta])* $variant:ident = $word:literal,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$of_word])*
            #[serde(rename = $word)]
            $variant,)*
        }

        impl $crate::types::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        })*
    };
}
pub(crate) use words;

impl<T: Word> FieldValue for T {
    fn check(&self, _rules: &Rules, _level: Level) -> Option<FieldErrors> {
        None
    }

    fn show(&self, _rules: &Rules) -> Value {
        self.as_str().into()
    }
}

impl<T: Word> FieldType for T {
    fn read(value: Value, _rules: &Rules, _form: bool) -> Result<Self, FieldErrors> {
        match value {
            Value::String(text) if text.is_empty() => Err("length must be at least 1".into()),
            Value::String(text) => {
                let found = Self::ALL.iter().find(|word| word.as_str() == text);
                found.copied().ok_or_else(|| listed(Self::LISTED.iter().map(|word| word.as_str())).into())
            }
            _ => Err("expected a string".into()),
        }
    }

    fn in_list(list: &[Value], errors: BTreeMap<usize, FieldErrors>) -> FieldErrors {
        <T as Word>::in_list(list, errors)
    }

    fn describe(_rules: &Rules) -> Map<String, Value> {
        let mut schema = typed("string");
        schema.insert("one_of".to_owned(), Self::ALL.iter().map(|word| Value::from(word.as_str())).collect());
        schema
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}
