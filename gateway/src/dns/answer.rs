//! The addresses that a name has now.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

/// The addresses that a name has now, or why it has none. It is never changed: a new one replaces it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Each address and port once, in a fixed order. Empty before the first look-up has ended, and when the name
    /// has no addresses that may be used.
    pub endpoints: Arc<[Endpoint]>,
    /// The records that they come from.
    pub kind: RecordKind,
    /// Why the last look-up failed, in the words of Kong: `dns server error: 3 name error`. Old endpoints may be
    /// used in spite of it.
    pub error: Option<Box<str>>,
    /// Since when the name has had these endpoints and this error.
    pub since: Instant,
    /// The addresses of the endpoints, for hosts whose port is known.
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) times: Times,
}

/// The times of an answer, for requests that read it between two events of the driver.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// When a look-up is due; `None`: there has been none.
    pub(super) due: Option<Instant>,
    /// When a request may begin a look-up of a name without addresses.
    pub(super) retry: Option<Instant>,
    /// The end of the endpoints' use; `None`: they do not end, or there are none.
    pub(super) usable_until: Option<Instant>,
}

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port of the `SRV` record, which replaces that of the target; `None`: it names none.
    pub port: Option<u16>,
    /// The weight of the `SRV` record, at least 1, which replaces that of the target.
    pub weight: Option<u16>,
    /// The name in the `SRV` record, in lower case and without a trailing dot.
    pub name: Option<Box<str>>,
}

/// The source of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordKind {
    /// There is no answer.
    #[default]
    None,
    /// The host is an address.
    Literal,
    /// The hosts file.
    Hosts,
    /// `A` records.
    A,
    /// `AAAA` records.
    Aaaa,
    /// `SRV` records, and addresses of the names in them.
    Srv,
}

impl Answer {
    /// Creates an answer that does not change.
    pub fn fixed(endpoints: impl Into<Arc<[Endpoint]>>, kind: RecordKind) -> Self {
        Self::new(endpoints.into(), kind, None, Instant::now(), Times::default())
    }

    pub(super) fn new(
        endpoints: Arc<[Endpoint]>,
        kind: RecordKind,
        error: Option<Box<str>>,
        since: Instant,
        times: Times,
    ) -> Self {
        let addresses = endpoints.iter().map(|endpoint| endpoint.address).collect();
        Self { endpoints, kind, error, since, addresses, times }
    }

    /// Kong's text for the source of the addresses, or for their absence: `A`, `AAAA`, `SRV`, an error, or
    /// `unknown` before the first look-up has ended.
    pub fn dns(&self) -> &str {
        match (self.endpoints.first(), &self.error) {
            (Some(_), _) if self.kind == RecordKind::Srv => "SRV",
            (Some(endpoint), _) if endpoint.address.is_ipv4() => "A",
            (Some(_), _) => "AAAA",
            (None, Some(error)) => error,
            (None, None) => "unknown",
        }
    }
}

impl Endpoint {
    /// An endpoint that is no more than an address.
    pub fn of(address: IpAddr) -> Self {
        Self { address, port: None, weight: None, name: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_has_the_words_of_kong() {
        let of = |address: &str, kind| {
            Answer::fixed(vec![Endpoint::of(address.parse().unwrap())], kind).dns().to_owned()
        };
        assert_eq!(of("10.0.0.1", RecordKind::A), "A");
        assert_eq!(of("::1", RecordKind::Hosts), "AAAA");
        assert_eq!(of("10.0.0.1", RecordKind::Srv), "SRV");
        let mut none = Answer::fixed(vec![], RecordKind::None);
        assert_eq!(none.dns(), "unknown");
        none.error = Some("dns server error: 3 name error".into());
        assert_eq!(none.dns(), "dns server error: 3 name error");
    }
}
