//! From a host to its addresses: hosts file, search domains, families, `SRV` records.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::answer::{Endpoint, RecordKind};
use super::hosts::Hosts;
use super::look_up::{Found, LookUpError, Missing};
use super::query::{Families, Family, Query, SrvUse};
use super::search::{Candidates, Search, absolute};
use super::servers::Servers;

/// How long addresses of the hosts file are valid: a change of the file is seen that soon.
const HOSTS_TTL: Duration = Duration::from_secs(5);
/// Names of one answer with `SRV` records that are looked up at once.
const SRV_NAMES: usize = 8;

/// The sources of addresses.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) hosts: Arc<Hosts>,
    pub(super) search: Search,
    pub(super) servers: Arc<Servers>,
}

/// Addresses of one name.
#[derive(Clone, Debug)]
struct Resolved {
    addresses: Vec<IpAddr>,
    kind: RecordKind,
    ttl: Duration,
}

impl Sources {
    /// Looks a host up.
    pub(super) async fn look_up(&self, query: &Query) -> Result<Found, LookUpError> {
        let families = query.terms.families;
        let candidates = || self.search.candidates(&query.host);
        match query.srv {
            SrvUse::Named if query.is_service_name() => self.services(candidates()?, families).await,
            SrvUse::First if self.hosts.find(&query.host, families).is_none() => {
                match self.services(candidates()?, families).await {
                    Err(error) if error.is_negative() => self.addresses(query).await,
                    found => found,
                }
            }
            SrvUse::Never | SrvUse::Named | SrvUse::First => self.addresses(query).await,
        }
    }

    async fn addresses(&self, query: &Query) -> Result<Found, LookUpError> {
        let families = query.terms.families;
        // Like the system: by the host itself, whatever the search domains.
        let resolved = match self.in_hosts_file(&query.host, families) {
            Some(resolved) => resolved,
            None => {
                let candidates = self.search.candidates(&query.host)?;
                let find = |name| async move { self.addresses_of(&name, families).await }.boxed();
                first_of(candidates, find).await?
            }
        };
        let endpoints = resolved.addresses.into_iter().map(Endpoint::of).collect();
        Ok(Found { endpoints, kind: resolved.kind, ttl: resolved.ttl, missing: Vec::new() })
    }

    fn in_hosts_file(&self, host: &str, families: Families) -> Option<Resolved> {
        let address = self.hosts.find(host, families)?;
        Some(Resolved { addresses: vec![address], kind: RecordKind::Hosts, ttl: HOSTS_TTL })
    }

    /// The addresses of the first family in which a name has any.
    async fn addresses_of(&self, name: &Name, families: Families) -> Result<Resolved, LookUpError> {
        for family in families.in_order() {
            let (of_family, kind) = match family {
                Family::V4 => (RecordType::A, RecordKind::A),
                Family::V6 => (RecordType::AAAA, RecordKind::Aaaa),
            };
            match self.servers.ask(name, of_family).await {
                Ok(records) => {
                    let addresses = records.iter().filter(|record| record.record_type() == of_family);
                    let addresses = addresses.filter_map(|record| record.data.ip_addr()).collect();
                    return Ok(Resolved { addresses, kind, ttl: ttl(&records) });
                }
                Err(LookUpError::Empty) => {}
                // A failure is no reason for the other family; a denial holds for both (RFC 8020).
                Err(error) => return Err(error),
            }
        }
        Err(LookUpError::Empty)
    }

    /// The addresses of the names in the `SRV` records of a name.
    async fn services(&self, candidates: Candidates, families: Families) -> Result<Found, LookUpError> {
        let find = |name: Name| {
            async move {
                let records = self.servers.ask(&name, RecordType::SRV).await?;
                Ok((name, records))
            }
            .boxed()
        };
        let (name, records) = first_of(candidates, find).await?;
        let services = preferred(&records, &name);
        let targets: HashSet<Name> = services.iter().map(|service| service.target.clone()).collect();
        let find = |target: Name| {
            async move {
                let resolved = self.target(&target, families).await;
                (target, resolved)
            }
            .boxed()
        };
        let resolved: HashMap<_, _> =
            stream::iter(targets).map(find).buffer_unordered(SRV_NAMES).collect().await;
        let mut found =
            Found { endpoints: Vec::new(), kind: RecordKind::Srv, ttl: ttl(&records), missing: Vec::new() };
        for service in services {
            if let Some(resolved) = resolved.get(&service.target) {
                found.add(service, resolved);
            }
        }
        let is_empty = found.endpoints.is_empty() && found.missing.is_empty();
        if is_empty { Err(LookUpError::Empty) } else { Ok(found) }
    }

    /// The addresses of a name in an `SRV` record.
    async fn target(&self, target: &Name, families: Families) -> Result<Resolved, LookUpError> {
        match self.in_hosts_file(&text(target), families) {
            Some(resolved) => Ok(resolved),
            None => self.addresses_of(&absolute(target.clone()), families).await,
        }
    }
}

impl Found {
    fn add(&mut self, service: &SRV, resolved: &Result<Resolved, LookUpError>) {
        let port = (service.port != 0).then_some(service.port);
        let (weight, name) = (Some(service.weight.max(1)), text(&service.target));
        match resolved {
            Ok(resolved) => {
                self.ttl = self.ttl.min(resolved.ttl);
                let endpoint =
                    |address: &IpAddr| Endpoint { address: *address, port, weight, name: Some(name.clone()) };
                self.endpoints.extend(resolved.addresses.iter().map(endpoint));
            }
            Err(error) if error.is_negative() => {}
            Err(error) => self.missing.push(Missing { name, port, weight, error: error.clone() }),
        }
    }
}

/// The first result for one of the names. A name server that denies a name makes way for the next name. One that
/// fails does so only below a search domain, like the C library: the host itself must not become another host
/// while its own zone fails. Silence and broken answers end the search.
async fn first_of<'a, T>(
    candidates: Candidates,
    find: impl Fn(Name) -> BoxFuture<'a, Result<T, LookUpError>>,
) -> Result<T, LookUpError> {
    let mut failed = None;
    let mut denied = LookUpError::NoName;
    for (at, name) in candidates.names.into_iter().enumerate() {
        match find(name).await {
            Err(LookUpError::NoName) => {}
            Err(LookUpError::Empty) => denied = LookUpError::Empty,
            Err(LookUpError::Server(code)) if at > 0 || !candidates.is_itself_first => {
                failed.get_or_insert(LookUpError::Server(code));
            }
            result => return result,
        }
    }
    Err(failed.unwrap_or(denied))
}

/// The records of the lowest priority that lead to another name.
fn preferred<'a>(records: &'a [Record], name: &Name) -> Vec<&'a SRV> {
    let services = records.iter().filter_map(|record| match &record.data {
        RData::SRV(service) if !service.target.is_root() && absolute(service.target.clone()) != *name => {
            Some(service)
        }
        _ => None,
    });
    let services: Vec<_> = services.collect();
    let lowest = services.iter().map(|service| service.priority).min();
    services.into_iter().filter(|service| Some(service.priority) == lowest).collect()
}

fn ttl(records: &[Record]) -> Duration {
    Duration::from_secs(records.iter().map(|record| record.ttl).min().unwrap_or(0).into())
}

fn text(name: &Name) -> Box<str> {
    name.to_ascii().to_ascii_lowercase().trim_end_matches('.').into()
}
