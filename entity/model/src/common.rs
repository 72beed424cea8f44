//! The fields that entities of all kinds have.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::bounds;
use crate::check::text;
use crate::field::{Field, FieldType, Level};
use crate::record::Reader;
use crate::rules::Rules;
use crate::types::{self, Number};
use crate::violations::{FieldErrors, Violations};

/// The unit of the times of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Whole seconds since 1970.
    Seconds,
    /// Milliseconds since 1970. The Admin API shows seconds with a fraction, as Kong does for targets.
    Milliseconds,
}

impl Times {
    /// A time in this unit, given in milliseconds since 1970.
    pub const fn of_milliseconds(self, time: i64) -> i64 {
        match self {
            Self::Seconds => time / 1000,
            Self::Milliseconds => time,
        }
    }

    /// The seconds since 1970 of a time in this unit.
    pub const fn seconds(self, time: i64) -> i64 {
        match self {
            Self::Seconds => time,
            Self::Milliseconds => time / 1000,
        }
    }

    /// A time in the form of the Admin API.
    pub fn show(self, time: i64) -> Value {
        match self {
            Self::Seconds => time.into(),
            Self::Milliseconds => Number::of_milliseconds(time).show(),
        }
    }
}

/// The identity of an entity, and what only the control plane keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Its id.
    pub id: Uuid,
    /// When it was created, in the unit of its kind.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
    /// A set of strings by which entities are selected.
    pub tags: Option<Vec<String>>,
}

/// The common fields that a body holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenCommon {
    /// The id.
    pub id: Option<Uuid>,
    /// The time of creation.
    pub created_at: Option<i64>,
    /// The tags.
    pub tags: Option<Vec<String>>,
}

impl GivenCommon {
    /// Takes the common fields out of a body. Clients send back the time of the last write that they were
    /// shown; each write sets it.
    pub fn take(
        fields: &mut Map<String, Value>,
        form: bool,
        times: Times,
        violations: &mut Violations,
    ) -> Self {
        let taken = ["id", "created_at", "updated_at", "tags"];
        let own: Map<_, _> = taken.iter().filter_map(|name| fields.remove_entry(*name)).collect();
        let mut reader = Reader::new(own, form, std::mem::take(violations));
        let given = Self {
            id: reader.take("id").and_then(|id| match types::id(&id) {
                Ok(id) => Some(id),
                Err(error) => {
                    reader.violations.at("id", error);
                    None
                }
            }),
            created_at: take_time(&mut reader, "created_at", times),
            tags: reader.field(&tags(), None),
        };
        take_time(&mut reader, "updated_at", times);
        *violations = reader.finish();
        let broken = given.tags.as_ref().and_then(check_tags);
        broken.into_iter().for_each(|errors| violations.at("tags", errors));
        given
    }
}

impl Common {
    /// Adds the common fields to a view.
    pub fn show(&self, times: Times, view: &mut Map<String, Value>) {
        view.insert("id".to_owned(), self.id.to_string().into());
        view.insert("tags".to_owned(), self.tags.clone().into());
        view.insert("created_at".to_owned(), times.show(self.created_at));
        view.insert("updated_at".to_owned(), times.show(self.updated_at));
    }
}

/// Checks the tags of any entity: number, lengths and characters.
fn check_tags(all: &Vec<String>) -> Option<FieldErrors> {
    use crate::field::FieldValue;
    let rules = tags().rules;
    all.check(&rules, Level::Bounds).or_else(|| all.check(&rules, Level::Rules))
}

/// Reads a time that a body gives.
#[expect(clippy::cast_possible_truncation, reason = "the rule bounds it")]
fn take_time(reader: &mut Reader, name: &'static str, times: Times) -> Option<i64> {
    let whole = Rules::new().between(0, i64::MAX);
    match times {
        Times::Seconds => reader.field(&Field::new::<Option<i64>>(name, "", whole, None), None),
        Times::Milliseconds => {
            let rules = Rules::new().between(0, i64::from(u32::MAX) * 100);
            let time: Option<Number> = reader.field(&Field::new(name, "", rules, None::<Number>), None);
            time.map(|time| (time.get() * 1000.0).round() as i64)
        }
    }
}

fn tags() -> Field {
    let rules = Rules::new().set().most(bounds::TAGS).longest(bounds::TAG).is(text::tag);
    Field::new::<Option<Vec<String>>>("tags", "Strings by which entities are selected.", rules, None)
}

/// The common fields in the form of a schema.
pub(crate) fn schema(times: Times) -> Vec<(&'static str, Map<String, Value>)> {
    let mut tags_schema = <Option<Vec<String>> as FieldType>::describe(&tags().rules);
    tags_schema.insert("description".to_owned(), tags().description.into());
    let auto = |extra: &[(&str, Value)]| {
        let own = extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        own.chain([("auto".to_owned(), Value::Bool(true))]).collect::<Map<_, _>>()
    };
    let number = match times {
        Times::Seconds => "integer",
        Times::Milliseconds => "number",
    };
    let time = || auto(&[("type", number.into()), ("timestamp", true.into())]);
    vec![
        ("id", auto(&[("type", "string".into()), ("uuid", true.into())])),
        ("created_at", time()),
        ("updated_at", time()),
        ("tags", tags_schema),
    ]
}
