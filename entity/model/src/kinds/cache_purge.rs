//! An order of an operator to remove answers that `proxy-cache` has kept. No declarative configuration changes
//! it.
//!
//! A data plane that restarts has nothing kept, and one that sees an order again removes no more than it did
//! before. So an order may travel like any entity. Its number says that older data planes may ignore it: they
//! keep nothing.

use model_derive::Record;
use ring::digest::{SHA256, digest};
use uuid::{Builder, Uuid};
use wire::Kind;

use crate::entity::Entity;
use crate::kind;
use crate::record::Check;
use crate::types::Number;

/// An order to remove answers. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct CachePurge {
    /// Identity, by what it removes; taken from the record's key. See [`CachePurge::id_of`].
    #[field(skip)]
    pub id: Uuid,
    /// The instance of the plugin whose answers are removed; null: all.
    pub plugin: Option<Uuid>,
    /// The key of the answers that are removed, 64 hexadecimal digits in lower case; null: all.
    #[field(is = cache_key)]
    pub key: Option<String>,
    /// When the operator has given it, in seconds since 1970 with milliseconds. The same order given again is a
    /// new one.
    #[field(default = Number::whole(0), between(0, 429_496_729_500))]
    pub set_at: Number,
}

impl CachePurge {
    /// The id of an order to remove the answers of one instance or all, with one key or any.
    pub fn id_of(plugin: Option<Uuid>, key: Option<&str>) -> Uuid {
        let mut named = plugin.unwrap_or_default().into_bytes().to_vec();
        named.extend(key.unwrap_or_default().bytes());
        let hash = digest(&SHA256, &named);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Whether a text can be the key of an answer.
    pub fn is_key(text: &str) -> bool {
        text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

fn cache_key(text: &str) -> Result<(), String> {
    if CachePurge::is_key(text) { Ok(()) } else { Err("expected 64 hexadecimal digits".to_owned()) }
}

impl Check for CachePurge {}

impl Entity for CachePurge {
    const KIND: Kind = kind::CACHE_PURGE;
    const NOUN: &'static str = "order to remove kept answers";
    const HAS_COLLECTION: bool = false;
    const OPERATIONAL: bool = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_have_an_id_for_each_scope() {
        let (plugin, key) = (Some(Uuid::from_u128(1)), "a".repeat(64));
        let ids = [(None, None), (plugin, None), (None, Some(&*key)), (plugin, Some(&*key))]
            .map(|(plugin, key)| CachePurge::id_of(plugin, key));
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id));
        }
        assert_eq!(CachePurge::id_of(plugin, None), ids[1]);
    }

    #[test]
    fn keys_are_hashes() {
        for (text, is_key) in [("a".repeat(64), true), ("A".repeat(64), false), ("a".repeat(63), false)] {
            let purge = CachePurge { key: Some(text.clone()), ..CachePurge::default() };
            assert_eq!(purge.validate().is_ok(), is_key, "{text}");
        }
    }
}
