//! Reads a value of a body or of a document within bounds, so that its cost in memory is known before it is
//! read.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Levels of lists and records in one value: nothing in the API is deeper than four.
const DEPTH: usize = 16;
/// Values within one value, on all levels.
const VALUES: usize = 100_000;
/// Fields of one record.
const FIELDS: usize = 1000;
/// Bytes of a field's name.
const NAME: usize = 1024;

/// The prefix of messages that may be shown. Those of a parser may repeat a secret.
pub(crate) const MARK: &str = "bound: ";

/// What one value may still hold.
#[derive(Debug)]
pub(crate) struct Bounds {
    values: usize,
}

impl Bounds {
    pub(crate) fn new() -> Self {
        Self { values: VALUES }
    }

    /// Checks a field before its value is read.
    pub(crate) fn field<E: Error>(&self, name: &str, fields: usize) -> Result<(), E> {
        if name.len() > NAME {
            let length = name.len();
            return Err(E::custom(format!("{MARK}at most {NAME} bytes of a field's name, one has {length}")));
        }
        if fields >= FIELDS {
            return Err(E::custom(format!("{MARK}at most {FIELDS} fields of an object, one has more")));
        }
        Ok(())
    }

    /// The seed of the whole value.
    pub(crate) fn whole(&mut self) -> BoundedValue<'_> {
        BoundedValue { bounds: self, depth: 0 }
    }

    /// The seed of a field of a value that is read field by field.
    pub(crate) fn value(&mut self) -> BoundedValue<'_> {
        BoundedValue { bounds: self, depth: 1 }
    }
}

/// Reads one value and the values in it.
#[derive(Debug)]
pub(crate) struct BoundedValue<'a> {
    bounds: &'a mut Bounds,
    depth: usize,
}

impl BoundedValue<'_> {
    fn inner<E: Error>(&mut self) -> Result<BoundedValue<'_>, E> {
        if self.depth == DEPTH {
            return Err(E::custom(format!("{MARK}at most {DEPTH} levels, it has more")));
        }
        let left = self.bounds.values.checked_sub(1);
        let more = || E::custom(format!("{MARK}at most {VALUES} values, it has more"));
        self.bounds.values = left.ok_or_else(more)?;
        Ok(BoundedValue { bounds: self.bounds, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for BoundedValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BoundedValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.inner()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            self.bounds.field(&name, fields.len())?;
            fields.insert(name, map.next_value_seed(self.inner()?)?);
        }
        Ok(Value::Object(fields))
    }
}
