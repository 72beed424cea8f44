//! The plugin `proxy-cache`: which answers are kept, for how long, and what tells two requests apart.

use model_derive::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bounds;
use crate::plugin::PluginConfig;
use crate::record::Check;
use crate::types::Word;
use crate::violations::Violations;

/// The names of Kong's shared memory zones. Gibbon has none: the field only keeps its checks.
const ZONES: [&str; 14] = [
    "kong",
    "kong_locks",
    "kong_healthchecks",
    "kong_cluster_events",
    "kong_rate_limiting_counters",
    "kong_core_db_cache",
    "kong_core_db_cache_miss",
    "kong_db_cache",
    "kong_db_cache_miss",
    "kong_secrets",
    "kong_dns_cache",
    "kong_keyring",
    "kong_profiling_state",
    "prometheus_metrics",
];

/// The configuration of `proxy-cache`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ProxyCache {
    /// The statuses of the answers that are kept.
    #[field(default = vec![200, 301, 404], fewest = 1, most = bounds::STATUSES, between(100, 900))]
    pub response_code: Vec<u16>,
    /// The methods of the requests whose answers are kept.
    #[field(default = vec![CachedMethod::Get, CachedMethod::Head], most = bounds::PLUGIN_LIST)]
    pub request_method: Vec<CachedMethod>,
    /// The types of the answers that are kept. One without parameters fits any parameters.
    #[field(
        default = vec!["text/plain".to_owned(), "application/json".to_owned()],
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME
    )]
    pub content_type: Vec<String>,
    /// How long an answer is fresh, in seconds.
    #[field(default = 300, gt(0))]
    pub cache_ttl: i64,
    /// Where answers are kept.
    #[field(required)]
    pub strategy: CacheStrategy,
    /// Whether the fields Cache-Control and Expires of requests and answers count.
    #[field(default = false)]
    pub cache_control: bool,
    /// Whether paths that differ in case alone are the same.
    #[field(default = false)]
    pub ignore_uri_case: bool,
    /// How long an answer is kept, in seconds; null: as long as it is fresh.
    pub storage_ttl: Option<i64>,
    /// Kept for Kong's clients and without effect: the data plane's `cache.max_bytes` bounds all answers.
    #[field(default = CacheMemory::default())]
    pub memory: CacheMemory,
    /// The query arguments that tell requests apart; null: all.
    #[field(most = bounds::PLUGIN_LIST, longest = bounds::HEADER_NAME)]
    pub vary_query_params: Option<Vec<String>>,
    /// The header fields that tell requests apart, beside those that an answer's Vary names.
    #[field(most = bounds::PLUGIN_LIST, longest = bounds::HEADER_NAME)]
    pub vary_headers: Option<Vec<String>>,
    /// The header fields that answers get.
    #[field(default = CacheHeaders::default())]
    pub response_headers: CacheHeaders,
    /// Whether answers are kept, without `cache_control`, that say that they are not to be shared: with
    /// Cache-Control `private` or `no-store`, or with Set-Cookie.
    #[field(default = false, quiet)]
    pub store_private: bool,
}

/// Kong's shared memory.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct CacheMemory {
    /// Its name.
    #[field(default = "kong_db_cache".to_owned(), longest = bounds::HEADER_NAME)]
    pub dictionary_name: String,
}

/// The header fields that tell what the cache did.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct CacheHeaders {
    /// Whether an answer of the cache has `Age`.
    #[field(default = true)]
    pub age: bool,
    /// Whether answers have `X-Cache-Status`.
    #[field(default = true, name = "X-Cache-Status")]
    pub status: bool,
    /// Whether answers have `X-Cache-Key`.
    #[field(default = true, name = "X-Cache-Key")]
    pub key: bool,
}

/// A method whose answers may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CachedMethod {
    /// HEAD.
    Head,
    /// GET.
    Get,
    /// POST.
    Post,
    /// PATCH.
    Patch,
    /// PUT.
    Put,
}

/// Where answers are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheStrategy {
    /// In the memory of each data plane.
    #[default]
    Memory,
}

impl Word for CachedMethod {
    const ALL: &'static [Self] = &[Self::Head, Self::Get, Self::Post, Self::Patch, Self::Put];

    fn as_str(self) -> &'static str {
        match self {
            Self::Head => "HEAD",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
        }
    }
}

impl Word for CacheStrategy {
    const ALL: &'static [Self] = &[Self::Memory];

    fn as_str(self) -> &'static str {
        "memory"
    }
}

