//! The order in which routes are tried: one integer for a route and one of its paths, the highest first.
//! It is that of Kong's `traditional_compatible` router, which is not the longest prefix first.
//!
//! | bits | content |
//! |---|---|
//! | 63-61 | how many kinds of attributes the route has: methods, hosts, headers, snis, paths |
//! | 60 | it has hosts, and none with a wildcard |
//! | 59-52 | how many headers it asks for, at most 255 |
//! | 51 | this path is a regular expression |
//! | 50-19 | `regex_priority`, for a regular expression |
//! | 18-0 | length of the path, for a prefix |

/// The part of the priority that all paths of a route share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base(u64);

impl Base {
    pub(super) fn new(kinds: usize, plain_hosts: bool, headers: usize) -> Self {
        Self((kinds.min(7) as u64) << 61 | u64::from(plain_hosts) << 60 | (headers.min(255) as u64) << 52)
    }

    /// The priority under a prefix of `len` bytes; 0 for a route without paths.
    pub(super) fn prefix(self, len: usize) -> u64 {
        self.0 | len.min((1 << 19) - 1) as u64
    }

    /// The priority under a regular expression.
    pub(super) fn regex(self, regex_priority: i32) -> u64 {
        // The sign bit turned over: the order of signed numbers, as unsigned ones.
        let order = regex_priority.cast_unsigned() ^ (1 << 31);
        self.0 | 1 << 51 | u64::from(order) << 19
    }
}
