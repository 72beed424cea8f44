//! The priority of a route under one of its paths: one integer, the highest first. The order is that of
//! Kong's `traditional_compatible` router, which does not try the longest prefix first.
//!
//! | bits | content |
//! |---|---|
//! | 63-61 | how many kinds of attributes the route has: methods, hosts, headers, snis, paths |
//! | 60 | it has hosts, and none with a wildcard |
//! | 59-52 | how many headers it matches, at most 255 |
//! | 51 | this path is a regular expression |
//! | 50-19 | `regex_priority`, for a regular expression |
//! | 18-0 | length of the path, for a prefix |

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Route;

/// The parts of a priority: the columns of the table, the most significant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// Splits `priority` into its columns.
    pub fn of(priority: u64) -> Self {
        let bits = |from: u32, count: u32| (priority >> from) & ((1 << count) - 1);
        let regex = bits(51, 1) == 1;
        let byte = |value| u8::try_from(value).unwrap_or(u8::MAX);
        let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            attributes: byte(bits(61, 3)),
            exact_hosts: bits(60, 1) == 1,
            headers: byte(bits(52, 8)),
            regex,
            regex_priority: regex.then(|| (number(bits(19, 32)) ^ (1 << 31)).cast_signed()),
            prefix_length: (!regex).then(|| number(bits(0, 19))),
        }
    }
}

/// The part of the priority that all paths of a route share.
#[derive(Clone, Copy, Debug)]
pub struct Priority(u64);

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
        let kinds = kinds.into_iter().filter(|kind| *kind).count() as u64;
        let plain_hosts = !hosts.is_empty() && !hosts.iter().any(|host| host.contains('*'));
        Self(kinds << 61 | u64::from(plain_hosts) << 60 | (headers.min(255) as u64) << 52)
    }

    /// The priority under a prefix of `len` bytes; 0 for a route without paths.
    pub fn under_prefix(self, len: usize) -> u64 {
        self.0 | len.min((1 << 19) - 1) as u64
    }

    /// The priority under a regular expression.
    pub fn under_regex(self, regex_priority: i32) -> u64 {
        // Flips the sign bit: signed numbers then sort correctly as unsigned ones.
        let order = regex_priority.cast_unsigned() ^ (1 << 31);
        self.0 | 1 << 51 | u64::from(order) << 19
    }
}

fn is_some(list: Option<&Vec<String>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Made = (bool, u8, usize, bool, Option<usize>, i32);

    /// Methods; hosts (0: none, 1: plain, 2: with a wildcard); headers; whether the path is a regular
    /// expression; the length of the path; `regex_priority`.
    fn made() -> impl Strategy<Value = Made> {
        let path = proptest::option::of(1_usize..40);
        (any::<bool>(), 0_u8..3, 0_usize..4, any::<bool>(), path, any::<i32>())
    }

    fn route((methods, hosts, headers, _, path, regex_priority): Made) -> Route {
        let one = |text: &str| Some(vec![text.to_owned()]);
        let named = |n: usize| (format!("x-{n}"), vec!["v".to_owned()]);
        Route {
            methods: methods.then(|| vec!["GET".into()]),
            hosts: [None, one("a.b"), one("*.b")][usize::from(hosts)].clone(),
            headers: (headers > 0).then(|| (0..headers).map(named).collect()),
            paths: path.and_then(|_| one("/")),
            regex_priority,
            ..Route::default()
        }
    }

    fn priority(made: Made) -> u64 {
        let base = Priority::of(&route(made));
        match made {
            (.., true, Some(_), regex_priority) => base.under_regex(regex_priority),
            (.., path, _) => base.under_prefix(path.unwrap_or(0)),
        }
    }

    /// The columns of the table, the weightiest first.
    fn columns((methods, hosts, headers, regex, path, regex_priority): Made) -> impl Ord {
        let kinds = [methods, hosts > 0, headers > 0, path.is_some()];
        let kinds = kinds.into_iter().filter(|kind| *kind).count();
        let regex = regex && path.is_some();
        let within = if regex { i64::from(regex_priority) } else { path.unwrap_or(0) as i64 };
        (kinds, hosts == 1, headers, regex, within)
    }

    proptest! {
        #[test]
        fn the_number_orders_as_the_columns_do(one in made(), other in made()) {
            prop_assert_eq!(priority(one).cmp(&priority(other)), columns(one).cmp(&columns(other)));
        }

        #[test]
        fn the_number_is_taken_apart(made in made()) {
            let (_, hosts, headers, regex, path, regex_priority) = made;
            let columns = Columns::of(priority(made));
            prop_assert_eq!((columns.exact_hosts, usize::from(columns.headers)), (hosts == 1, headers));
            let regex = regex && path.is_some();
            let length = path.map_or(0, |length| u32::try_from(length).unwrap());
            prop_assert_eq!(columns.regex_priority, regex.then_some(regex_priority));
            prop_assert_eq!(columns.prefix_length, (!regex).then_some(length));
        }
    }
}
