//! The configuration of request-transformer.

use model_derive::Record;

use super::edits::{self, BODY_BYTES, ENTRIES, ENTRY, MOST_BODY_BYTES};
use crate::bounds;
use crate::plugin::PluginConfig;
use crate::record::Check;

/// Changes a request on its way to the upstream: first its path, then its method, its header, its body and its
/// query; of each it removes, renames, replaces, adds and appends, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestTransformer {
    /// The method that goes upstream; null: that of the request.
    #[field(longest = bounds::METHOD, is = edits::method)]
    pub http_method: Option<String>,
    /// Names that are removed.
    #[field(default = RequestNames::default())]
    pub remove: RequestNames,
    /// Names that are changed if they are there, `old:new`.
    #[field(default = RequestRenames::default())]
    pub rename: RequestRenames,
    /// Values that are changed if they are there, `name:value`.
    #[field(default = RequestReplacements::default())]
    pub replace: RequestReplacements,
    /// Values that are added if they are not there, `name:value`.
    #[field(default = RequestValues::default())]
    pub add: RequestValues,
    /// Values that are added beside those that are there, `name:value`.
    #[field(default = RequestValues::default())]
    pub append: RequestValues,
    /// Whether a dot in the name of a JSON member is a part of the name. Otherwise it leads into an object or, with
    /// an index from 0, into a list.
    #[field(default = true, quiet)]
    pub dots_in_keys: bool,
    /// The most bytes of a body that is changed. A longer one is answered 413.
    #[field(default = BODY_BYTES, between(1, MOST_BODY_BYTES), quiet)]
    pub max_body_bytes: u32,
}

/// Names that are removed from a request.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestNames {
    /// Members of the body.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY)]
    pub body: Vec<String>,
    /// Fields of the header.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY)]
    pub headers: Vec<String>,
    /// Arguments of the query.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY)]
    pub querystring: Vec<String>,
}

/// Names of a request that are changed, `old:new`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestRenames {
    /// Members of the body.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::name_and_value)]
    pub body: Vec<String>,
    /// Fields of the header.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::header_and_header)]
    pub headers: Vec<String>,
    /// Arguments of the query.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::name_and_value)]
    pub querystring: Vec<String>,
}

/// Values of a request that are changed, `name:value`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestReplacements {
    /// The path that goes upstream, in place of those of the service and of the request.
    #[field(longest = ENTRY, is = edits::path_template)]
    pub uri: Option<String>,
    /// Members of the body.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::name_and_template)]
    pub body: Vec<String>,
    /// Fields of the header.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::header_and_template)]
    pub headers: Vec<String>,
    /// Arguments of the query.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::name_and_template)]
    pub querystring: Vec<String>,
}

/// Values of a request that are added, `name:value`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestValues {
    /// Members of the body.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::name_and_template)]
    pub body: Vec<String>,
    /// Fields of the header.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::header_and_template)]
    pub headers: Vec<String>,
    /// Arguments of the query.
    #[field(default = Vec::new(), most = ENTRIES, longest = ENTRY, is = edits::name_and_template)]
    pub querystring: Vec<String>,
}

impl RequestTransformer {
    /// Whether the body of a request may be changed.
    pub fn changes_body(&self) -> bool {
        let lists =
            [&self.remove.body, &self.rename.body, &self.replace.body, &self.add.body, &self.append.body];
        lists.iter().any(|list| !list.is_empty())
    }
}

impl Check for RequestTransformer {}
impl Check for RequestNames {}
impl Check for RequestRenames {}
impl Check for RequestReplacements {}
impl Check for RequestValues {}

impl PluginConfig for RequestTransformer {
    const NAME: &'static str = "request-transformer";
    const PRIORITY: i32 = 801;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn defaults() {
        let lists = || json!({ "body": [], "headers": [], "querystring": [] });
        let replace = json!({ "uri": null, "body": [], "headers": [], "querystring": [] });
        let all = json!({
            "http_method": null, "remove": lists(), "rename": lists(), "replace": replace, "add": lists(),
            "append": lists(),
        });
        assert_eq!(view(RequestTransformer::NAME, &json!({})), all);
        assert_eq!(view(RequestTransformer::NAME, &json!({ "dots_in_keys": false }))["dots_in_keys"], false);
    }

    #[test]
    fn fields_have_their_texts() {
        let unknown = "unknown name 'x', expected one of: headers, query_params, uri_captures, shared";
        let template = format!("value '$(x)' is not in supported format, error:{unknown}");
        let mut cases = vec![
            (
                json!({ "max_body_bytes": 0 }),
                "config.max_body_bytes: value should be between 1 and 67108864".to_owned(),
            ),
            (json!({ "http_method": "get" }), "config.http_method: invalid value: get".to_owned()),
            (json!({ "http_method": "CONNECT" }), "config.http_method: invalid value: CONNECT".to_owned()),
            (json!({ "remove": 5 }), "config.remove: expected a record".to_owned()),
            (json!({ "remove": { "headers": "x" } }), "config.remove.headers: expected an array".to_owned()),
            (json!({ "remove": { "uri": "/" } }), "config.remove.uri: unknown field".to_owned()),
            (
                json!({ "rename": { "body": ["a:b", "a"] } }),
                "config.rename.body.2: key 'a' has no value".to_owned(),
            ),
            (
                json!({ "rename": { "headers": ["a"] } }),
                "config.rename.headers.1: invalid value: a".to_owned(),
            ),
            (
                json!({ "rename": { "headers": ["a:b c"] } }),
                "config.rename.headers.1: 'b c' is not a valid header".to_owned(),
            ),
            (
                json!({ "replace": { "uri": "/$(x)" } }),
                format!("config.replace.uri: value '/$(x)' is not in supported format, error:{unknown}"),
            ),
        ];
        for list in ["replace", "add", "append"] {
            for (part, entry, message) in [
                ("headers", "a", "invalid value: a"),
                ("headers", "a b:c", "'a b' is not a valid header"),
                ("headers", "a:$(x)", &template),
                ("body", "a", "key 'a' has no value"),
                ("body", "a:$(x)", &template),
                ("querystring", "a:", "key 'a' has no value"),
                ("querystring", "a:$(x)", &template),
            ] {
                cases
                    .push((json!({ list: { part: [entry] } }), format!("config.{list}.{part}.1: {message}")));
            }
        }
        for (config, message) in cases {
            assert_eq!(broken(RequestTransformer::NAME, &config), [message], "{config}");
        }
        let long = json!({ "add": { "headers": vec!["a:b"; ENTRIES + 1] } });
        assert_eq!(
            broken(RequestTransformer::NAME, &long),
            ["config.add.headers: must have at most 200 elements, it has 201"]
        );
        let good =
            json!({ "add": { "headers": ["x-a: $(headers['x'] or 'y')", "x-b:"], "body": ["a:b:c"] } });
        assert_eq!(view(RequestTransformer::NAME, &good)["add"]["headers"], good["add"]["headers"]);
    }
}
