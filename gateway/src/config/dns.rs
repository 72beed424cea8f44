//! The section `upstream.dns`: how names of upstreams are looked up.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use node::config::{ConfigError, Loaded};
use serde::{Deserialize, Serialize};

use super::RawConfig;
use crate::dns::{DnsTerms, Families, SearchDomains, Settings};

/// Bounds of the timeout of a look-up. Below, no name server would be fast enough; above, too many requests would
/// wait.
const RESOLVE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
/// The shortest timeout of a query. The longest is that of a look-up.
const MIN_QUERY_TIMEOUT: Duration = Duration::from_millis(10);
/// The bound of the C library.
const MAX_NDOTS: usize = 15;
/// The bound of the C library.
const MAX_ATTEMPTS: usize = 5;
/// The most search domains.
const MAX_DOMAINS: usize = 16;
/// The most name servers.
const MAX_SERVERS: usize = 16;

/// The section `upstream.dns`. What is not set comes from `/etc/resolv.conf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDns {
    /// The hosts file.
    pub hosts_file: PathBuf,
    /// Domains that are appended to short names.
    pub search: Option<Vec<String>>,
    /// Names with fewer dots are short: they are first looked up below the search domains.
    pub ndots: Option<usize>,
    /// Timeout of one query to one name server; never longer than half of `upstream.resolve_timeout`.
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
    /// Queries to a name server that does not answer.
    pub attempts: Option<usize>,
    /// The families of addresses, 4 and 6, in order of preference.
    pub families: Vec<u8>,
}

impl Default for RawDns {
    fn default() -> Self {
        Self {
            hosts_file: "/etc/hosts".into(),
            search: None,
            ndots: None,
            timeout: None,
            attempts: None,
            families: vec![4, 6],
        }
    }
}

/// Checks the keys about names.
pub(super) fn parse(loaded: &Loaded<RawConfig>) -> Result<(Settings, DnsTerms), ConfigError> {
    let (upstream, raw) = (&loaded.raw.upstream, &loaded.raw.upstream.dns);
    let timeout = upstream.resolve_timeout;
    if !RESOLVE_TIMEOUTS.contains(&timeout) {
        let reason = "must be between 100ms and 30s";
        return Err(loaded.violation("upstream.resolve_timeout", format_duration(timeout), reason));
    }
    if upstream.name_servers.len() > MAX_SERVERS {
        let value = format!("{} name servers", upstream.name_servers.len());
        return Err(loaded.violation("upstream.name_servers", value, "must name at most 16"));
    }
    if let Some(wrong) = raw.timeout.filter(|query| !(MIN_QUERY_TIMEOUT..=timeout).contains(query)) {
        let reason = "must be between 10ms and upstream.resolve_timeout";
        return Err(loaded.violation("upstream.dns.timeout", format_duration(wrong), reason));
    }
    if let Some(wrong) = raw.attempts.filter(|attempts| !(1..=MAX_ATTEMPTS).contains(attempts)) {
        return Err(loaded.violation("upstream.dns.attempts", wrong.to_string(), "must be between 1 and 5"));
    }
    if let Some(wrong) = raw.ndots.filter(|ndots| *ndots > MAX_NDOTS) {
        return Err(loaded.violation("upstream.dns.ndots", wrong.to_string(), "must be at most 15"));
    }
    let settings = Settings {
        name_servers: upstream.name_servers.clone(),
        hosts_file: raw.hosts_file.clone(),
        search: raw.search.as_deref().map(|texts| parse_search(loaded, texts)).transpose()?,
        ndots: raw.ndots,
        query_timeout: raw.timeout,
        attempts: raw.attempts,
        timeout,
    };
    let families = Families::from_numbers(&raw.families).ok_or_else(|| {
        let reason = "must be [4], [6], [4, 6] or [6, 4]";
        loaded.violation("upstream.dns.families", format!("{:?}", raw.families), reason)
    })?;
    Ok((settings, DnsTerms { families, ..DnsTerms::default() }))
}

fn parse_search(loaded: &Loaded<RawConfig>, texts: &[String]) -> Result<SearchDomains, ConfigError> {
    let key = "upstream.dns.search";
    if texts.len() > MAX_DOMAINS {
        return Err(loaded.violation(key, format!("{} domains", texts.len()), "must name at most 16"));
    }
    SearchDomains::parse(texts)
        .map_err(|wrong| loaded.violation(key, wrong, "must be a domain, such as example.com"))
}
