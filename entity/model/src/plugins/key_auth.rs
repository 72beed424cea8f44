//! key-auth: a request must present the API key of a consumer.

use model_derive::Record;

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Scopes};
use crate::record::Check;

/// The configuration of key-auth.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct KeyAuth {
    /// The names of the headers, query arguments and fields of a body that may hold the key.
    #[field(
        default = vec!["apikey".to_owned()],
        most = bounds::PLUGIN_LIST,
        longest = bounds::HEADER_NAME,
        is = text::field_name
    )]
    pub key_names: Vec<String>,
    /// Whether the key is removed before a request goes upstream.
    #[field(default = false)]
    pub hide_credentials: bool,
    /// The id or the name of the consumer of requests that fail; null: they are refused.
    #[field(longest = bounds::NAME)]
    pub anonymous: Option<String>,
    /// Whether the key may be in a header.
    #[field(default = true)]
    pub key_in_header: bool,
    /// Whether the key may be in the query.
    #[field(default = true)]
    pub key_in_query: bool,
    /// Whether the key may be in the body.
    #[field(default = false)]
    pub key_in_body: bool,
    /// Whether requests with the method OPTIONS need a key.
    #[field(default = true)]
    pub run_on_preflight: bool,
    /// The realm of the challenge; null: none.
    #[field(longest = bounds::NAME, is = text::field_value)]
    pub realm: Option<String>,
}

impl Check for KeyAuth {}

impl PluginConfig for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 1250;
    const SCOPES: Scopes = Scopes::WITHOUT_CONSUMER;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}
