//! udp-log: sends an entry for each request as a datagram.

use std::collections::BTreeMap;

use model_derive::Record;

use super::{custom_field, redact};
use crate::bounds;
use crate::check::{host, text};
use crate::plugin::PluginConfig;
use crate::record::Check;
use crate::types::Number;

/// The configuration of udp-log.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct UdpLog {
    /// The host of the collector.
    #[field(required, longest = bounds::HOST, is = host::host)]
    pub host: String,
    /// Its port.
    #[field(required, between(0, 65_535))]
    pub port: u16,
    /// The most milliseconds to send.
    #[field(default = Number::whole(10_000), between(1, 3_600_000))]
    pub timeout: Number,
    /// Fields of the entry: programs of Lua that return a constant, a look-up, or nil to remove the field.
    #[field(
        most = custom_field::MOST,
        longest = custom_field::LONGEST,
        key = custom_field::name,
        is = custom_field::program
    )]
    pub custom_fields_by_lua: Option<BTreeMap<String, String>>,
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

impl Check for UdpLog {}

impl PluginConfig for UdpLog {
    const NAME: &'static str = "udp-log";
    const PRIORITY: i32 = 8;
}
