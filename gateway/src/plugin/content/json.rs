//! A JSON object whose members are changed. What is not changed keeps its bytes: numbers of any length, and the
//! order of members.

use std::cell::Cell;
use std::fmt;

use indexmap::IndexMap;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::{ENTRIES, TooManyEntries};

/// The most names of one path.
const DEPTH: usize = 16;

/// Where a member is: its name, or the names that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Path(Vec<String>);

impl Path {
    /// A member of the object itself, or, when dots lead into objects, one within others. The text behind the dot
    /// that would exceed the greatest depth is one name.
    pub(in crate::plugin) fn new(name: &str, dots_lead: bool) -> Self {
        if dots_lead {
            Self(name.splitn(DEPTH, '.').map(str::to_owned).collect())
        } else {
            Self(vec![name.to_owned()])
        }
    }
}

/// A JSON object.
#[derive(Debug)]
pub(in crate::plugin) struct Json(Node);

/// A value, read as far as it was needed.
#[derive(Debug)]
enum Node {
    Raw(Box<RawValue>),
    Object(IndexMap<String, Node>),
    List(Vec<Node>),
}

impl Json {
    /// Reads an object. `None` for text that is not JSON, or not an object.
    ///
    /// # Errors
    /// When the object has more members than entries may be.
    pub(in crate::plugin) fn parse(text: &[u8]) -> Result<Option<Self>, TooManyEntries> {
        let node = read(text)?;
        Ok(node.filter(|node| matches!(node, Node::Object(_))).map(Self))
    }

    /// An object without members.
    pub(in crate::plugin) fn empty() -> Self {
        Self(Node::Object(IndexMap::new()))
    }

    /// The text.
    pub(in crate::plugin) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// Removes a member. Returns whether there was one.
    ///
    /// # Errors
    /// As [`Json::parse`], for what the path leads into; so do the others.
    pub(in crate::plugin) fn remove(&mut self, path: &Path) -> Result<bool, TooManyEntries> {
        Ok(self.take(path)?.is_some())
    }

    /// Gives a member another name, in place of the member that has it. Returns whether there was one.
    pub(in crate::plugin) fn rename(&mut self, old: &Path, new: &Path) -> Result<bool, TooManyEntries> {
        if old == new {
            return Ok(false);
        }
        // The value must not be lost where the new name leads into none.
        if !self.has(old)? || self.place(new, true)?.is_none() {
            return Ok(false);
        }
        let Some(value) = self.take(old)? else { return Ok(false) };
        match self.place(new, true)? {
            Some(Place::Member(members, name)) => drop(members.insert(name.to_owned(), value)),
            Some(Place::Element(element)) => *element = value,
            None => {}
        }
        Ok(true)
    }

    fn has(&mut self, path: &Path) -> Result<bool, TooManyEntries> {
        Ok(match self.place(path, false)? {
            Some(Place::Member(members, name)) => members.contains_key(name),
            Some(Place::Element(_)) => true,
            None => false,
        })
    }

    /// Replaces the value of a member, if there is one. Returns whether there was.
    pub(in crate::plugin) fn replace(
        &mut self,
        path: &Path,
        value: Box<RawValue>,
    ) -> Result<bool, TooManyEntries> {
        let held = match self.place(path, false)? {
            Some(Place::Member(members, name)) => members.get_mut(name),
            Some(Place::Element(element)) => Some(element),
            None => None,
        };
        Ok(held.map(|held| *held = Node::Raw(value)).is_some())
    }

    /// Adds a member, if there is none. Returns whether it was added.
    pub(in crate::plugin) fn add(
        &mut self,
        path: &Path,
        value: Box<RawValue>,
    ) -> Result<bool, TooManyEntries> {
        let Some(Place::Member(members, name)) = self.place(path, true)? else { return Ok(false) };
        if members.contains_key(name) {
            return Ok(false);
        }
        members.insert(name.to_owned(), Node::Raw(value));
        Ok(true)
    }

    /// Adds a value to the list that a member holds. Any other value becomes the first of a list. Returns whether
    /// it was added.
    pub(in crate::plugin) fn append(
        &mut self,
        path: &Path,
        value: Box<RawValue>,
    ) -> Result<bool, TooManyEntries> {
        let held = match self.place(path, true)? {
            Some(Place::Member(members, name)) => {
                members.entry(name.to_owned()).or_insert_with(|| Node::List(Vec::new()))
            }
            Some(Place::Element(element)) => element,
            None => return Ok(false),
        };
        held.expand()?;
        if !matches!(held, Node::List(_)) {
            let first = std::mem::replace(held, Node::List(Vec::new()));
            held.push(first);
        }
        held.push(Node::Raw(value));
        Ok(true)
    }

    fn take(&mut self, path: &Path) -> Result<Option<Node>, TooManyEntries> {
        let Some((last, outer)) = path.0.split_last() else { return Ok(None) };
        let Some(holder) = self.0.walk(outer, false)? else { return Ok(None) };
        Ok(match holder {
            Node::Object(members) => members.shift_remove(last),
            Node::List(list) => index(last, list).map(|at| list.remove(at)),
            Node::Raw(_) => None,
        })
    }

