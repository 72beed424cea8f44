//! Numbers with a fraction.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::integers::{between, greater};
use super::{form_number, typed};
use crate::field::{FieldType, FieldValue, Level};
use crate::rules::Rules;
use crate::violations::FieldErrors;

/// Whole numbers up to here are exact as floating point.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The longest time, in seconds: 200 years. Sums with any time of a clock are times, too.
const LONGEST_TIME: f64 = 200.0 * 366.0 * 86_400.0;

/// A finite number. A whole one is written without a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Number(f64);

/// It is never "not a number".
impl Eq for Number {}

impl Number {
    /// A number; one that is not finite becomes 0.
    pub const fn new(number: f64) -> Self {
        Self(if number.is_finite() { number } else { 0.0 })
    }

    /// A whole number.
    pub const fn whole(number: u32) -> Self {
        Self(number as f64)
    }

    /// The seconds of a number of milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact for 285,000 years")]
    pub const fn of_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds as f64 / 1000.0)
    }

    /// Its value.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Whether it is 0, which stands for "off" in most fields.
    pub const fn is_zero(self) -> bool {
        self.0 == 0.0
    }

    /// That many seconds, 200 years at most; none for a negative number.
    pub fn seconds(self) -> Duration {
        Duration::try_from_secs_f64(self.0.min(LONGEST_TIME)).unwrap_or_default()
    }

    /// That many seconds in milliseconds, to the nearest one: a time that was given in milliseconds comes back.
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, far outside of any time")]
    pub fn milliseconds(self) -> i64 {
        (self.0 * 1000.0).round() as i64
    }

    /// Its form in views.
    pub(crate) fn show(self) -> Value {
        json!(self)
    }

    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within the exact range")]
    fn as_whole(self) -> Option<i64> {
        (self.0.fract() == 0.0 && self.0.abs() <= EXACT).then_some(self.0 as i64)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_whole() {
            Some(whole) => serializer.serialize_i64(whole),
            None => serializer.serialize_f64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::new)
    }
}

impl FieldValue for Number {
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
        self.broken(rules).filter(|_| level == Level::Rules).map(FieldErrors::Whole)
    }

    fn show(&self, _rules: &Rules) -> Value {
        (*self).show()
    }
}

impl Number {
    /// The first rule that it breaks.
    #[expect(clippy::cast_precision_loss, reason = "the bounds that are declared are exact")]
    fn broken(self, rules: &Rules) -> Option<String> {
        if let Some(limit) = rules.greater_than.filter(|limit| self.0 <= *limit as f64) {
            return Some(greater(limit));
        }
        if let Some(range) = rules.between
            && !(self.0 >= range.0 as f64 && self.0 <= range.1 as f64)
        {
            return Some(between(range));
        }
        rules.number.and_then(|check| check(self.0).err())
    }
}

impl FieldType for Number {
    fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
        let number = match &value {
            Value::String(text) if form => form_number::read(text),
            Value::Number(number) => number.as_f64(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite()).map(Self).ok_or("expected a number")?;
        match number.broken(rules) {
            Some(message) => Err(message.into()),
            None => Ok(number),
        }
    }

    fn describe(rules: &Rules) -> Map<String, Value> {
        let mut schema = typed("number");
        if let Some((least, greatest)) = rules.between {
            schema.insert("between".to_owned(), json!([least, greatest]));
        }
        if let Some(limit) = rules.greater_than {
            schema.insert("gt".to_owned(), limit.into());
        }
        schema
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_come_back() {
        for time in 1_795_708_697_000..1_795_708_699_000 {
            assert_eq!(Number::of_milliseconds(time).milliseconds(), time);
        }
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        for (number, text) in [(1.0, "1"), (0.5, "0.5"), (0.0, "0"), (-3.0, "-3"), (1e300, "1e+300")] {
            assert_eq!(serde_json::to_string(&Number::new(number)).unwrap(), text);
        }
        let read: Number = serde_json::from_str("2.25").unwrap();
        assert_eq!((read, read.seconds()), (Number::new(2.25), Duration::from_millis(2250)));
        assert_eq!(Number::new(f64::NAN), Number::default());
        let longest = Number::new(1e30).seconds();
        assert!(longest > Duration::from_secs(100 * 365 * 86_400));
        assert!(i64::try_from(longest.as_nanos()).is_ok());
        assert_eq!(Number::new(-1e30).seconds(), Duration::ZERO);
    }

    #[test]
    fn numbers_of_bodies() {
        let rules = Rules::new().between(0, 65_535);
        let read = |value: Value, form| Number::read(value, &rules, form);
        assert_eq!(read(json!(0.1), false), Ok(Number::new(0.1)));
        assert_eq!(read(json!("0.1"), true), Ok(Number::new(0.1)));
        for bad in [json!("1"), json!(true), json!([])] {
            assert_eq!(read(bad, false), Err("expected a number".into()));
        }
        for (text, number) in [(" 1e2\t", 100.0), ("0x50", 80.0), (".5", 0.5), ("5.", 5.0)] {
            assert_eq!(read(json!(text), true), Ok(Number::new(number)), "{text}");
        }
        for bad in ["NaN", "inf", "", "infinity", "1e999", "0x", "1 2", "1e", "--1", "1,5"] {
            assert_eq!(read(json!(bad), true), Err("expected a number".into()));
        }
        for bad in [json!(-0.1), json!(65_535.1)] {
            assert_eq!(read(bad, false), Err("value should be between 0 and 65535".into()));
        }
    }
}
