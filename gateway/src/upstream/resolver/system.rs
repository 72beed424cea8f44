//! Look-ups by this machine's configuration: its hosts file, its name servers, its search domains. The
//! system's own resolver is not used: it blocks a thread for each name that a name server is silent for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::debug;

use super::{Found, LookUp, LookUpError};

/// The files that configure look-ups.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// Interval of the checks whether these files have changed.
const RELOAD: Duration = Duration::from_secs(1);
/// How long addresses of the hosts file are valid.
const HOSTS_TTL: Duration = Duration::from_secs(10);
/// Concurrent queries to one name server. No fewer than look-ups, or one name without an answer would delay
/// another.
const QUERIES: usize = 1024;

/// The name servers of this machine, or others.
#[derive(Debug)]
pub struct NameServers {
    /// Name servers to use instead of those of `/etc/resolv.conf`.
    instead: Vec<SocketAddr>,
    timeout: Duration,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    /// Modification times of the files.
    changed: [Option<SystemTime>; FILES.len()],
    looked: Instant,
    tools: Arc<Tools>,
}

struct Tools {
    hosts: Hosts,
    dns: TokioResolver,
}

impl NameServers {
    /// Uses the name servers of `/etc/resolv.conf`, or `instead` if it names any. A look-up has the timeout
    /// `timeout`.
    pub fn new(instead: Vec<SocketAddr>, timeout: Duration) -> Self {
        Self { instead, timeout, current: Mutex::default() }
    }

    /// The configuration in the files, at most [`RELOAD`] old.
    async fn tools(&self) -> Result<Arc<Tools>, LookUpError> {
        let now = Instant::now();
        let known = {
            let current = self.current.lock();
            let known = current.as_ref().map(|current| (current.changed, current.tools.clone()));
            match &*current {
                Some(current) if now.duration_since(current.looked) < RELOAD => {
                    return Ok(current.tools.clone());
                }
                _ => known,
            }
        };
        let (instead, timeout) = (self.instead.clone(), self.timeout);
        let read = spawn_blocking(move || {
            let changed = FILES.map(|file| Path::new(file).metadata().and_then(|file| file.modified()).ok());
            match known {
                Some((before, tools)) if before == changed => Ok((changed, tools)),
                _ => Tools::read(&instead, timeout).map(|tools| (changed, Arc::new(tools))),
            }
        });
        let (changed, tools) = read.await.map_err(|error| LookUpError::Failed(error.to_string()))??;
        *self.current.lock() = Some(Current { changed, looked: now, tools: tools.clone() });
        Ok(tools)
    }
}

#[async_trait]
impl LookUp for NameServers {
    async fn look_up(&self, name: &str) -> Result<Found, LookUpError> {
        let tools = self.tools().await?;
        let name = Name::from_str_relaxed(name).map_err(failed)?;
        // Like the system: by the name itself, whatever the search domains.
        if let Some(addresses) = tools.in_hosts_file(&name) {
            return Ok(Found { addresses, ttl: HOSTS_TTL });
        }
        let answer = tools.dns.lookup_ip(name).await.map_err(failed)?;
        let ttl = answer.valid_until().saturating_duration_since(Instant::now().into_std());
        let addresses = preferred(answer.iter().collect());
        match addresses.is_empty() {
            true => Err(LookUpError::Failed("it has no address".to_owned())),
            false => Ok(Found { addresses, ttl }),
        }
    }
}

impl Tools {
    fn read(instead: &[SocketAddr], timeout: Duration) -> Result<Self, LookUpError> {
        let (mut config, mut options) = system_conf::read_system_conf().unwrap_or_else(|error| {
            debug!("/etc/resolv.conf cannot be used: {error}");
            // Like the C library without such a file.
            let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
            (ResolverConfig::from_name_servers(vec![local]), ResolverOpts::default())
        });
        if !instead.is_empty() {
            let servers = instead.iter().map(|address| name_server(*address)).collect();
            config = ResolverConfig::from_parts(config.domain().cloned(), config.search().to_vec(), servers);
        }
        // One query may be lost.
        options.timeout = options.timeout.min(timeout / 2);
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        options.max_active_requests = QUERIES;
        // The cache of `resolver.rs` handles expired answers and failures.
        options.cache_size = 0;
        // The hosts file was read before.
        options.use_hosts_file = ResolveHosts::Never;
        let hosts = Hosts::from_system().unwrap_or_default();
        let mut dns = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *dns.options_mut() = options;
        Ok(Self { hosts, dns: dns.build().map_err(failed)? })
    }

    fn in_hosts_file(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let of = |kind| {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
            let addresses = lookup.answers().iter().filter_map(|record| record.data.ip_addr());
            Some(addresses.collect::<Vec<_>>()).filter(|addresses| !addresses.is_empty())
        };
        of(RecordType::A).or_else(|| of(RecordType::AAAA))
    }
}

/// Like Kong by default: of a name with addresses of both kinds, those of IPv4.
fn preferred(all: Vec<IpAddr>) -> Vec<IpAddr> {
    let v4: Vec<IpAddr> = all.iter().copied().filter(IpAddr::is_ipv4).collect();
    if v4.is_empty() { all } else { v4 }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn failed(error: impl fmt::Display) -> LookUpError {
    LookUpError::Failed(error.to_string())
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hosts_file_needs_no_name_server() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let servers = NameServers::new(vec![silent.local_addr().unwrap()], Duration::from_secs(1));
        let found = servers.look_up("localhost").await.unwrap();
        assert!(found.addresses.iter().all(IpAddr::is_loopback));
        servers.look_up("no-such-name.invalid").await.unwrap_err();
        servers.look_up(&"a".repeat(300)).await.unwrap_err();
    }

    #[test]
    fn addresses_of_ipv4_are_preferred() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(preferred(addresses(&["::1", "10.0.0.1"])), addresses(&["10.0.0.1"]));
        assert_eq!(preferred(addresses(&["::1"])), addresses(&["::1"]));
    }
}
