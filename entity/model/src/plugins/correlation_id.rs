//! The configuration of correlation-id.

use model_derive::Record;

use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::types::words;

/// Gives every request an id, by which its way through several programs can be followed.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct CorrelationId {
    /// The header field that holds the id. One that a client sends stays.
    #[field(default = "Kong-Request-ID".to_owned(), longest = bounds::HEADER_NAME, is = text::field_name)]
    pub header_name: String,
    /// How an id is made.
    #[field(default = IdGenerator::Counter)]
    pub generator: IdGenerator,
    /// Whether the answer has the field, too.
    #[field(default = false)]
    pub echo_downstream: bool,
}

words! {
    /// How an id is made.
    IdGenerator {
        /// A UUID for each request.
        Uuid = "uuid",
        /// One UUID of the process and a number that counts up.
        Counter = "uuid#counter",
        /// Addresses, numbers of the process, of the connection and of the request on it, and the time.
        Tracker = "tracker",
    }
}

impl Check for CorrelationId {}

impl PluginConfig for CorrelationId {
    const NAME: &'static str = "correlation-id";
    const PRIORITY: i32 = 100_001;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::tests::{broken, view};

    #[test]
    fn fields_have_their_texts() {
        let all = json!({ "header_name": "Kong-Request-ID", "generator": "uuid#counter", "echo_downstream": false });
        assert_eq!(view(CorrelationId::NAME, &json!({})), all);
        for (config, message) in [
            (json!({ "generator": "x" }), "config.generator: expected one of: uuid, uuid#counter, tracker"),
            (
                json!({ "header_name": "a b" }),
                "config.header_name: bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
            ),
            (json!({ "header_name": 5 }), "config.header_name: expected a string"),
        ] {
            assert_eq!(broken(CorrelationId::NAME, &config), [message], "{config}");
        }
    }
}
