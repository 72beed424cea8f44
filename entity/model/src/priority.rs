//! The priority of a route under one of its paths: one integer, the highest first. Kong's router does not try
//! the longest prefix first. Two orders of the same columns exist.
//!
//! [`RouterOrder::Strict`] is that of Kong's documents:
//!
//! | bits | content |
//! |---|---|
//! | 63-61 | how many kinds of attributes the route has: methods, hosts, headers, snis, paths |
//! | 60 | it has hosts, and none with a wildcard |
//! | 59-52 | how many headers it matches, at most 255 |
//! | 51 | this path is a regular expression |
//! | 50-19 | `regex_priority`, for a regular expression |
//! | 18-0 | length of the path, for a prefix |
//!
//! [`RouterOrder::Kong3`] is that of the program. Kong shifts the columns that are no flags as signed numbers
//! of 32 bits, and extends the results to 64 bits with their sign:
//!
//! | bits | content |
//! |---|---|
//! | 60 | the flag for hosts |
//! | 51 | the flag for a regular expression |
//! | 31-29 | kinds of attributes; with four, bit 31 and all above it are set |
//! | 27-20 | headers |
//! | 31-19 | `regex_priority` without its upper bits, over the two columns before; negative when bit 31 is set |
//! | 18-0 | length of the path |
//!
//! Routes with four kinds of attributes come first. Then decide, in this order: hosts without a wildcard, a
//! regular expression, one to three kinds of attributes, headers and `regex_priority` together, the length.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Route, RouterOrder};

/// The greatest length of a prefix that counts.
const LONGEST: u32 = (1 << 19) - 1;

/// The parts of a priority, in the order of Kong's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Columns {
    /// How many kinds of attributes the route has.
    pub attributes: u8,
    /// The route has hosts, and none with a wildcard.
    pub exact_hosts: bool,
    /// How many headers the route matches.
    pub headers: u8,
    /// This path is a regular expression.
    pub regex: bool,
    /// The `regex_priority` of a regular expression.
    pub regex_priority: Option<i32>,
    /// Length of a prefix.
    pub prefix_length: Option<u32>,
}

impl Columns {
    /// The priority, in one of the orders.
    pub fn priority(self, order: RouterOrder) -> u64 {
        match order {
            RouterOrder::Strict => self.strict(),
            RouterOrder::Kong3 => self.kong3(),
        }
    }

    fn strict(self) -> u64 {
        // Flips the sign bit: signed numbers then sort correctly as unsigned ones.
        let regex_priority = |priority: i32| u64::from(priority.cast_unsigned() ^ (1 << 31));
        u64::from(self.attributes) << 61
            | u64::from(self.exact_hosts) << 60
            | u64::from(self.headers) << 52
            | u64::from(self.regex) << 51
            | self.regex_priority.map_or(0, regex_priority) << 19
            | u64::from(self.prefix_length.unwrap_or(0))
    }

    fn kong3(self) -> u64 {
        // The distances of 61 and 52 bits count modulo 32.
        let shifted = |value: i32, by: u32| i64::from(value.wrapping_shl(by)).cast_unsigned();
        u64::from(self.exact_hosts) << 60
            | u64::from(self.regex) << 51
            | shifted(self.attributes.into(), 61)
            | shifted(self.headers.into(), 52)
            | shifted(self.regex_priority.unwrap_or(0), 19)
            | u64::from(self.prefix_length.unwrap_or(0))
    }
}

/// The part of the priority that all paths of a route share.
#[derive(Clone, Copy, Debug)]
pub struct Priority {
    attributes: u8,
    exact_hosts: bool,
    headers: u8,
}

impl Priority {
    /// The shared part of `route`; an empty list counts as no list.
    pub fn of(route: &Route) -> Self {
        let hosts = route.hosts.as_deref().unwrap_or_default();
        let headers = route.headers.as_ref().map_or(0, BTreeMap::len);
        let kinds = [
            is_some(route.methods.as_ref()),
            !hosts.is_empty(),
            headers > 0,
            is_some(route.snis.as_ref()),
            is_some(route.paths.as_ref()),
        ];
        Self {
            attributes: kinds.into_iter().map(u8::from).sum(),
            exact_hosts: !hosts.is_empty() && !hosts.iter().any(|host| host.contains('*')),
            headers: u8::try_from(headers).unwrap_or(u8::MAX),
        }
    }

    /// The columns under a prefix of `len` bytes; 0 for a route without paths.
    pub fn under_prefix(self, len: usize) -> Columns {
        let length = u32::try_from(len).unwrap_or(LONGEST).min(LONGEST);
        Columns { prefix_length: Some(length), ..self.columns(false) }
    }

    /// The columns under a regular expression.
    pub fn under_regex(self, regex_priority: i32) -> Columns {
        Columns { regex_priority: Some(regex_priority), ..self.columns(true) }
    }

    fn columns(self, regex: bool) -> Columns {
        let Self { attributes, exact_hosts, headers } = self;
        Columns { attributes, exact_hosts, headers, regex, regex_priority: None, prefix_length: None }
    }
}

fn is_some(list: Option<&Vec<String>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

#[cfg(test)]
mod tests;
