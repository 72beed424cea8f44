//! Reads an entity whose references are resolved, and compares it with the current one.

use model::{Common, Content, Described, GivenCommon, HIDDEN, Input, Violations};
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::Key;

use super::{Builder, DECLARED, OUTSIDE, Unchecked, Waiting, already, outside};
use crate::declarative::budget::Spent;
use crate::declarative::difference::Planned;
use crate::declarative::given::unpack;
use crate::declarative::identity;
use crate::declarative::place::Place;
use crate::declarative::references::{parse_id, stored_naming_field};
use crate::kinds::credential;

/// Bytes that a planned change takes beside its texts.
const PLANNED: usize = 450;
/// Bytes that a reference takes until it is checked.
const REFERENCE: usize = 150;

impl Builder<'_> {
    /// Reads an entity, and plans its change unless it is as it should be.
    pub(super) fn complete(&mut self, waiting: Waiting, fields: Map<String, Value>) -> Result<(), Spent> {
        let mut violations = waiting.violations.clone();
        if let Some((field, outer)) = waiting.parent
            && fields.get(field).and_then(|named| parse_id(named.get("id")?.as_str()?)) != Some(outer.id)
        {
            violations.field(field, "names another entity than the one in which this one is nested");
        }
        let id = match waiting.id {
            Some(id) => id,
            None => {
                let id = self.recognised(waiting.kind, &fields);
                self.declare_id(waiting.kind, id, &mut violations)?;
                id
            }
        };
        let key = Key { kind: waiting.kind.kind(), id };
        let violations = match self.read(waiting.kind, key, fields, violations, self.now(waiting.kind)) {
            Ok((common, content)) => match self.note_unique(waiting.kind, &content)?.into_result() {
                Ok(()) => return self.plan(key, &waiting.place, common, content),
                Err(violations) => violations,
            },
            Err(_) if self.is_as_held(&waiting, key) => {
                self.difference.unchanged += 1;
                return Ok(());
            }
            Err(violations) => violations,
        };
        self.errors.entity(waiting.kind, &waiting.place, &waiting.fields, violations);
        Ok(())
    }

    /// Whether an entity that cannot be written now is as it was written: a certificate may have expired.
    fn is_as_held(&self, waiting: &Waiting, key: Key) -> bool {
        let Some(held) = self.current.get(key) else { return false };
        let mut fields = unpack(&waiting.fields);
        self.prepare(waiting.kind, waiting.parent, &mut fields);
        let unknown = self.resolve(waiting.kind, &mut fields, true);
        let violations = waiting.violations.clone();
        let read = self.read(waiting.kind, key, fields, violations, held.updated_at);
        unknown.is_empty()
            && read.is_ok_and(|(common, content)| {
                held.equals(&content.bytes, common.tags.as_deref(), common.created_at)
            })
    }

    fn read(
        &self,
        kind: &'static dyn Described,
        key: Key,
        fields: Map<String, Value>,
        mut violations: Violations,
        updated_at: i64,
    ) -> Result<(Common, Content), Violations> {
        let held = self.current.get(key);
        let mut input = Input { fields, form: false };
        kind.imply(None, &mut input, &mut violations);
        let Input { mut fields, .. } = input;
        if self.current.is_outside(key) {
            violations.entity(format!("the entity {OUTSIDE}"));
        }
        if let Some(held) = held {
            credential::unmark(kind, &mut fields, key.id);
            kind.keep(&held.body, &mut fields);
            kind.reveal(&held.body, &mut fields);
        }
        // Those of credentials are checked with their stored forms.
        if kind.credential().is_none() {
            check_hidden(kind, &mut fields, &mut violations);
        }
        self.add_tags(&mut fields);
        let given = GivenCommon::take(&mut fields, false, kind.times(), &mut violations);
        let created_at = given.created_at.or(held.map(|held| held.created_at)).unwrap_or(self.now(kind));
        let common = Common { id: key.id, created_at, updated_at, tags: given.tags };
        let input = Input { fields, form: false };
        let held = held.map(|held| &held.body[..]);
        let content = (self.options.read)(kind, input, &common, violations, held)?;
        Ok((common, content))
    }

    /// The time of the reading, in the unit of the kind.
    fn now(&self, kind: &dyn Described) -> i64 {
        kind.times().of_milliseconds(self.options.now)
    }

    /// Adds the tags that select entities to those of an entity, before these are checked.
    fn add_tags(&self, fields: &mut Map<String, Value>) {
        let selected = &self.current.selection().tags;
        if selected.is_empty() {
            return;
        }
        let tags = fields.entry("tags").or_insert(Value::Null);
        if tags.is_null() {
            *tags = Value::Array(Vec::new());
        }
        if let Value::Array(tags) = tags {
            let missing: Vec<Value> =
                selected.iter().map(|tag| tag.as_str().into()).filter(|tag| !tags.contains(tag)).collect();
            tags.extend(missing);
        }
    }

    /// The id of an entity that its content identifies: that of a current one, or a new one.
    pub(super) fn recognised(&mut self, kind: &'static dyn Described, fields: &Map<String, Value>) -> Uuid {
        let found = self.digest(kind, fields).and_then(|digest| self.current.of_content(kind.kind(), digest));
        found.unwrap_or_else(Uuid::new_v4)
    }

    fn digest(&self, kind: &'static dyn Described, fields: &Map<String, Value>) -> Option<identity::Digest> {
        if !self.current.has_contents() {
            return None;
        }
        if identity::has_hidden(kind, fields) {
            return Some(identity::of_fields(kind, fields.clone()));
        }
        let (mut input, mut violations) =
            (Input { fields: fields.clone(), form: false }, Violations::default());
        kind.imply(None, &mut input, &mut violations);
        let Input { mut fields, .. } = input;
        GivenCommon::take(&mut fields, false, kind.times(), &mut violations);
        let common = Common { id: Uuid::nil(), created_at: 0, updated_at: 0, tags: None };
        let input = Input { fields, form: false };
        let content = (self.options.read)(kind, input, &common, violations, None).ok()?;
        identity::of_bytes(kind, &content.bytes)
    }

    /// Notes the values of unique fields other than the name, which is noted when an entity is declared.
    fn note_unique(&mut self, kind: &'static dyn Described, content: &Content) -> Result<Violations, Spent> {
        let mut violations = Violations::default();
        let further = content.unique.iter().filter(|(field, _)| Some(*field) != stored_naming_field(kind));
        for (field, value) in further {
            self.budget.take(DECLARED + value.len())?;
            let declared = kind.fields().iter().find(|declared| declared.name == *field);
            let (_, shown) = declared.map_or((None, value.as_str()), |field| field.split_key(value));
            // Several fields are unique together.
            let mut violate = |message| match declared {
                Some(_) => violations.field(field, message),
                None => violations.entity(message),
            };
            if self.current.outside().has(kind.kind(), field, value) {
                violate(outside(kind, field, shown));
            }
            if !self.unique.insert((kind.kind(), field, value.clone())) {
                violate(already(kind, field, shown));
            }
        }
        Ok(violations)
    }

    fn plan(&mut self, key: Key, place: &Place, common: Common, content: Content) -> Result<(), Spent> {
        for reference in content.references.iter().filter(|reference| !self.declared.contains(&reference.to))
        {
            self.budget.take(REFERENCE)?;
            let (field, to) = (reference.field, reference.to);
            self.unchecked.push(Unchecked { from: key, place: place.clone(), field, to });
        }
        let held = self.current.get(key);
        if held.is_some_and(|held| held.equals(&content.bytes, common.tags.as_deref(), common.created_at)) {
            self.difference.unchanged += 1;
            return Ok(());
        }
        let texts = content.unique.iter().map(|(_, text)| text).chain(common.tags.iter().flatten());
        self.budget.take(content.bytes.len() + PLANNED + texts.map(|text| text.len() + 24).sum::<usize>())?;
        let before = held.cloned();
        self.difference.puts.push(Planned { kind: key.kind, common, content, before });
        Ok(())
    }
}

/// Rejects secrets that a document hides and that are not stored.
fn check_hidden(kind: &dyn Described, fields: &mut Map<String, Value>, violations: &mut Violations) {
    kind.each_secret(fields, &mut |path, value| {
        if value.as_str() == Some(HIDDEN) {
            *value = Value::Null;
            violations.at_path(path, format!("no value is stored that '{HIDDEN}' could stand for"));
        }
    });
}