    /// Where the value of a path is, or would be. With `create`, objects that are missing on the way are made.
    fn place<'a>(&'a mut self, path: &'a Path, create: bool) -> Result<Option<Place<'a>>, TooManyEntries> {
        let Some((last, outer)) = path.0.split_last() else { return Ok(None) };
        Ok(match self.0.walk(outer, create)? {
            Some(Node::Object(members)) => Some(Place::Member(members, last)),
            Some(Node::List(list)) => index(last, list).and_then(|at| list.get_mut(at)).map(Place::Element),
            _ => None,
        })
    }
}

/// Where a value is.
enum Place<'a> {
    /// A member of an object, which may not have it.
    Member(&'a mut IndexMap<String, Node>, &'a str),
    /// An element of a list.
    Element(&'a mut Node),
}

impl Node {
    /// The value to which names lead, expanded.
    fn walk(&mut self, names: &[String], create: bool) -> Result<Option<&mut Self>, TooManyEntries> {
        self.expand()?;
        let Some((first, rest)) = names.split_first() else { return Ok(Some(self)) };
        if let Self::Object(members) = self
            && create
            && !members.contains_key(first)
        {
            members.insert(first.clone(), Self::Object(IndexMap::new()));
        }
        let next = match self {
            Self::Object(members) => members.get_mut(first),
            Self::List(list) => index(first, list).and_then(|at| list.get_mut(at)),
            Self::Raw(_) => None,
        };
        match next {
            Some(next) => next.walk(rest, create),
            None => Ok(None),
        }
    }

    /// Reads the members or elements of a value that has any.
    fn expand(&mut self) -> Result<(), TooManyEntries> {
        if let Self::Raw(raw) = self
            && raw.get().starts_with(['{', '['])
            && let Some(read) = read(raw.get().as_bytes())?
        {
            *self = read;
        }
        Ok(())
    }

    fn push(&mut self, value: Self) {
        if let Self::List(list) = self {
            list.push(value);
        }
    }
}

/// The index of an element that is there.
fn index(name: &str, list: &[Node]) -> Option<usize> {
    name.parse().ok().filter(|at| *at < list.len())
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Raw(raw) => raw.serialize(serializer),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
            Self::List(list) => {
                let mut sequence = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|value| sequence.serialize_element(value))?;
                sequence.end()
            }
        }
    }
}

/// Reads the outermost object or list. `None` for everything else.
fn read(text: &[u8]) -> Result<Option<Node>, TooManyEntries> {
    let too_many = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = Outermost(&too_many).deserialize(&mut deserializer);
    let read = read.and_then(|node| deserializer.end().map(|()| node));
    if too_many.get() { Err(TooManyEntries) } else { Ok(read.ok()) }
}

struct Outermost<'a>(&'a Cell<bool>);

impl Outermost<'_> {
    fn bound<E: Error>(&self, entries: usize) -> Result<(), E> {
        if entries < ENTRIES {
            return Ok(());
        }
        self.0.set(true);
        Err(E::custom("too many entries"))
    }
}

