//! Edits of the body of a request.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use model::plugins::RequestTransformer as Config;
use model::template::{Template, Values};
use serde_json::value::RawValue;

use super::type_of;
use super::values::Budget;
use crate::error::RequestFailure;
use crate::plugin::Unusable;
use crate::plugin::content::{Arguments, Json, MediaType, Multipart, Path, TooManyEntries};
use crate::plugin::edits::Edits;

/// The edits of a body, in the names of each form.
#[derive(Debug)]
pub(super) struct BodyEdits {
    json: Edits<Path, Template>,
    other: Edits<Vec<u8>, Template>,
}

/// The values for one request.
pub(super) type BodyValues = Vec<Vec<u8>>;

impl BodyEdits {
    /// Compiles the edits of a configuration.
    ///
    /// # Errors
    /// When it breaks its own rules.
    pub(super) fn compile(config: &Config) -> Result<Self, Unusable> {
        let lists = [
            &config.remove.body,
            &config.rename.body,
            &config.replace.body,
            &config.add.body,
            &config.append.body,
        ];
        let path = |name: &str| Path::new(name, !config.dots_in_keys);
        let name = |name: &str| name.as_bytes().to_vec();
        Ok(Self { json: super::lists::edits(lists, path)?, other: super::lists::edits(lists, name)? })
    }

    /// Renders the values for a request.
    ///
    /// # Errors
    /// When they are too long.
    pub(super) fn render(
        &self,
        values: &dyn Values,
        budget: &mut Budget,
    ) -> Result<BodyValues, RequestFailure> {
        self.other.values().map(|value| budget.render(value, values)).collect()
    }

    /// Whether a request with this header has a body that can be changed.
    pub(super) fn concern(&self, headers: &HeaderMap) -> bool {
        let is_encoded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        !is_encoded && type_of(headers).is_some()
    }

    /// The changed body. `None` when it stays: nothing concerns it, or it is not what its type says.
    ///
    /// # Errors
    /// When it has too many entries.
    pub(super) fn apply(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        values: &BodyValues,
    ) -> Result<Option<Vec<u8>>, TooManyEntries> {
        if body.is_empty() && !self.other.has_values() {
            return Ok(None);
        }
        match type_of(headers) {
            Some(MediaType::Json) => self.change_json(body, values),
            Some(MediaType::Form) => {
                let mut form = Arguments::parse(body)?;
                Ok(self.other.apply(values, &mut form)?.then(|| form.encode()))
            }
            Some(MediaType::Multipart) => {
                let content_type = headers.get(CONTENT_TYPE).map(|own| own.as_bytes());
                let Some(mut form) = Multipart::parse(content_type.unwrap_or_default(), body)? else {
                    return Ok(None);
                };
                Ok(self.other.apply(values, &mut form)?.then(|| form.encode()))
            }
            None => Ok(None),
        }
    }

    fn change_json(&self, body: &[u8], values: &BodyValues) -> Result<Option<Vec<u8>>, TooManyEntries> {
        let json = if body.is_empty() { Some(Json::empty()) } else { Json::parse(body)? };
        let Some(mut json) = json else { return Ok(None) };
        let values = values.iter().map(|value| string(value));
        Ok(self.json.apply(values, &mut json)?.then(|| json.encode()))
    }
}

/// A text as a string of JSON.
fn string(text: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(text);
    serde_json::value::to_raw_value(&text).expect("a string is JSON")
}
