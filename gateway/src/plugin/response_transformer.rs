//! response-transformer: changes an answer on its way to the client, also one of the gateway's own.

mod fields;
mod json;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use model::plugins::ResponseTransformer as Config;
use model::plugins::edits::header_pair;
use serde_json::value::RawValue;

use self::fields::Fields;
use super::content::{Json, Path};
use super::edits::Edits;
use super::{Answer, AnswerFields, Exchange, InstanceTerms, Phases, Plugin, Unusable};
use crate::error::RequestFailure;

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct ResponseTransformer {
    headers: Edits<String, String>,
    json: Edits<Path, Box<RawValue>>,
    /// The most bytes of a body that is changed. A longer one is an answer that the gateway cannot use.
    longest_body: usize,
}

/// Kept of a request whose answer has a body that is changed.
#[derive(Debug)]
struct ChangesBody;

impl Plugin for ResponseTransformer {
    type Config = Config;

    const PHASES: Phases = Phases::ANSWER;

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        Ok(Self {
            headers: headers(config),
            json: json::compile(config),
            longest_body: config.max_body_bytes as usize,
        })
    }

    fn answer(&self, exchange: &mut Exchange<'_>, answer: &mut Answer) {
        self.change_fields(&mut answer.fields);
        if !self.json.is_empty() && answer.has_body() && is_json(&answer.fields) {
            exchange.keep(ChangesBody);
            answer.want_body(self.longest_body);
        }
    }

    fn body(
        &self,
        exchange: &mut Exchange<'_>,
        _answer: &mut Answer,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, RequestFailure> {
        // Another plugin may have asked for the body.
        if exchange.kept::<ChangesBody>().is_none() {
            return Ok(body);
        }
        self.change_body(body)
    }
}

impl ResponseTransformer {
    fn change_fields(&self, fields: &mut AnswerFields) {
        let values = self.headers.values().map(String::as_str);
        let changed = self.headers.apply(values, &mut Fields(fields));
        changed.expect("fields have no greatest number of entries");
    }

    /// The body, changed if it is an object of JSON.
    fn change_body(&self, body: Vec<u8>) -> Result<Vec<u8>, RequestFailure> {
        let too_many = |_| RequestFailure::UpstreamInvalid;
        let Some(mut json) = Json::parse(&body).map_err(too_many)? else { return Ok(body) };
        let changed = self.json.apply(self.json.values().cloned(), &mut json).map_err(too_many)?;
        Ok(if changed { json.encode() } else { body })
    }
}

/// Whether the body is JSON that can be read.
fn is_json(fields: &AnswerFields) -> bool {
    let content_type = fields.get(CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    let has = |name: &[u8]| memchr::memmem::find(&content_type, name).is_some();
    let is_encoded = fields.get(CONTENT_ENCODING.as_str()).is_some_and(|coding| coding != b"identity");
    !is_encoded && (has(b"application/json") || has(b"+json"))
}

fn headers(config: &Config) -> Edits<String, String> {
    let pairs = |list: &[String]| {
        let pairs = list.iter().filter_map(|entry| header_pair(entry));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let values = |list| {
        let mut pairs = pairs(list);
        pairs.retain(|(_, value)| !value.is_empty());
        pairs
    };
    Edits {
        // As in Kong, a value that is written with a name does not count.
        remove: pairs(&config.remove.headers).into_iter().map(|(name, _)| name).collect(),
        rename: pairs(&config.rename.headers),
        replace: values(&config.replace.headers),
        add: values(&config.add.headers),
        append: values(&config.append.headers),
    }
}

#[cfg(test)]
mod tests;