impl<'de> DeserializeSeed<'de> for Outermost<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outermost<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = IndexMap::new();
        while let Some((name, value)) = map.next_entry()? {
            self.bound(members.len())?;
            members.insert(name, Node::Raw(value));
        }
        Ok(Node::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = sequence.next_element()? {
            self.bound(list.len())?;
            list.push(Node::Raw(value));
        }
        Ok(Node::List(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn path(name: &str) -> Path {
        Path::new(name, false)
    }

    fn deep(name: &str) -> Path {
        Path::new(name, true)
    }

    type Change = fn(&mut Json) -> Result<bool, TooManyEntries>;

    fn check(cases: &[(&str, Change, bool, &str)]) {
        for (text, change, changes, wanted) in cases {
            let mut json = Json::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(change(&mut json), Ok(*changes), "{text} -> {wanted}");
            assert_eq!(String::from_utf8(json.encode()).unwrap(), *wanted, "{text}");
        }
    }

    #[test]
    fn members_are_changed_by_name() {
        let text = r#"{"a":1.00,"b":[1e400, 2],"c":null}"#;
        check(&[
            (text, |json| json.remove(&path("a")), true, r#"{"b":[1e400, 2],"c":null}"#),
            (text, |json| json.remove(&path("x")), false, text),
            (text, |json| json.rename(&path("a"), &path("d")), true, r#"{"b":[1e400, 2],"c":null,"d":1.00}"#),
            (text, |json| json.rename(&path("a"), &path("c")), true, r#"{"b":[1e400, 2],"c":1.00}"#),
            (text, |json| json.rename(&path("x"), &path("c")), false, text),
            (text, |json| json.rename(&path("a"), &path("a")), false, text),
            (
                text,
                |json| json.replace(&path("c"), raw("\"n\"")),
                true,
                r#"{"a":1.00,"b":[1e400, 2],"c":"n"}"#,
            ),
            (text, |json| json.replace(&path("x"), raw("1")), false, text),
            (text, |json| json.add(&path("c"), raw("1")), false, text),
            (
                text,
                |json| json.add(&path("d"), raw("1")),
                true,
                r#"{"a":1.00,"b":[1e400, 2],"c":null,"d":1}"#,
            ),
            (text, |json| json.append(&path("b"), raw("3")), true, r#"{"a":1.00,"b":[1e400,2,3],"c":null}"#),
            (
                text,
                |json| json.append(&path("a"), raw("3")),
                true,
                r#"{"a":[1.00,3],"b":[1e400, 2],"c":null}"#,
            ),
            (
                text,
                |json| json.append(&path("d"), raw("3")),
                true,
                r#"{"a":1.00,"b":[1e400, 2],"c":null,"d":[3]}"#,
            ),
            (r#"{"o":{"x":1}}"#, |json| json.append(&path("o"), raw("3")), true, r#"{"o":[{"x":1},3]}"#),
            (r#"{"a.b":1}"#, |json| json.remove(&path("a.b")), true, "{}"),
            (r#"{"a":1,"a":2}"#, |json| json.remove(&path("x")), false, r#"{"a":2}"#),
            (
                r#" { "\u0061" : "\u00fc" } "#,
                |json| json.add(&path("b"), raw("0")),
                true,
                r#"{"a":"\u00fc","b":0}"#,
            ),
        ]);
    }

    #[test]
    fn dots_lead_into_objects_and_lists() {
        let text = r#"{"a":{"b":[{"c":1}, 2],"d":3}}"#;
        check(&[
            (text, |json| json.remove(&deep("a.b.0.c")), true, r#"{"a":{"b":[{},2],"d":3}}"#),
            (text, |json| json.remove(&deep("a.b.0")), true, r#"{"a":{"b":[2],"d":3}}"#),
            (text, |json| json.remove(&deep("a.b.7")), false, r#"{"a":{"b":[{"c":1},2],"d":3}}"#),
            (text, |json| json.remove(&deep("a.d.x")), false, r#"{"a":{"b":[{"c":1}, 2],"d":3}}"#),
            (text, |json| json.replace(&deep("a.b.1"), raw("5")), true, r#"{"a":{"b":[{"c":1},5],"d":3}}"#),
            (text, |json| json.replace(&deep("a.x.y"), raw("5")), false, r#"{"a":{"b":[{"c":1}, 2],"d":3}}"#),
            (
                text,
                |json| json.add(&deep("x.y"), raw("5")),
                true,
                r#"{"a":{"b":[{"c":1}, 2],"d":3},"x":{"y":5}}"#,
            ),
            (text, |json| json.add(&deep("a.d.y"), raw("5")), false, r#"{"a":{"b":[{"c":1}, 2],"d":3}}"#),
            (text, |json| json.append(&deep("a.b"), raw("5")), true, r#"{"a":{"b":[{"c":1},2,5],"d":3}}"#),
            (
                text,
                |json| json.rename(&deep("a.d"), &deep("e.f")),
                true,
                r#"{"a":{"b":[{"c":1}, 2]},"e":{"f":3}}"#,
            ),
            (
                text,
                |json| json.rename(&deep("a.b"), &deep("a.d.x")),
                false,
                r#"{"a":{"b":[{"c":1}, 2],"d":3}}"#,
            ),
            (text, |json| json.rename(&deep("a.d"), &deep("a.b.1")), true, r#"{"a":{"b":[{"c":1},3]}}"#),
        ]);
    }

    #[test]
    fn other_texts_are_no_objects() {
        for text in
            ["", "1", "\"a\"", "null", "[1]", "{", "{}x", "{\"a\":}", "\u{feff}{}", "{\"a\":\"\\ud800\"} x"]
        {
            assert!(Json::parse(text.as_bytes()).unwrap().is_none(), "{text}");
        }
        assert!(Json::parse(b"{\"a\":\"\xff\"}").unwrap().is_none());
        let nested = "[".repeat(1_000_000);
        assert!(Json::parse(nested.as_bytes()).unwrap().is_none());
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let mut json = Json::parse(nested.as_bytes()).unwrap().unwrap();
        assert_eq!(json.remove(&path("a")), Ok(true));
    }

    #[test]
    fn objects_are_bounded() {
        let object = |members: usize| {
            let members: Vec<String> = (0..members).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(Json::parse(object(ENTRIES).as_bytes()).is_ok());
        assert!(matches!(Json::parse(object(ENTRIES + 1).as_bytes()), Err(TooManyEntries)));
        let mut json = Json::parse(format!("{{\"a\":{}}}", object(ENTRIES + 1)).as_bytes()).unwrap().unwrap();
        assert_eq!(json.remove(&deep("a.0")), Err(TooManyEntries));
    }
}
