//! The host of an upstream.

use std::net::IpAddr;

/// The host of an upstream.
#[derive(Clone, Debug)]
pub enum Host {
    /// An address: nothing to resolve.
    Address(IpAddr),
    /// A name, in lower case.
    Name(Box<str>),
}

impl Host {
    /// Reads a host without a port. The address may be in the brackets of IPv6.
    pub fn new(host: &str) -> Self {
        match Self::without_brackets(host).parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::Name(host.to_ascii_lowercase().into()),
        }
    }

    /// `host` without the brackets of an IPv6 address.
    pub fn without_brackets(host: &str) -> &str {
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
    }
}
