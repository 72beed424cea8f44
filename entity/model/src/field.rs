//! A field of a record: its name, its type, and its rules.

use std::collections::BTreeMap;

use serde::Serializer;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::rules::{Foreign, Rules};
use crate::violations::FieldErrors;

/// The text that the Admin API shows in place of a secret. Not null: decK treats a certificate without a key
/// as broken.
pub const HIDDEN: &str = "***";

/// Finds fields that must be understood; see [`FieldType::marks`].
pub(crate) type Marks = fn(Option<&Value>, &str, &mut Vec<String>);

/// Reads a value for its errors alone.
type ReadErrors = fn(Value, &Rules, bool) -> Option<FieldErrors>;

/// A field as it is declared.
#[derive(Debug)]
pub struct Field {
    /// Its name, in bodies, views and canonical bytes.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Its rules.
    pub rules: Rules,
    /// Whether `null` is a value of it.
    pub nullable: bool,
    /// Whether it is a list.
    pub many: bool,
    /// The value of a field that is not given, as the Admin API shows it; null when it has none.
    pub default: Value,
    /// The value that canonical bytes leave out, also of a field without a default.
    pub(crate) left_out: Value,
    /// Its type in the words of a schema.
    pub(crate) describe: fn(&Rules) -> Map<String, Value>,
    /// [`FieldType::marks`] of its type.
    pub(crate) marks: Marks,
    /// [`FieldType::fields`] of its type.
    pub(crate) nested: fn() -> &'static [Field],
    /// The errors of [`FieldType::read`].
    read_errors: ReadErrors,
}

impl Field {
    /// Declares a field of the type `T`.
    pub fn new<T: FieldType>(
        name: &'static str,
        description: &'static str,
        rules: Rules,
        default: T,
    ) -> Self {
        let left_out = default.show(&rules);
        let default = if rules.required { Value::Null } else { left_out.clone() };
        Self {
            name,
            description,
            rules,
            nullable: T::NULLABLE,
            many: T::MANY,
            default,
            left_out,
            describe: T::describe,
            marks: T::marks,
            nested: T::fields,
            read_errors: |value, rules, form| T::read(value, rules, form).err(),
        }
    }

    /// The kind of the entities that it names.
    pub const fn target(&self) -> Option<Foreign> {
        self.rules.target
    }

    /// The kind of the one entity that it names; `None` for a list of entities, too. Kong calls such a field
    /// foreign: entities can be listed below the one that they name.
    pub const fn foreign(&self) -> Option<Foreign> {
        if self.many { None } else { self.rules.target }
    }

    /// The form in which a value of the field is stored, given that of a body or a path.
    pub fn canonical(&self, text: &str) -> String {
        self.rules.clean.map_or_else(|| text.to_owned(), |clean| clean(text))
    }

    /// The unique key of a value of the field, given that of a body or a path. `of` is the entity that the
    /// field of [`Field::within`] names.
    pub fn key(&self, text: &str, of: Option<Uuid>) -> String {
        let text = self.canonical(text);
        let text = self.rules.fold.map_or_else(|| text.clone(), |fold| fold(&text));
        of.map_or_else(|| text.clone(), |of| format!("{of} {text}"))
    }

    /// Checks a text by which a path names an entity.
    ///
    /// # Errors
    /// The reason why no entity can have it.
    pub fn check_text(&self, text: &str) -> Result<(), String> {
        self.rules.is.map_or(Ok(()), |check| check(&self.canonical(text)))
    }

    /// The field with whose value this one's is unique.
    pub const fn within(&self) -> Option<&'static str> {
        self.rules.within
    }

    /// The id and the value of a unique key of this field; the id is that of the field of [`Field::within`].
    pub fn split_key<'a>(&self, key: &'a str) -> (Option<&'a str>, &'a str) {
        match self.rules.within.and_then(|_| key.split_once(' ')) {
            Some((of, value)) => (Some(of), value),
            None => (None, key),
        }
    }

    /// The fields of the record, or of each of the records, that it holds; empty when it holds none.
    pub fn nested(&self) -> &'static [Self] {
        (self.nested)()
    }

    /// The errors of a value of a body, by its type alone.
    pub(crate) fn read_errors(&self, value: Value, form: bool) -> Option<FieldErrors> {
        (self.read_errors)(value, &self.rules, form)
    }

    /// Whether its value, or a part of it, may be a secret.
    pub(crate) fn may_hold_secrets(&self) -> bool {
        self.is_secret() || self.nested().iter().any(Self::may_hold_secrets)
    }

    /// Whether bodies, views and schemas have it.
    pub const fn is_shown(&self) -> bool {
        !self.rules.internal
    }

    /// Whether no other entity of the kind may have its value.
    pub const fn is_unique(&self) -> bool {
        self.rules.unique
    }

    /// Whether the Admin API never returns its value.
    pub const fn is_secret(&self) -> bool {
        self.rules.secret
    }

    /// Whether a data plane that does not know it must not serve the entity.
    pub const fn must_understand(&self) -> bool {
        self.rules.must_understand
    }
}

/// Which rules a value is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The bounds of what is written.
    Bounds,
    /// The rules of every version, which a data plane applies as well.
    Rules,
}

/// A value of a field, whatever its type.
pub trait FieldValue {
    /// The rules that it breaks.
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors>;

    /// The value as the Admin API shows it.
    fn show(&self, rules: &Rules) -> Value;

    /// The text, for a unique key.
    fn text(&self) -> Option<&str> {
        None
    }

    /// The ids of the entities that it names.
    fn ids(&self) -> Vec<Uuid> {
        Vec::new()
    }
}

/// A type that a field may have.
pub trait FieldType: FieldValue + PartialEq + Sized {
    /// Whether `null` is a value.
    const NULLABLE: bool = false;

    /// Whether it is a list.
    const MANY: bool = false;

    /// Reads a value of a body. `form` says that the body was a form, in which every value is a string.
    ///
    /// # Errors
    /// The message for the field.
    fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors>;

    /// Reads as much of a value as can be read, and returns the messages for the rest.
    fn read_part(value: Value, rules: &Rules, form: bool) -> (Option<Self>, Option<FieldErrors>) {
        match Self::read(value, rules, form) {
            Ok(read) => (Some(read), None),
            Err(errors) => (None, Some(errors)),
        }
    }

    /// The fields of a record, or of each record of a list; empty for every other type.
    fn fields() -> &'static [Field] {
        &[]
    }

    /// The value of a field that could not be read. It must break no rule that the field's own error does not
    /// explain.
    fn unreadable(default: Self) -> Self {
        default
    }

    /// The error of a list with these wrong elements.
    fn in_list(_list: &[Value], errors: BTreeMap<usize, FieldErrors>) -> FieldErrors {
        FieldErrors::Elements(errors)
    }

    /// The type in the words of a schema.
    fn describe(rules: &Rules) -> Map<String, Value>;

    /// Adds the fields within it that must be understood, below `path`: those that this value holds in
    /// canonical form, or without a value all that are declared.
    fn marks(_value: Option<&Value>, _path: &str, _found: &mut Vec<String>) {}

    /// Writes the canonical form.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Whether the canonical form holds the value.
    fn is_written(&self, has_default: bool, default: impl FnOnce() -> Self) -> bool {
        !(has_default || Self::NULLABLE) || *self != default()
    }
}
