//! The hosts of routes, and the table key of each.

/// One host of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPattern {
    /// The key in the table: `a.b` for an exact host, `.a.b` for `*.a.b`, `a.b.` for `a.b.*`. A
    /// canonical host neither begins nor ends with a dot, so the three cannot meet.
    pub(super) key: Box<str>,
    /// The requested port; 0: any.
    pub(super) port: u16,
}

impl HostPattern {
    /// Parses a validated entry of a route's `hosts`.
    pub(super) fn new(pattern: &str) -> Self {
        let (host, port) = split_port(pattern);
        let key = model::normalize_pattern(host);
        let key = key.trim_start_matches('*').trim_end_matches('*');
        Self { key: key.into(), port: port.unwrap_or(0) }
    }

    /// The pattern as it is written.
    pub(super) fn declared(&self) -> String {
        let key = &*self.key;
        let host = match (key.starts_with('.'), key.ends_with('.')) {
            (true, _) => format!("*{key}"),
            (_, true) => format!("{key}*"),
            (false, false) => key.to_owned(),
        };
        if self.port == 0 { host } else { format!("{host}:{}", self.port) }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.key.starts_with('.') || self.key.ends_with('.')
    }
}

/// Splits `host:port`; a colon inside the brackets of an IPv6 address does not split.
pub(super) fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

/// The keys of the wildcard patterns that `host` could match: `*.b.c` and `a.b.*` for `a.b.c`, …
pub(super) fn wildcard_keys(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').flat_map(|(dot, _)| [&host[dot..], &host[..=dot]])
}
