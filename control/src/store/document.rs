//! Entities as they are stored: documents of all kinds in one table, and beside it the values of unique
//! fields, the references and the tags, which follow from the document.

use bytes::Bytes;
use entity::document::Model;
use model::{Common, Content, Reference};
use sea_orm::ActiveValue::Set;
use sea_orm::JsonValue;
use uuid::Uuid;
use wire::{Key, Kind};

/// An entity as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its kind and its id.
    pub key: Key,
    /// Its canonical bytes.
    pub body: Bytes,
    /// A set of strings by which entities are selected.
    pub tags: Option<Vec<String>>,
    /// When it was created, in the unit of its kind ([`model::Times`]).
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// An entity that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The entity.
    pub document: Document,
    /// The values of its unique fields, by name.
    pub unique: Vec<(&'static str, String)>,
    /// The entities that it names.
    pub references: Vec<Reference>,
}

impl Document {
    /// The fields that entities of all kinds have.
    pub fn common(&self) -> Common {
        Common {
            id: self.key.id,
            created_at: self.created_at,
            updated_at: self.updated_at,
            tags: self.tags.clone(),
        }
    }

    /// Its content. A document that this version cannot read names nothing.
    pub(super) fn content(&self) -> Content {
        let read = model::described(self.key.kind).and_then(|kind| kind.content(&self.body).ok());
        read.unwrap_or_else(|| Content {
            bytes: self.body.to_vec(),
            unique: Vec::new(),
            references: Vec::new(),
        })
    }

    /// Whether another document of the entity differs only in the time of its writing.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.body, &self.tags, self.created_at) == (&other.body, &other.tags, other.created_at)
    }

    pub(super) fn row(&self) -> entity::document::ActiveModel {
        entity::document::ActiveModel {
            kind: Set(number(self.key.kind)),
            id: Set(self.key.id),
            body: Set(text(&self.body)),
            tags: Set(self.tags.as_ref().map(|tags| JsonValue::from(tags.as_slice()))),
            created_at: Set(self.created_at),
            updated_at: Set(self.updated_at),
        }
    }
}

impl Draft {
    /// An entity with this content.
    pub fn new(kind: Kind, common: Common, content: Content) -> Self {
        let Common { id, created_at, updated_at, tags } = common;
        let Content { bytes, unique, references } = content;
        let document = Document { key: Key { kind, id }, body: bytes.into(), tags, created_at, updated_at };
        Self { document, unique, references }
    }
}

impl From<Model> for Document {
    fn from(row: Model) -> Self {
        let tags = row.tags.as_ref().and_then(JsonValue::as_array);
        let tags = tags.map(|tags| tags.iter().filter_map(JsonValue::as_str).map(str::to_owned).collect());
        Self {
            key: Key { kind: kind(row.kind), id: row.id },
            // Without the spare memory of the row's text: a process may hold millions.
            body: row.body.into_bytes().into_boxed_slice().into(),
            tags,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The number of a kind, as a column holds it.
pub(super) fn number(kind: Kind) -> i16 {
    i16::from(kind.0)
}

/// The kind of a number.
pub(super) fn kind(number: i16) -> Kind {
    Kind(u8::try_from(number).unwrap_or_default())
}

/// Canonical bytes as a column holds them. They are JSON, and so UTF-8.
pub(super) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// Keys by kind, for statements about one kind at a time.
pub(super) fn by_kind(keys: impl Iterator<Item = Key>) -> std::collections::BTreeMap<Kind, Vec<Uuid>> {
    let mut ids = std::collections::BTreeMap::<Kind, Vec<Uuid>>::new();
    keys.for_each(|key| ids.entry(key.kind).or_default().push(key.id));
    ids
}
