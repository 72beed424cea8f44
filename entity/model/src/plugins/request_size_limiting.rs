//! request-size-limiting: how long the bodies of requests may be.

use model_derive::Record;

use crate::plugin::{PluginConfig, Protocols};
use crate::record::Check;
use crate::types::words;

words! {
    /// The unit of a size.
    SizeUnit {
        /// 1,048,576 bytes.
        Megabytes = "megabytes",
        /// 1,024 bytes.
        Kilobytes = "kilobytes",
        /// Bytes.
        Bytes = "bytes",
    }
}

/// The configuration of request-size-limiting.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RequestSizeLimiting {
    /// The longest body that is allowed; a negative number stands for none.
    #[field(default = 128)]
    pub allowed_payload_size: i64,
    /// The unit of that size.
    #[field(default = SizeUnit::Megabytes)]
    pub size_unit: SizeUnit,
    /// Whether a request must state the length of its body.
    #[field(default = false)]
    pub require_content_length: bool,
}

impl RequestSizeLimiting {
    /// The longest body that is allowed, in bytes.
    pub fn bytes(&self) -> u64 {
        let unit = match self.size_unit {
            SizeUnit::Megabytes => 1 << 20,
            SizeUnit::Kilobytes => 1 << 10,
            SizeUnit::Bytes => 1,
        };
        u64::try_from(self.allowed_payload_size).unwrap_or_default().saturating_mul(unit)
    }
}

impl Check for RequestSizeLimiting {}

impl PluginConfig for RequestSizeLimiting {
    const NAME: &'static str = "request-size-limiting";
    const PRIORITY: i32 = 951;
    const PROTOCOLS: Protocols = Protocols::HTTP;
}
