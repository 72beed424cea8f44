//! What to look up: a host, and the terms under which its addresses are used.

use std::time::Duration;

/// A host and the terms of its look-ups. Watchers of equal queries share their look-ups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// A name in lower case, or an address. A trailing dot excludes the search domains.
    pub host: Box<str>,
    /// How long answers are used.
    pub terms: DnsTerms,
    /// Whether `SRV` records are used.
    pub srv: SrvUse,
}

/// How long answers are used, and which addresses of them: `policy.dns` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DnsTerms {
    /// The shortest time between two look-ups of a name, whatever its TTL.
    pub min_ttl: Duration,
    /// The longest time that an answer is used without another look-up.
    pub max_ttl: Duration,
    /// How long after its TTL the last good answer is used while name servers fail or are silent.
    pub stale: Duration,
    /// How long the last good answer is used after a name server has denied that the name exists, or has
    /// answered without addresses. Never longer than `stale` allows.
    pub nx_grace: Duration,
    /// The families of addresses, in order of preference.
    pub families: Families,
}

/// The families of addresses that are used. Those of one family only are used at a time: the second is asked
/// for when a name has none of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// IPv6 if a name has no address of IPv4.
    #[default]
    V4First,
    /// IPv4 if a name has no address of IPv6.
    V6First,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, from `A` records.
    V4,
    /// IPv6, from `AAAA` records.
    V6,
}

/// When `SRV` records are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SrvUse {
    /// Never: the host is a name of addresses.
    #[default]
    Never,
    /// For names such as `_http._tcp.example.com`, which then need them.
    Named,
    /// For every name, and addresses if it has none.
    First,
}

impl Query {
    /// Creates a query; `host` may be in any case.
    pub fn new(host: &str, terms: DnsTerms, srv: SrvUse) -> Self {
        Self { host: host.to_ascii_lowercase().into(), terms, srv }
    }

    /// Whether the host has the form `_service._protocol.name`.
    pub(super) fn is_service_name(&self) -> bool {
        let mut labels = self.host.splitn(3, '.');
        let mut is_marked = || labels.next().is_some_and(|label| label.len() > 1 && label.starts_with('_'));
        is_marked() && is_marked() && labels.next().is_some_and(|name| !name.is_empty())
    }
}

impl Default for DnsTerms {
    fn default() -> Self {
        Self {
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(3600),
            stale: Duration::from_secs(3600),
            nx_grace: Duration::from_secs(30),
            families: Families::default(),
        }
    }
}

impl Families {
    /// Reads `[4]`, `[6]`, `[4, 6]` or `[6, 4]`.
    pub fn from_numbers(numbers: &[u8]) -> Option<Self> {
        match numbers {
            [4] => Some(Self::V4),
            [6] => Some(Self::V6),
            [4, 6] => Some(Self::V4First),
            [6, 4] => Some(Self::V6First),
            _ => None,
        }
    }

    /// The families, the preferred one first.
    pub fn in_order(self) -> &'static [Family] {
        match self {
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::V4First => &[Family::V4, Family::V6],
            Self::V6First => &[Family::V6, Family::V4],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_have_two_marked_labels() {
        let is_service = |host| Query::new(host, DnsTerms::default(), SrvUse::Named).is_service_name();
        assert!(is_service("_HTTP._tcp.example.com"));
        for host in
            ["example.com", "_http.example.com", "_http._tcp", "_http._tcp.", "_._tcp.a", "http._tcp.a"]
        {
            assert!(!is_service(host), "{host}");
        }
    }

    #[test]
    fn families_are_read_in_order_and_once_each() {
        assert_eq!(Families::from_numbers(&[6, 4]).unwrap().in_order(), [Family::V6, Family::V4]);
        for wrong in [&[][..], &[5], &[4, 4], &[4, 6, 4]] {
            assert_eq!(Families::from_numbers(wrong), None, "{wrong:?}");
        }
    }
}
