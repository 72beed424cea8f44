//! A consumer as the data plane uses it.

use std::sync::atomic::{AtomicBool, Ordering};

use compact_str::CompactString;
use uuid::Uuid;

use super::{Name, References, Refusal, Section};

/// Someone who sends requests. Each request copies it. Names of at most 24 bytes together are in it, on one line of the
/// cache with the counts of its `Arc`; longer ones cost the copy an allocation.
#[derive(Debug)]
pub struct Consumer {
    /// Identity.
    pub id: Uuid,
    /// The username, and the custom id behind it.
    names: CompactString,
    /// Where the custom id begins.
    middle: u32,
    has_username: bool,
    has_custom_id: bool,
    is_superseded: AtomicBool,
}

impl Consumer {
    /// Unique name.
    pub fn username(&self) -> Option<&str> {
        self.names.get(..self.middle as usize).filter(|_| self.has_username)
    }

    /// Unique id in a system of the operator's.
    pub fn custom_id(&self) -> Option<&str> {
        self.names.get(self.middle as usize..).filter(|_| self.has_custom_id)
    }

    /// Notes that the configuration which comes next has a later form of it, or none. Earlier ones have it still.
    /// That configuration is published later, and whatever reads it sees the note.
    pub fn supersede(&self) {
        self.is_superseded.store(true, Ordering::Relaxed);
    }

    /// Whether it may not be that of the latest configuration.
    pub(super) fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::Relaxed)
    }
}

impl Section for Consumer {
    type Entity = model::Consumer;

    fn compile(consumer: &model::Consumer, _: References) -> Result<Self, Refusal> {
        let model::Consumer { id, username, custom_id, .. } = consumer;
        let mut names = CompactString::from(username.as_deref().unwrap_or_default());
        // A record is smaller than 4 GiB.
        let middle = names.len() as u32;
        names.push_str(custom_id.as_deref().unwrap_or_default());
        let (has_username, has_custom_id) = (username.is_some(), custom_id.is_some());
        let is_superseded = AtomicBool::new(false);
        Ok(Self { id: *id, names, middle, has_username, has_custom_id, is_superseded })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }
}

impl Name for Consumer {
    type Key = str;

    const FIELD: &'static str = "username";

    fn name(&self) -> Option<&str> {
        self.username()
    }
}

impl Clone for Consumer {
    fn clone(&self) -> Self {
        Self { names: self.names.clone(), is_superseded: AtomicBool::new(false), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumer_takes_one_line_of_the_cache_with_its_counts() {
        assert!(size_of::<Consumer>() + 2 * size_of::<usize>() <= 64);
    }

    #[test]
    fn both_names_are_told_apart() {
        let all = [None, Some(""), Some("a"), Some("ä-name-that-is-too-long-to-stand-in-it")];
        for (username, custom_id) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
            let [username, custom_id] = [username, custom_id].map(|name| name.map(str::to_owned));
            let declared = model::Consumer { username, custom_id, ..model::Consumer::default() };
            let compiled = Consumer::compile(&declared, References::NONE).unwrap();
            for consumer in [&compiled, &compiled.clone()] {
                assert_eq!(consumer.username(), declared.username.as_deref());
                assert_eq!(consumer.custom_id(), declared.custom_id.as_deref());
            }
        }
    }
}
