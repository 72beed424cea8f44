//! The violations of an entity: by field, with the reason, all at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The rules that an entity breaks; empty when it breaks none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// Rules between fields.
    pub entity: Vec<String>,
    /// The rule that a record within another one breaks as a whole; see [`Violations::record`].
    pub whole: Option<String>,
    /// Rules of one field, by the field's name.
    pub fields: BTreeMap<String, FieldErrors>,
}

/// The violations of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldErrors {
    /// The value as a whole.
    Whole(String),
    /// Elements of a list, by index from 0.
    Elements(BTreeMap<usize, FieldErrors>),
    /// Fields of a record or keys of a map.
    Nested(BTreeMap<String, FieldErrors>),
}

impl Violations {
    /// Whether no rule is broken.
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty() && self.whole.is_none() && self.fields.is_empty()
    }

    /// `Ok` when no rule is broken.
    ///
    /// # Errors
    /// The violations themselves, when there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Adds a violation of a rule between fields.
    pub fn entity(&mut self, message: impl Into<String>) {
        self.entity.push(message.into());
    }

    /// Adds a violation of a record within another one that is reported of the field that holds it, unless its
    /// fields break rules of their own. The first one stays. Of the configuration of a plugin, [`Violations::entity`] is
    /// reported of the plugin.
    pub fn record(&mut self, message: impl Into<String>) {
        self.whole.get_or_insert_with(|| message.into());
    }

    /// Adds a violation of a field; the first one of a field stays.
    pub fn field(&mut self, name: &str, message: impl Into<String>) {
        self.at(name, FieldErrors::Whole(message.into()));
    }

    /// Adds the violations of a field; those that it has stay.
    pub fn at(&mut self, name: &str, errors: FieldErrors) {
        match self.fields.entry(name.to_owned()) {
            Entry::Vacant(free) => drop(free.insert(errors)),
            Entry::Occupied(mut held) => held.get_mut().add(errors),
        }
    }

    /// Adds a violation of a field within records, given by its path, such as `redis.host`.
    pub fn at_path(&mut self, path: &str, message: impl Into<String>) {
        let mut names = path.split('.').rev();
        let last = names.next().unwrap_or_default().to_owned();
        let within = |(name, errors), outer: &str| {
            (outer.to_owned(), FieldErrors::Nested(BTreeMap::from([(name, errors)])))
        };
        let (name, errors) = names.fold((last, FieldErrors::Whole(message.into())), within);
        self.at(&name, errors);
    }

    /// Adds a violation of one element of a list field, by its index from 0.
    pub fn element(&mut self, name: &str, index: usize, message: impl Into<String>) {
        let errors =
            self.fields.entry(name.to_owned()).or_insert_with(|| FieldErrors::Elements(BTreeMap::new()));
        if let FieldErrors::Elements(elements) = errors {
            elements.insert(index, FieldErrors::Whole(message.into()));
        }
    }

    /// Adds `later` violations. A rule between fields applies only when those that its message names could be
    /// read; one whose message names none, and one about a record, when all could.
    pub(crate) fn merge(&mut self, later: Self) {
        let all_read = self.entity.is_empty()
            && self.whole.is_none()
            && self.fields.values().all(FieldErrors::are_of_names);
        if all_read {
            self.whole = later.whole;
        }
        // The field of which a condition asks something has its own message.
        let are_read = later.fields.keys().all(|name| !self.is_broken(name));
        let applies = |message: &String| {
            let mut names = message.split('\'').skip(1).step_by(2).peekable();
            all_read
                || names.peek().is_some()
                    && names.all(|name| !self.is_broken(name))
                    && (are_read || !message.starts_with(CONDITION))
        };
        // No rule applies to what is no record.
        if self.entity.is_empty() {
            self.entity = later.entity.into_iter().filter(applies).collect();
        }
        later.fields.into_iter().for_each(|(name, errors)| self.at(&name, errors));
    }

    /// Whether the value at a path could not be read.
    fn is_broken(&self, path: &str) -> bool {
        let mut names = path.split('.');
        let mut errors = names.next().and_then(|name| self.fields.get(name));
        for name in names {
            match errors {
                Some(FieldErrors::Nested(fields)) => errors = fields.get(name),
                _ => break,
            }
        }
        errors.is_some_and(|errors| !errors.are_of_names())
    }

    /// Every violation as `(path, message)`: first those between fields, under the path `@entity`, then those
    /// of fields by name. Elements are counted from 1 (`paths.1`), as an operator counts them.
    pub fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        let mut all: Vec<(String, &str)> =
            self.entity.iter().map(|message| ("@entity".to_owned(), message.as_str())).collect();
        for (name, errors) in &self.fields {
            errors.collect(name.clone(), &mut all);
        }
        all.into_iter()
    }
}

