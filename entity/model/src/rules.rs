//! What a declaration says about a field beside its type.

use std::fmt;

use wire::Kind;

/// Checks a text, and says what is wrong with it.
pub type TextCheck = fn(&str) -> Result<(), String>;

/// Checks a number, and says what is wrong with it.
pub type NumberCheck = fn(f64) -> Result<(), String>;

/// What happens to an entity when the one that it names is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The deletion is refused.
    Restrict,
    /// The entity is deleted as well.
    Cascade,
}

/// The kind of entity that a field names by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The kind.
    pub kind: Kind,
    /// What happens when the named entity is deleted.
    pub on_delete: OnDelete,
}

/// The rules of one field. The methods are the words of the attribute `field`.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    pub(crate) between: Option<(i64, i64)>,
    pub(crate) greater_than: Option<i64>,
    pub(crate) number: Option<NumberCheck>,
    pub(crate) one_of: &'static [i64],
    pub(crate) longest: Option<usize>,
    pub(crate) most: Option<usize>,
    pub(crate) fewest: usize,
    pub(crate) is: Option<TextCheck>,
    /// The check of the keys of a map.
    pub(crate) key: Option<TextCheck>,
    pub(crate) clean: Option<fn(&str) -> String>,
    pub(crate) unique: bool,
    pub(crate) set: bool,
    pub(crate) secret: bool,
    pub(crate) required: bool,
    pub(crate) must_understand: bool,
    /// Whether views show it only when it does not hold its default.
    pub(crate) quiet: bool,
    /// Whether it follows from other parts of an entity, so that bodies and views do not have it.
    pub(crate) internal: bool,
    /// Whether a replacement that does not give it leaves it as it is.
    pub(crate) kept: bool,
    /// The form in which unique values are compared.
    pub(crate) fold: Option<fn(&str) -> String>,
    /// The field with whose value this one's is unique.
    pub(crate) within: Option<&'static str>,
    pub(crate) target: Option<Foreign>,
    /// Whether these are the rules of a list's elements.
    pub(crate) element: bool,
    /// What a text must begin with, for schemas.
    pub(crate) starts_with: Option<&'static str>,
    /// Whether a text is a regular expression, for schemas.
    pub(crate) is_regex: bool,
    /// Whether a value is made when none is given, for schemas.
    pub(crate) auto: bool,
    /// Whether another field holds that it is unique, for schemas.
    pub(crate) unique_by_hash: bool,
}

impl Rules {
    /// A field that may hold every value of its type.
    pub fn new() -> Self {
        Self::default()
    }

    /// A number from `least` to `greatest`.
    #[must_use]
    pub fn between(self, least: i64, greatest: i64) -> Self {
        Self { between: Some((least, greatest)), ..self }
    }

    /// A number greater than `limit`.
    #[must_use]
    pub fn gt(self, limit: i64) -> Self {
        Self { greater_than: Some(limit), ..self }
    }

    /// The check of a number with a fraction.
    #[must_use]
    pub fn number(self, check: NumberCheck) -> Self {
        Self { number: Some(check), ..self }
    }

    /// One of these numbers.
    #[must_use]
    pub fn one_of(self, numbers: &'static [i64]) -> Self {
        Self { one_of: numbers, ..self }
    }

    /// The most bytes of a text, of each text of a list, or of each key and text of a map. Bounds what is written; what an older version
    /// accepted stays valid.
    #[must_use]
    pub fn longest(self, bytes: usize) -> Self {
        Self { longest: Some(bytes), ..self }
    }

    /// The most elements of a list or a map. Bounds what is written, as [`Rules::longest`] does.
    #[must_use]
    pub fn most(self, elements: usize) -> Self {
        Self { most: Some(elements), ..self }
    }

    /// The fewest elements of a list or a map.
    #[must_use]
    pub fn fewest(self, elements: usize) -> Self {
        Self { fewest: elements, ..self }
    }

    /// The check of a text, of each text of a list, or of each value of a map.
    #[must_use]
    pub fn is(self, check: TextCheck) -> Self {
        Self { is: Some(check), ..self }
    }

    /// The check of each key of a map.
    #[must_use]
    pub fn key(self, check: TextCheck) -> Self {
        Self { key: Some(check), ..self }
    }

    /// Brings a text that is written into its canonical form.
    #[must_use]
    pub fn clean(self, clean: fn(&str) -> String) -> Self {
        Self { clean: Some(clean), ..self }
    }

    /// No other entity of the kind has this value.
    #[must_use]
    pub fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// A list without duplicates: the first of equal elements stays.
    #[must_use]
    pub fn set(self) -> Self {
        Self { set: true, ..self }
    }

    /// The Admin API accepts the value and never returns it. Of a map, that holds for the values whose names
    /// [say so](crate::is_secret_name).
    #[must_use]
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Every entity has it, and it has no default.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// A data plane that does not know the field must not serve the entity.
    #[must_use]
    pub fn must_understand(self) -> Self {
        Self { must_understand: true, ..self }
    }

    /// Views show it only when it does not hold its default: a client that does not know it sees no difference.
    #[must_use]
    pub fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// A replacement of the entity that does not give it leaves it as it is; null resets it.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    /// It follows from other parts of the entity: only the canonical bytes have it.
    #[must_use]
    pub fn internal(self) -> Self {
        Self { internal: true, ..self }
    }

    /// The form in which unique values are compared, when it is not the stored one.
    #[must_use]
    pub fn fold(self, fold: fn(&str) -> String) -> Self {
        Self { fold: Some(fold), ..self }
    }

    /// No other entity of the kind has this value together with the same id in the field `other`.
    #[must_use]
    pub fn unique_within(self, other: &'static str) -> Self {
        Self { unique: true, within: Some(other), ..self }
    }

    /// Names an entity of `kind`, which cannot be deleted meanwhile.
    #[must_use]
    pub fn names(self, kind: Kind) -> Self {
        Self { target: Some(Foreign { kind, on_delete: OnDelete::Restrict }), ..self }
    }

    /// Belongs to an entity of `kind`, and is deleted with it.
    #[must_use]
    pub fn belongs_to(self, kind: Kind) -> Self {
        Self { target: Some(Foreign { kind, on_delete: OnDelete::Cascade }), ..self }
    }

    /// What the check of a text demands that it begins with. Schemas show it.
    #[must_use]
    pub fn starts_with(self, text: &'static str) -> Self {
        Self { starts_with: Some(text), ..self }
    }

    /// The check of a text demands that it is a regular expression. Schemas show it.
    #[must_use]
    pub fn is_regex(self) -> Self {
        Self { is_regex: true, ..self }
    }

    /// A value is made when a new entity gives none. Schemas show it.
    #[must_use]
    pub fn auto(self) -> Self {
        Self { auto: true, ..self }
    }

    /// No other entity of the kind has this value: another field holds its hash. Schemas show it.
    #[must_use]
    pub fn unique_by_hash(self) -> Self {
        Self { unique_by_hash: true, ..self }
    }

    /// The rules of the elements of a list with these rules.
    pub(crate) fn of_elements(&self) -> Self {
        Self { most: None, fewest: 0, set: false, unique: false, required: false, element: true, ..*self }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}
