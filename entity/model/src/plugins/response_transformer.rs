//! The configuration of response-transformer.

use model_derive::Record;

use super::edits::{self, BODY_BYTES, ENTRIES, ENTRY, MOST_BODY_BYTES};
use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::types::words;

/// Changes an answer on its way to the client, also one of the gateway's own: its header and, if it is JSON, its
/// body. It removes, renames, replaces, adds and appends, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ResponseTransformer {
    /// Names that are removed.
    #[field(default = ResponseNames::default())]
    pub remove: ResponseNames,
    /// Names that are changed if they are there, `old:new`.
    #[field(default = ResponseRenames::default())]
    pub rename: ResponseRenames,
    /// Values that are changed if they are there, `name:value`.
    #[field(default = ResponseValues::default())]
    pub replace: ResponseValues,
    /// Values that are added if they are not there, `name:value`.
    #[field(default = ResponseValues::default())]
    pub add: ResponseValues,
    /// Values that are added beside those that are there, `name:value`.
    #[field(default = ResponseValues::default())]
    pub append: ResponseValues,
    /// Whether a dot in the name of a JSON member is a part of the name. Otherwise it leads into an object or, with
    /// an index from 0, into a list.
    #[field(default = true, quiet)]
    pub dots_in_keys: bool,
    /// The most bytes of a body that is changed. A longer answer becomes 502.
    #[field(default = BODY_BYTES, between(1, MOST_BODY_BYTES), quiet)]
    pub max_body_bytes: u32,
}

/// Names that are removed from an answer.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ResponseNames {
    /// Members of the body.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY)]
    pub json: Vec<String>,
    /// Fields of the header.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY)]
    pub headers: Vec<String>,
}

/// Names of an answer that are changed, `old:new`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ResponseRenames {
    /// Members of the body.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::divided)]
    pub json: Vec<String>,
    /// Fields of the header.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::header_and_header)]
    pub headers: Vec<String>,
}

/// Values of an answer, `name:value`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ResponseValues {
    /// Members of the body.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::divided)]
    pub json: Vec<String>,
    /// The types of these members, in the same order; a member without one is a string.
    #[field(default = Vec::new(), most = ENTRIES)]
    pub json_types: Vec<JsonType>,
    /// Fields of the header.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::header_and_value)]
    pub headers: Vec<String>,
}

words! {
    /// The type of a member of a JSON body.
    JsonType {
        /// `true` or `false`.
        Boolean = "boolean",
        /// A number.
        Number = "number",
        /// A string.
        String = "string",
    }
}

impl ResponseTransformer {
    /// Whether the body of an answer may be changed.
    pub fn changes_body(&self) -> bool {
        let lists =
            [&self.remove.json, &self.rename.json, &self.replace.json, &self.add.json, &self.append.json];
        lists.iter().any(|list| !list.is_empty())
    }
}

impl Check for ResponseTransformer {}
impl Check for ResponseNames {}
impl Check for ResponseRenames {}
impl Check for ResponseValues {}

impl PluginConfig for ResponseTransformer {
    const NAME: &'static str = "response-transformer";
    const PRIORITY: i32 = 800;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let names = || json!({ "json": [], "headers": [] });
        let values = || json!({ "json": [], "json_types": [], "headers": [] });
        let all = json!({
            "remove": names(), "rename": names(), "replace": values(), "add": values(), "append": values(),
        });
        assert_eq!(view(ResponseTransformer::NAME, &json!({})), all);
    }

    #[test]
    fn fields_have_their_texts() {
        let mut cases = vec![
            (json!({ "rename": { "json": ["a"] } }), "config.rename.json.1: invalid value: a".to_owned()),
            (
                json!({ "rename": { "headers": ["a"] } }),
                "config.rename.headers.1: invalid value: a".to_owned(),
            ),
            (
                json!({ "rename": { "headers": ["a b:c"] } }),
                "config.rename.headers.1: 'a b' is not a valid header".to_owned(),
            ),
            (
                json!({ "rename": { "headers": ["a:b c"] } }),
                "config.rename.headers.1: 'b c' is not a valid header".to_owned(),
            ),
        ];
        for list in ["replace", "add", "append"] {
            for (part, entry, message) in [
                ("headers", "a", "invalid value: a"),
                ("headers", "a b:c", "'a b' is not a valid header"),
                ("json", "a", "invalid value: a"),
                ("json_types", "text", "expected one of: boolean, number, string"),
            ] {
                cases
                    .push((json!({ list: { part: [entry] } }), format!("config.{list}.{part}.1: {message}")));
            }
        }
        for (config, message) in cases {
            assert_eq!(broken(ResponseTransformer::NAME, &config), [message], "{config}");
        }
        assert_eq!(
            broken(ResponseTransformer::NAME, &json!({ "add": { "headers": ["a:b\r\nc: d"] } })).len(),
            1
        );
    }
}
