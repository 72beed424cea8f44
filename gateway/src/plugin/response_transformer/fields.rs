//! Edits of the header of an answer.

use crate::plugin::AnswerFields;
use crate::plugin::content::TooManyEntries;
use crate::plugin::edits::{Editable, is_reserved};

/// The header of an answer.
pub(super) struct Fields<'a>(pub(super) &'a mut AnswerFields);

impl Editable<String, &str> for Fields<'_> {
    fn remove(&mut self, name: &String) -> Result<bool, TooManyEntries> {
        let removes = !is_reserved(name) && self.0.has(name);
        if removes {
            self.0.remove(name);
        }
        Ok(removes)
    }

    fn rename(&mut self, old: &String, new: &String) -> Result<bool, TooManyEntries> {
        let renames = !is_reserved(old) && !is_reserved(new) && self.0.has(old);
        if renames {
            if !old.eq_ignore_ascii_case(new) {
                self.0.remove(new);
            }
            self.0.rename(old, new);
        }
        Ok(renames)
    }

    fn replace(&mut self, name: &String, value: &str) -> Result<bool, TooManyEntries> {
        let replaces = !is_reserved(name) && self.0.has(name);
        if replaces {
            self.0.set(name, value);
        }
        Ok(replaces)
    }

    fn add(&mut self, name: &String, value: &str) -> Result<bool, TooManyEntries> {
        let adds = !is_reserved(name) && !self.0.has(name);
        if adds {
            self.0.append(name, value);
        }
        Ok(adds)
    }

    fn append(&mut self, name: &String, value: &str) -> Result<bool, TooManyEntries> {
        let appends = !is_reserved(name);
        if appends {
            self.0.append(name, value);
        }
        Ok(appends)
    }
}