impl Check for ProxyCache {
    fn rules(&self, violations: &mut Violations) {
        let zone = self.memory.dictionary_name.as_str();
        if !ZONES.contains(&zone) {
            violations.entity(format!("missing shared dict '{zone}'"));
        }
    }

    fn entity_checks() -> Vec<Value> {
        vec![json!({ "custom_entity_check": { "field_sources": ["config"] } })]
    }
}

impl PluginConfig for ProxyCache {
    const NAME: &'static str = "proxy-cache";
    const PRIORITY: i32 = 100;
}

impl Check for CacheMemory {}
impl Check for CacheHeaders {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nested;
    use crate::record::{Reader, Record, check_written};

    fn read(mut config: Value) -> Result<ProxyCache, Violations> {
        let fields = config.as_object_mut().unwrap();
        fields.entry("strategy").or_insert("memory".into());
        let mut reader = Reader::new(fields.clone(), false, Violations::default());
        let read = ProxyCache::read(&mut reader);
        reader.finish().into_result()?;
        check_written(&read).into_result().map(|()| read)
    }

    #[test]
    fn defaults_are_those_of_kong() {
        let shown = json!({
            "response_code": [200, 301, 404],
            "request_method": ["GET", "HEAD"],
            "content_type": ["text/plain", "application/json"],
            "cache_ttl": 300,
            "strategy": "memory",
            "cache_control": false,
            "ignore_uri_case": false,
            "storage_ttl": null,
            "memory": { "dictionary_name": "kong_db_cache" },
            "vary_query_params": null,
            "vary_headers": null,
            "response_headers": { "age": true, "X-Cache-Status": true, "X-Cache-Key": true },
        });
        assert_eq!(nested::show(&read(json!({})).unwrap()), shown);
        let canonical = serde_json::to_value(read(json!({})).unwrap()).unwrap();
        assert_eq!(canonical, json!({ "strategy": "memory" }));
        let private = read(json!({ "store_private": true })).unwrap();
        assert_eq!(nested::show(&private)["store_private"], true);
    }

    #[test]
    fn canonical_bytes_are_read_back() {
        let written =
            read(json!({ "response_headers": { "X-Cache-Key": false }, "storage_ttl": 10 })).unwrap();
        let bytes = serde_json::to_vec(&written).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"strategy":"memory","storage_ttl":10,"response_headers":{"X-Cache-Key":false}}"#
        );
        assert_eq!(serde_json::from_slice::<ProxyCache>(&bytes).unwrap(), written);
    }

    #[test]
    fn fields_have_their_texts() {
        for (config, message) in [
            (json!({ "strategy": null }), "schema violation (strategy: required field missing)"),
            (json!({ "strategy": "redis" }), "schema violation (strategy: expected one of: memory)"),
            (json!({ "response_code": [] }), "schema violation (response_code: length must be at least 1)"),
            (
                json!({ "response_code": [200, 99] }),
                "schema violation (response_code.2: value should be between 100 and 900)",
            ),
            (json!({ "response_code": 200 }), "schema violation (response_code: expected an array)"),
            (
                json!({ "request_method": ["DELETE"] }),
                "schema violation (request_method.1: expected one of: HEAD, GET, POST, PATCH, PUT)",
            ),
            (json!({ "content_type": [1] }), "schema violation (content_type.1: expected a string)"),
            (json!({ "cache_ttl": 0 }), "schema violation (cache_ttl: value must be greater than 0)"),
            (json!({ "cache_ttl": -5 }), "schema violation (cache_ttl: value must be greater than 0)"),
            (json!({ "cache_ttl": "x" }), "schema violation (cache_ttl: expected an integer)"),
            (json!({ "storage_ttl": 1.5 }), "schema violation (storage_ttl: expected an integer)"),
            (json!({ "cache_control": 1 }), "schema violation (cache_control: expected a boolean)"),
            (
                json!({ "memory": { "dictionary_name": "nope" } }),
                "schema violation (missing shared dict 'nope')",
            ),
            (json!({ "memory": 1 }), "schema violation (memory: expected a record)"),
            (
                json!({ "response_headers": { "Age": true } }),
                "schema violation (response_headers.Age: unknown field)",
            ),
            (
                json!({ "response_headers": { "X-Cache-Key": "no" } }),
                "schema violation (response_headers.X-Cache-Key: expected a boolean)",
            ),
            (json!({ "redis": {} }), "schema violation (redis: unknown field)"),
        ] {
            assert_eq!(read(config.clone()).unwrap_err().to_string(), message, "{config}");
        }
    }
}
