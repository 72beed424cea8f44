//! Reads a document as a stream of entities, from any format that serde reads.

use model::Described;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::budget::{Budget, Spent};
use super::builder::Builder;
use super::given::{Child, Element, Given};
use super::header;
use super::nesting::{self, Nested};
use super::place::Place;
use crate::bounded::{Bounds, MARK};

/// Levels of entities nested in one another.
const LEVELS: usize = 4;
/// Bytes of a key at the top of a document.
const KEY: usize = 1024;

/// The error that ends the reading of a document that takes too much memory; the budget knows about it.
fn out_of_memory<E: Error>() -> E {
    E::custom("out of memory")
}

/// Reads a document into a builder.
pub(super) struct DocumentSeed<'a, 'b>(pub(super) &'a mut Builder<'b>);

impl<'de> DeserializeSeed<'de> for DocumentSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DocumentSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let builder = self.0;
        let mut read: Vec<&'static str> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key.len() > KEY {
                return Err(A::Error::custom(format!(
                    "{MARK}at most {KEY} bytes of a key, one has {}",
                    key.len()
                )));
            }
            match model::of_collection(&key).filter(|kind| !kind.is_operational()) {
                Some(kind) if read.contains(&kind.collection()) => {
                    builder.errors.top(&key, "the document has it twice");
                    map.next_value::<IgnoredAny>()?;
                }
                Some(kind) => {
                    read.push(kind.collection());
                    let mut sink = TopList { kind, builder: &mut *builder };
                    map.next_value_seed(ListSeed { kind, level: 0, sink: &mut sink })?;
                }
                None => about_document(builder, &key, &mut map)?,
            }
        }
        Ok(())
    }
}

/// Reads a key that is no collection.
fn about_document<'de, A: MapAccess<'de>>(
    builder: &mut Builder<'_>,
    key: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    match key {
        header::TRANSFORM => {
            let value = map.next_value_seed(Bounds::new().value())?;
            header::transform(&value).into_iter().for_each(|message| builder.errors.top(key, message));
            return Ok(());
        }
        header::WORKSPACE => {
            let value = map.next_value_seed(Bounds::new().value())?;
            header::workspace(&value).into_iter().for_each(|message| builder.errors.top(key, message));
            return Ok(());
        }
        header::INFO if !builder.header().has_info() => {
            builder.errors.top(key, "must stand before the collections");
        }
        header::FORMAT | header::INFO => {}
        key if header::IGNORED.contains(&key) => {}
        _ => builder.errors.top(key, "unknown field"),
    }
    map.next_value::<IgnoredAny>().map(drop)
}

/// What becomes of the elements of a list.
trait Sink {
    fn budget(&mut self) -> &mut Budget;

    /// Takes an element.
    fn element(&mut self, index: usize, element: Element) -> Result<(), Spent>;

    /// Notes that the value is no list.
    fn not_a_list(&mut self);
}

/// A collection at the top of a document.
struct TopList<'a, 'b> {
    kind: &'static dyn Described,
    builder: &'a mut Builder<'b>,
}

impl Sink for TopList<'_, '_> {
    fn budget(&mut self) -> &mut Budget {
        self.builder.budget()
    }

    fn element(&mut self, index: usize, element: Element) -> Result<(), Spent> {
        let place = Place::top(self.kind.collection(), index);
        self.builder.entity(Given { kind: self.kind, place, parent: None, element })
    }

    fn not_a_list(&mut self) {
        self.builder.errors.top(self.kind.collection(), "expected an array");
    }
}

/// A collection in an entity.
struct NestedList<'a> {
    nested: Nested,
    outer: &'a mut Element,
    budget: &'a mut Budget,
}

impl Sink for NestedList<'_> {
    fn budget(&mut self) -> &mut Budget {
        self.budget
    }

    fn element(&mut self, index: usize, element: Element) -> Result<(), Spent> {
        let child = Child::new(self.nested.kind, self.nested.field, index, element);
        self.budget.take(child.size())?;
        self.outer.children.push(child);
        Ok(())
    }

    fn not_a_list(&mut self) {
        self.outer.wrong.push((self.nested.kind.collection().to_owned(), "expected an array"));
    }
}

/// Reads a list of entities.
struct ListSeed<'a, S> {
    kind: &'static dyn Described,
    level: usize,
    sink: &'a mut S,
}

impl<'de, S: Sink> DeserializeSeed<'de> for ListSeed<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

/// The methods of a visitor for values of another type than the expected one.
macro_rules! otherwise {
    ($self:ident => $answer:expr) => {
        fn visit_bool<E>($self, _: bool) -> Result<Self::Value, E> {
            Ok($answer)
        }

        fn visit_i64<E>($self, _: i64) -> Result<Self::Value, E> {
            Ok($answer)
        }

        fn visit_u64<E>($self, _: u64) -> Result<Self::Value, E> {
            Ok($answer)
        }

        fn visit_f64<E>($self, _: f64) -> Result<Self::Value, E> {
            Ok($answer)
        }
    };
}

impl<'de, S: Sink> Visitor<'de> for ListSeed<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    otherwise!(self => self.sink.not_a_list());

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.sink.not_a_list();
        Ok(())
    }

    /// Null is a collection without entities.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.sink.not_a_list();
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { kind, level, sink } = self;
        let mut index = 0;
        while let Some(element) =
            list.next_element_seed(ElementSeed { kind, level, budget: sink.budget() })?
        {
            sink.element(index, element).map_err(|Spent| out_of_memory())?;
            index += 1;
        }
        Ok(())
    }
}

/// Reads an entity and those that are nested in it.
struct ElementSeed<'a> {
    kind: &'static dyn Described,
    level: usize,
    budget: &'a mut Budget,
}

impl ElementSeed<'_> {
    fn wrong() -> Element {
        Element { wrong: vec![("@entity".to_owned(), "expected a record")], ..Element::default() }
    }

    /// An entity that is given by its name alone.
    fn named(&self, name: &str) -> Element {
        let Some(field) = self.kind.endpoint_key() else { return Self::wrong() };
        Element { fields: Map::from_iter([(field.to_owned(), Value::from(name))]), ..Element::default() }
    }
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = Element;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Element, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed<'_> {
    type Value = Element;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }

    otherwise!(self => Self::wrong());

    fn visit_unit<E>(self) -> Result<Element, E> {
        Ok(Self::wrong())
    }

    fn visit_str<E>(self, name: &str) -> Result<Element, E> {
        Ok(self.named(name))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::wrong())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        let Self { kind, level, budget } = self;
        let (mut element, mut bounds) = (Element::default(), Bounds::new());
        while let Some(name) = map.next_key::<String>()? {
            bounds.field(&name, element.fields.len())?;
            let Some(nested) = nesting::nested(kind, &name) else {
                element.fields.insert(name, map.next_value_seed(bounds.value())?);
                continue;
            };
            if level + 1 == LEVELS {
                return Err(A::Error::custom(format!(
                    "{MARK}at most {LEVELS} entities in one another, one has more"
                )));
            }
            let mut sink = NestedList { nested, outer: &mut element, budget: &mut *budget };
            map.next_value_seed(ListSeed { kind: nested.kind, level: level + 1, sink: &mut sink })?;
        }
        Ok(element)
    }
}
