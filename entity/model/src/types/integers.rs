//! Whole numbers.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{form_number, listed, typed};
use crate::field::{FieldType, FieldValue, Level};
use crate::rules::Rules;
use crate::violations::FieldErrors;

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl FieldValue for $integer {
            fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
                let number = i64::from(*self);
                if level == Level::Bounds {
                    return None;
                }
                if let Some(limit) = rules.greater_than.filter(|limit| number <= *limit) {
                    return Some(greater(limit).into());
                }
                if !rules.one_of.is_empty() && !rules.one_of.contains(&number) {
                    return Some(listed(rules.one_of.iter()).into());
                }
                rules.between.and_then(|range| outside(number, range)).map(FieldErrors::Whole)
            }

            fn show(&self, _rules: &Rules) -> Value {
                (*self).into()
            }
        }

        impl FieldType for $integer {
            fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
                let number = integer(&value, form).ok_or("expected an integer")?;
                if let Some(limit) = rules.greater_than.filter(|limit| number <= *limit) {
                    return Err(greater(limit).into());
                }
                let range = rules.between.unwrap_or((i64::from(Self::MIN), i64::from(Self::MAX)));
                match outside(number, range) {
                    Some(message) => Err(message.into()),
                    None => Self::try_from(number).map_err(|_| between(range).into()),
                }
            }

            fn describe(rules: &Rules) -> Map<String, Value> {
                let mut schema = typed("integer");
                if let Some((least, greatest)) = rules.between {
                    schema.insert("between".to_owned(), json!([least, greatest]));
                }
                if let Some(limit) = rules.greater_than {
                    schema.insert("gt".to_owned(), limit.into());
                }
                if !rules.one_of.is_empty() {
                    schema.insert("one_of".to_owned(), json!(rules.one_of));
                }
                schema
            }

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }
        })*
    };
}

integers!(u8, u16, u32, i32, i64);

/// The message for a number that is not greater than `limit`.
pub(super) fn greater(limit: i64) -> String {
    format!("value must be greater than {limit}")
}

/// The message for a number that is not in a range.
pub(super) fn between((least, greatest): (i64, i64)) -> String {
    format!("value should be between {least} and {greatest}")
}

fn outside(number: i64, (least, greatest): (i64, i64)) -> Option<String> {
    (number < least || number > greatest).then(|| between((least, greatest)))
}

/// Reads a number without a fraction; in a form, also as text.
fn integer(value: &Value, form: bool) -> Option<i64> {
    // Whole numbers up to here are exact as floating point.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within the exact range")]
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64);
    match value {
        // Digits alone are exact beyond the range of floating point.
        Value::String(text) if form => text.parse().ok().or_else(|| form_number::read(text).and_then(whole)),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_forms_are_those_of_lua() {
        let rules = Rules::new();
        for (text, expected) in [
            ("80", Some(80)),
            ("80.0", Some(80)),
            (" 1e2 ", Some(100)),
            ("0x50", Some(80)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("80.5", None),
            ("1e300", None),
            ("eighty", None),
            ("", None),
        ] {
            let read = i64::read(json!(text), &rules, true);
            assert_eq!(read, expected.ok_or("expected an integer".into()), "{text:?}");
            assert!(i64::read(json!(text), &rules, false).is_err(), "{text:?} in JSON");
        }
    }
}
