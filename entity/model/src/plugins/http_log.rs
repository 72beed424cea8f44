//! http-log: sends an entry for each request to a server of HTTP.

use std::collections::BTreeMap;

use model_derive::Record;
use serde_json::{Value, json};

use super::{custom_field, endpoint, redact};
use super::queue::Queue;
use crate::bounds;
use crate::check::text;
use crate::plugin::PluginConfig;
use crate::record::Check;
use crate::types::{Number, words};
use crate::violations::Violations;

words! {
    /// The method of a request to a collector of logs.
    LogMethod {
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
    }

    /// The type of a body of entries.
    LogContentType {
        /// Without a charset.
        Json = "application/json",
        /// With a charset.
        JsonUtf8 = "application/json; charset=utf-8",
    }
}

/// The configuration of http-log.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct HttpLog {
    /// The URL of the server. A query in it is not sent. A user and a password in it are sent as basic
    /// authentication.
    #[field(required, longest = bounds::PLUGIN_TEXT, is = endpoint::http_url)]
    pub http_endpoint: String,
    /// The method.
    #[field(default = LogMethod::Post)]
    pub method: LogMethod,
    /// The type of the body.
    #[field(default = LogContentType::Json)]
    pub content_type: LogContentType,
    /// The most milliseconds to connect, to send, and to wait for the answer.
    #[field(default = Number::whole(10_000), between(1, 3_600_000))]
    pub timeout: Number,
    /// How many milliseconds an unused connection may be kept.
    #[field(default = Number::whole(60_000), between(0, 3_600_000))]
    pub keepalive: Number,
    /// Kept for Kong's clients and without effect.
    pub retry_count: Option<i32>,
    /// Kong's earlier name of `queue.max_batch_size`; another value than 1 counts in its place.
    #[field(between(1, 1_000_000))]
    pub queue_size: Option<u32>,
    /// Kong's earlier name of `queue.max_coalescing_delay`; another value than 2 counts in its place.
    #[field(between(0, 3600))]
    pub flush_timeout: Option<Number>,
    /// Further headers.
    #[field(
        secret,
        most = bounds::PROBE_HEADERS,
        longest = bounds::HEADER_VALUE,
        key = header_name,
        is = text::field_value
    )]
    pub headers: Option<BTreeMap<String, String>>,
    /// How entries are gathered, kept and sent again.
    #[field(default = Queue::default())]
    pub queue: Queue,
    /// Fields of the entry: programs of Lua that return a constant, a look-up, or nil to remove the field.
    #[field(
        most = custom_field::MOST,
        longest = custom_field::LONGEST,
        key = custom_field::name,
        is = custom_field::program
    )]
    pub custom_fields_by_lua: Option<BTreeMap<String, String>>,
    /// Whether the server's certificate is verified.
    #[field(default = true, quiet)]
    pub ssl_verify: bool,
    /// The headers and the arguments of queries whose values entries do not show.
    #[field(
        set,
        quiet,
        default = redact::usual(),
        most = redact::MOST,
        longest = bounds::HEADER_NAME,
        is = text::not_empty
    )]
    pub redact: Vec<String>,
}

impl HttpLog {
    /// The most entries of a batch, and the seconds that it waits for more.
    pub fn batch(&self) -> (u32, Number) {
        let size = self.queue_size.filter(|size| *size != 1).unwrap_or(self.queue.max_batch_size);
        let other = |delay: &Number| *delay != Number::whole(2);
        (size, self.flush_timeout.filter(other).unwrap_or(self.queue.max_coalescing_delay))
    }
}

impl Check for HttpLog {
    fn rules(&self, violations: &mut Violations) {
        let names = self.headers.iter().flat_map(BTreeMap::keys);
        let authorizes = names.into_iter().any(|name| name.eq_ignore_ascii_case("authorization"));
        if authorizes && endpoint::has_user_info(&self.http_endpoint) {
            violations.record(
                "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed",
            );
        }
    }

    fn entity_checks() -> Vec<Value> {
        vec![json!({ "custom_entity_check": { "field_sources": ["config.http_endpoint", "config.headers"] } })]
    }
}

impl PluginConfig for HttpLog {
    const NAME: &'static str = "http-log";
    const PRIORITY: i32 = 12;
}

fn header_name(name: &str) -> Result<(), String> {
    for own in ["Host", "Content-Length", "Content-Type"] {
        if name.eq_ignore_ascii_case(own) {
            return Err(format!("cannot contain '{own}' header"));
        }
    }
    text::field_name(name)
}
