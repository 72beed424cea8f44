//! Look-ups by this machine's configuration: its hosts file, its name servers, its search domains. The
//! system's own resolver is not used: it blocks a thread for each name that a name server is silent for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::warn;

use super::files::Watcher;
use super::hosts::Hosts;
use super::look_up::{Found, LookUp, LookUpError};
use super::query::Query;
use super::resolve::Sources;
use super::search::{Search, SearchDomains};
use super::servers::{QueryTerms, Servers, local};

/// The system's configuration of name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Interval of the checks whether the files have changed.
const RELOAD: Duration = Duration::from_secs(1);

/// How names are looked up. What is not set comes from `/etc/resolv.conf`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name servers to use instead of those of `/etc/resolv.conf`, if there are any.
    pub name_servers: Vec<SocketAddr>,
    /// The hosts file.
    pub hosts_file: PathBuf,
    /// Domains that are appended to short names.
    pub search: Option<SearchDomains>,
    /// Names with fewer dots are short.
    pub ndots: Option<usize>,
    /// Timeout of one query to one name server; never longer than half of a look-up's.
    pub query_timeout: Option<Duration>,
    /// Queries to a name server that is silent.
    pub attempts: Option<usize>,
    /// Timeout of a look-up.
    pub timeout: Duration,
}

/// The name servers of this machine, or others.
#[derive(Debug)]
pub struct NameServers {
    settings: Settings,
    /// Held while files are read, so that they are read once.
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    hosts_file: Watcher,
    resolv_conf: Watcher,
    checked: Option<Instant>,
    sources: Option<Arc<Sources>>,
}

impl NameServers {
    /// Reads nothing yet: files are read with the first look-up.
    pub fn new(settings: Settings) -> Self {
        let hosts_file = Watcher::new(&settings.hosts_file);
        let resolv_conf = Watcher::new(RESOLV_CONF);
        let current = Current { hosts_file, resolv_conf, checked: None, sources: None };
        Self { settings, current: Mutex::new(current) }
    }

    /// The configuration in the files, at most [`RELOAD`] old.
    async fn sources(&self) -> Result<Arc<Sources>, LookUpError> {
        let now = Instant::now();
        let mut current = self.current.lock().await;
        let is_recent = current.checked.is_some_and(|checked| now.duration_since(checked) < RELOAD);
        if let Some(sources) = current.sources.as_ref().filter(|_| is_recent) {
            return Ok(sources.clone());
        }
        let (mut hosts_file, mut resolv_conf) = (current.hosts_file.clone(), current.resolv_conf.clone());
        let (settings, known) = (self.settings.clone(), current.sources.clone());
        let read = spawn_blocking(move || {
            let hosts = hosts_file.changed().map(|content| content.unwrap_or_default());
            let hosts = hosts.map(|content| Arc::new(Hosts::parse(&String::from_utf8_lossy(&content))));
            let conf = resolv_conf.changed().map(|content| content.unwrap_or_default());
            let sources = updated(&settings, known, hosts, conf.as_deref())?;
            Ok::<_, LookUpError>((hosts_file, resolv_conf, sources))
        });
        let (hosts_file, resolv_conf, sources) =
            read.await.map_err(|error| LookUpError::Failed(error.to_string()))??;
        *current = Current { hosts_file, resolv_conf, checked: Some(now), sources: Some(sources.clone()) };
        Ok(sources)
    }
}

#[async_trait]
impl LookUp for NameServers {
    async fn look_up(&self, query: &Query) -> Result<Found, LookUpError> {
        self.sources().await?.look_up(query).await
    }
}

/// The sources after changes of the hosts file or of `/etc/resolv.conf`; of what has not changed, those known.
fn updated(
    settings: &Settings,
    known: Option<Arc<Sources>>,
    hosts: Option<Arc<Hosts>>,
    conf: Option<&[u8]>,
) -> Result<Arc<Sources>, LookUpError> {
    if let (Some(known), None, None) = (&known, &hosts, conf) {
        return Ok(known.clone());
    }
    let hosts = hosts.or_else(|| Some(known.as_ref()?.hosts.clone())).unwrap_or_default();
    if let (Some(known), None) = (&known, conf) {
        let (search, servers) = (known.search.clone(), known.servers.clone());
        return Ok(Arc::new(Sources { hosts, search, servers }));
    }
    let (config, options) = parse(conf.unwrap_or_default());
    let from_file = match config.search() {
        [] => SearchDomains::of(config.domain().cloned()),
        search => SearchDomains::of(search.iter().cloned()),
    };
    let search = Search {
        domains: settings.search.clone().unwrap_or(from_file),
        ndots: settings.ndots.unwrap_or(options.ndots),
    };
    let terms = QueryTerms {
        // One query may be lost.
        timeout: settings.query_timeout.unwrap_or(options.timeout).min(settings.timeout / 2),
        attempts: settings.attempts.unwrap_or(options.attempts).max(1),
        edns0: options.edns0,
    };
    let servers = if settings.name_servers.is_empty() {
        config.name_servers().iter().map(|server| SocketAddr::new(server.ip, 53)).collect()
    } else {
        settings.name_servers.clone()
    };
    let servers = Arc::new(Servers::new(&servers, terms)?);
    Ok(Arc::new(Sources { hosts, search, servers }))
}

/// Reads `/etc/resolv.conf`. Without a name server in it, the local one is used, like by the C library.
fn parse(content: &[u8]) -> (ResolverConfig, ResolverOpts) {
    let with_local = || [content, format!("\nnameserver {}\n", local().ip()).as_bytes()].concat();
    let parsed = parse_resolv_conf(content).or_else(|_| parse_resolv_conf(with_local()));
    parsed.unwrap_or_else(|error| {
        warn!("{RESOLV_CONF} cannot be used: {error}");
        Default::default()
    })
}

#[cfg(test)]
mod tests;
