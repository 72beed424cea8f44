//! What a data plane must know to apply the published configuration: the kinds of its entities, and those of
//! their fields, that must be understood. Counted with each change, and compared with a hello.

use std::collections::{BTreeMap, BTreeSet};

use wire::{Hello, Key, Kind, Position};

use super::Publisher;

/// Kinds, and fields, that the reason in words names; further ones are counted.
const NAMED: usize = 3;

/// The requirements of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requirements {
    /// Entities by kind; kinds that may be ignored are not in it.
    kinds: BTreeMap<Kind, usize>,
    /// Entities by field, such as `services.order`.
    fields: BTreeMap<String, usize>,
}

/// What a data plane knows, as its hello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    kinds: BTreeSet<Kind>,
    fields: BTreeSet<String>,
}

/// Why no update is sent to a data plane: what it must understand of a configuration and does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The configuration.
    pub to: Position,
    /// The unknown kinds, and how many entities of each there are.
    pub kinds: Vec<(Kind, usize)>,
    /// The unknown fields, and how many entities have each.
    pub fields: Vec<(String, usize)>,
}

impl Publisher {
    /// Returns what a data plane that knows `known` lacks of the published configuration. No update is encoded
    /// for it then: the next one may be as large as the configuration.
    pub fn lacking(&self, known: &Known) -> Option<Lacking> {
        self.shared.state.lock().lacking(known)
    }
}

impl Requirements {
    /// Follows one change of an entity, from and to these canonical bytes.
    pub(super) fn change(&mut self, key: Key, before: Option<&[u8]>, after: Option<&[u8]>) {
        if key.kind.must_be_understood() && before.is_some() != after.is_some() {
            count(&mut self.kinds, key.kind, after.is_some());
        }
        // A data plane may ignore entities of other kinds, whatever their fields.
        let fields = |bytes: Option<&[u8]>| {
            bytes
                .filter(|_| key.kind.must_be_understood())
                .map(|bytes| model::marked_fields(key.kind, bytes))
                .unwrap_or_default()
        };
        fields(before).into_iter().for_each(|field| count(&mut self.fields, field, false));
        fields(after).into_iter().for_each(|field| count(&mut self.fields, field, true));
    }

    /// What a data plane that knows `known` lacks of the configuration at `to`.
    pub(super) fn lacking(&self, known: &Known, to: Position) -> Option<Lacking> {
        let kinds = self.kinds.iter().filter(|(kind, _)| !known.kinds.contains(kind));
        let fields = self.fields.iter().filter(|(field, _)| !known.fields.contains(*field));
        let kinds: Vec<_> = kinds.map(|(kind, count)| (*kind, *count)).collect();
        let fields: Vec<_> = fields.map(|(field, count)| (field.clone(), *count)).collect();
        (!kinds.is_empty() || !fields.is_empty()).then_some(Lacking { to, kinds, fields })
    }
}

impl From<&Hello> for Known {
    fn from(hello: &Hello) -> Self {
        let kinds = hello.kinds.iter().map(|kind| Kind(*kind)).collect();
        Self { kinds, fields: hello.fields.iter().cloned().collect() }
    }
}

impl Lacking {
    /// The names of the unknown kinds.
    pub fn kind_names(&self) -> Vec<String> {
        self.kinds.iter().map(|(kind, _)| model::collection(*kind)).collect()
    }

    /// The names of the unknown fields.
    pub fn field_names(&self) -> Vec<String> {
        self.fields.iter().map(|(field, _)| field.clone()).collect()
    }

    /// The reason in words.
    pub fn message(&self) -> String {
        let kinds = self.kinds.iter().map(|(kind, count)| {
            let name = match model::described(*kind) {
                Some(described) => format!("the kind {}", described.collection()),
                None => kind.to_string(),
            };
            format!("{name}, of which the configuration has {count}")
        });
        let fields = self.fields.iter().map(|(field, count)| {
            let users = if *count == 1 { "entity has" } else { "entities have" };
            format!("the field {field}, which {count} {users}")
        });
        let mut named: Vec<_> = kinds.chain(fields).take(NAMED).collect();
        let all = self.kinds.len() + self.fields.len();
        if all > NAMED {
            named.push(format!("{} more", all - NAMED));
        }
        format!("does not know {}", named.join("; nor "))
    }
}

/// Adds or removes one; a count of none is not kept.
fn count<K: Ord>(counts: &mut BTreeMap<K, usize>, of: K, added: bool) {
    if added {
        *counts.entry(of).or_default() += 1;
    } else if let Some(count) = counts.get_mut(&of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(kind: u8, id: u128) -> Key {
        Key { kind: Kind(kind), id: Uuid::from_u128(id) }
    }

    fn known(kinds: &[u8], fields: &[&str]) -> Known {
        Known {
            kinds: kinds.iter().copied().map(Kind).collect(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        }
    }

    #[test]
    fn counts_follow_the_changes() {
        let mut requirements = Requirements::default();
        let lacks = |requirements: &Requirements, known: &Known| {
            requirements.lacking(known, Position::default()).map(|lacking| lacking.message())
        };
        requirements.change(key(1, 1), None, Some(br#"{"host":"a"}"#));
        requirements.change(key(199, 1), None, Some(b"ignored"));
        assert_eq!(lacks(&requirements, &known(&[1], &[])), None);
        let message = "does not know the kind services, of which the configuration has 1";
        assert_eq!(lacks(&requirements, &known(&[2], &[])).as_deref(), Some(message));

        requirements.change(key(99, 1), None, Some(b"?"));
        requirements.change(key(99, 2), None, Some(b"?"));
        requirements.change(key(99, 2), Some(b"?"), Some(b"!"));
        let message = "does not know kind 99, of which the configuration has 2";
        assert_eq!(lacks(&requirements, &known(&[1], &[])).as_deref(), Some(message));
        requirements.change(key(99, 1), Some(b"?"), None);
        requirements.change(key(99, 2), Some(b"!"), None);
        assert_eq!(lacks(&requirements, &known(&[1], &[])), None);

        let plain = br#"{"host":"a"}"#;
        let marked = br#"{"host":"a","!order":1}"#;
        requirements.change(key(1, 1), Some(plain), Some(marked));
        requirements.change(key(1, 1), Some(marked), Some(marked));
        let message = "does not know the field services.order, which 1 entity has";
        assert_eq!(lacks(&requirements, &known(&[1], &["routes.order"])).as_deref(), Some(message));
        assert_eq!(lacks(&requirements, &known(&[1], &["services.order"])), None);
        requirements.change(key(1, 1), Some(marked), Some(plain));
        assert_eq!(lacks(&requirements, &known(&[1], &[])), None);
    }

    #[test]
    fn reason_names_a_few_and_counts_the_rest() {
        let mut requirements = Requirements::default();
        for kind in 90..95 {
            requirements.change(key(kind, 1), None, Some(b"?"));
        }
        let lacking = requirements.lacking(&Known::default(), Position::default()).unwrap();
        let message = lacking.message();
        assert!(message.contains("kind 92") && message.ends_with("; nor 2 more"), "{message}");
        assert_eq!(lacking.kind_names().len(), 5);
    }
}
