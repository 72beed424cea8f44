//! Server names.

use entity::sni::{Entity, Model};
use model::Entity as _;
use model::{Violations, validate_tags};
use serde_json::{Value, json};
use uuid::Uuid;

use super::certificate::Certificates;
use super::fields::Fields;
use super::nested::Child;
use super::resource::{Identity, Resource};
use crate::published;
use crate::store::{Selector, Store, StoreError};

/// The collection of server names.
#[derive(Debug)]
pub(super) struct Snis;

impl Resource for Snis {
    type Table = Entity;

    fn identity(row: &Model) -> Identity {
        Identity { id: row.id, created_at: row.created_at, updated_at: row.updated_at }
    }

    async fn find(store: &Store, which: Selector) -> Result<Option<Model>, StoreError> {
        let which = match which {
            Selector::Name(name) => Selector::Name(canonical(&name)),
            id @ Selector::Id(_) => id,
        };
        Self::rows(store).get(&which).await
    }

    fn read(fields: &mut Fields, identity: Identity) -> Model {
        let tags = fields.set("tags");
        validate_tags(tags.as_deref().unwrap_or_default(), fields.violations());
        Model {
            id: identity.id,
            name: canonical(&fields.required_string("name").unwrap_or_default()),
            certificate_id: fields.required_reference("certificate").unwrap_or_default(),
            tags: tags.map(|tags| json!(tags)),
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }

    fn check(row: &Model) -> Result<(), Violations> {
        published::sni(row).validate()
    }

    fn view(row: &Model) -> Value {
        json!({
            "id": row.id,
            "name": row.name,
            "certificate": { "id": row.certificate_id },
            "tags": row.tags,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        })
    }
}

/// Returns the name in lower case and without a final dot: a handshake treats these forms as the same name.
pub(super) fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl Child for Snis {
    type Parent = Certificates;

    const FIELD: &'static str = "certificate";

    const SHOWS_PARENT: bool = false;

    fn parent(row: &Model) -> Option<Uuid> {
        Some(row.certificate_id)
    }

    fn link(row: Model, parent: Uuid) -> Model {
        Model { certificate_id: parent, ..row }
    }
}