/// What the message of a rule begins with that holds only given the value of another field.
const CONDITION: &str = "failed conditional validation";

impl FieldErrors {
    /// The errors of elements, if there are any.
    pub(crate) fn of_elements(errors: impl Iterator<Item = (usize, Self)>) -> Option<Self> {
        let errors: BTreeMap<_, _> = errors.collect();
        (!errors.is_empty()).then_some(Self::Elements(errors))
    }

    /// Whether they are about fields that are unknown or missing alone, and about no value.
    fn are_of_names(&self) -> bool {
        match self {
            Self::Whole(message) => ["unknown field", "required field missing"].contains(&message.as_str()),
            Self::Elements(elements) => elements.values().all(Self::are_of_names),
            Self::Nested(fields) => fields.values().all(Self::are_of_names),
        }
    }

    /// Adds the violations of the parts that have none yet.
    fn add(&mut self, later: Self) {
        match (self, later) {
            (Self::Nested(held), Self::Nested(later)) => add_all(held, later),
            (Self::Elements(held), Self::Elements(later)) => add_all(held, later),
            _ => {}
        }
    }

    /// The violations of a record within another one. Rules between its fields alone are about the record as
    /// a whole.
    pub(crate) fn of_record(violations: Violations) -> Option<Self> {
        match (violations.entity.len(), violations.fields.len()) {
            (0, 0) => violations.whole.map(Self::Whole),
            (_, 0) => Some(Self::Whole(violations.whole.unwrap_or_else(|| violations.entity.join("; ")))),
            _ => Some(Self::Nested(violations.fields)),
        }
    }

    fn collect<'a>(&'a self, path: String, all: &mut Vec<(String, &'a str)>) {
        match self {
            Self::Whole(message) => all.push((path, message)),
            Self::Elements(elements) => {
                for (index, errors) in elements {
                    errors.collect(format!("{path}.{}", index + 1), all);
                }
            }
            Self::Nested(fields) => {
                for (name, errors) in fields {
                    errors.collect(format!("{path}.{name}"), all);
                }
            }
        }
    }
}

fn add_all<K: Ord>(held: &mut BTreeMap<K, FieldErrors>, later: BTreeMap<K, FieldErrors>) {
    for (key, errors) in later {
        match held.entry(key) {
            Entry::Vacant(free) => drop(free.insert(errors)),
            Entry::Occupied(mut held) => held.get_mut().add(errors),
        }
    }
}

impl From<String> for FieldErrors {
    fn from(message: String) -> Self {
        Self::Whole(message)
    }
}

impl From<&str> for FieldErrors {
    fn from(message: &str) -> Self {
        Self::Whole(message.to_owned())
    }
}

impl std::fmt::Display for Violations {
    /// `schema violation (host: required field missing)`, or `2 schema violations (…; …)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self
            .iter()
            .map(|(path, message)| match path.as_str() {
                "@entity" => message.to_owned(),
                _ => format!("{path}: {message}"),
            })
            .collect();
        match all.len() {
            1 => write!(f, "schema violation ({})", all[0]),
            n => write!(f, "{n} schema violations ({})", all.join("; ")),
        }
    }
}

impl std::error::Error for Violations {}
