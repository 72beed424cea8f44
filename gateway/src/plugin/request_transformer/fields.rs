//! Edits of the header of a request.

use http::header::{HOST, HeaderName, HeaderValue};

use crate::message::FieldName;
use crate::names;
use crate::plugin::Exchange;
use crate::plugin::content::TooManyEntries;
use crate::plugin::edits::{self, Editable};

/// The header of a request.
pub(super) struct RequestFields<'e, 'r> {
    exchange: &'e mut Exchange<'r>,
    /// The names that were added: each of several entries of one name adds a field.
    added: Vec<HeaderName>,
}

impl<'e, 'r> RequestFields<'e, 'r> {
    pub(super) fn new(exchange: &'e mut Exchange<'r>) -> Self {
        Self { exchange, added: Vec::new() }
    }

    fn has(&self, name: &FieldName) -> bool {
        self.exchange.headers().contains_key(name.lower())
    }
}

/// Whether the gateway writes a field. To the chain of addresses it adds the client's, which a plugin cannot change.
fn is_reserved(name: &FieldName) -> bool {
    *name.lower() == HOST
        || *name.lower() == names::FORWARDED_FOR.lower
        || edits::is_reserved(name.lower().as_str())
}

impl Editable<FieldName, HeaderValue> for RequestFields<'_, '_> {
    fn remove(&mut self, name: &FieldName) -> Result<bool, TooManyEntries> {
        let removes = !is_reserved(name) && self.has(name);
        if removes {
            self.exchange.remove_header(name.lower());
        }
        Ok(removes)
    }

    fn rename(&mut self, old: &FieldName, new: &FieldName) -> Result<bool, TooManyEntries> {
        if is_reserved(old) || is_reserved(new) || !self.has(old) {
            return Ok(false);
        }
        let values: Vec<HeaderValue> = self.exchange.headers().get_all(old.lower()).iter().cloned().collect();
        self.exchange.remove_header(old.lower());
        self.exchange.remove_header(new.lower());
        values.into_iter().for_each(|value| self.exchange.append_header(new, value));
        Ok(true)
    }

    fn replace(&mut self, name: &FieldName, value: HeaderValue) -> Result<bool, TooManyEntries> {
        if *name.lower() == HOST {
            self.exchange.set_upstream_host(value);
            return Ok(true);
        }
        let replaces = !is_reserved(name) && self.has(name);
        if replaces {
            self.exchange.set_header(name, value);
        }
        Ok(replaces)
    }

    fn add(&mut self, name: &FieldName, value: HeaderValue) -> Result<bool, TooManyEntries> {
        let adds = !is_reserved(name) && (!self.has(name) || self.added.contains(name.lower()));
        if adds {
            self.exchange.append_header(name, value);
            self.added.push(name.lower().clone());
        }
        Ok(adds)
    }

    fn append(&mut self, name: &FieldName, value: HeaderValue) -> Result<bool, TooManyEntries> {
        let appends = !is_reserved(name);
        if appends {
            self.exchange.append_header(name, value);
        }
        Ok(appends)
    }
}
