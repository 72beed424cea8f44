//! What the data planes say of one target, each of them and together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{Target, TargetAddress};
use uuid::Uuid;
use wire::{AddressHealth, Health, RecordType, TargetHealth};

use crate::cluster::{Finding, Sighted, Sighting};

/// What one data plane says of a target.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) node_id: Uuid,
    pub(super) finding: Finding,
    /// `None` when nothing is known.
    pub(super) entry: Option<TargetHealth>,
}

/// What all data planes say of a target.
#[derive(Debug)]
pub(super) struct Merged {
    /// The best finding; an upstream without checks is unchecked, also when no data plane reports.
    pub(super) finding: Finding,
    /// The number of data planes by finding, in the order of [`Finding::ALL`].
    pub(super) counts: [usize; Finding::ALL.len()],
    /// The addresses of all data planes, each in its best state.
    pub(super) addresses: Vec<AddressHealth>,
    /// The type of the records, or the error when there is no address.
    pub(super) dns: String,
    /// When the finding began, in milliseconds since 1970, if it began in the time that data planes remember.
    pub(super) since: Option<u64>,
    /// The newest error.
    pub(super) last_error: Option<String>,
}

/// Findings, the best first.
const FINDINGS: [Finding; 5] =
    [Finding::Healthy, Finding::Unchecked, Finding::Unhealthy, Finding::DnsError, Finding::Unknown];
/// States of an address, the best first.
const STATES: [Health; 5] =
    [Health::Healthy, Health::Unchecked, Health::Unhealthy, Health::Ejected, Health::Unknown];

impl Seen {
    /// Completes a sighting with what the target itself says. What nothing checks is not healthy, but
    /// unchecked.
    pub(super) fn of(target: &Target, checks_on: bool, sighting: Sighting) -> Self {
        let Sighting { node_id, state } = sighting;
        let entry = match state {
            Sighted::Named(entry) => Some(entry),
            Sighted::Plain => own(target, Health::Healthy),
            Sighted::Unknown => None,
        };
        let entry = entry.map(|mut entry| {
            entry.addresses.iter_mut().for_each(|address| uncheck(address, target, checks_on));
            entry
        });
        let finding = entry.as_ref().map_or(Finding::Unknown, Finding::of);
        Self { node_id, finding, entry }
    }

    /// The type of the records, or the error when there is no address.
    pub(super) fn dns(&self) -> &str {
        self.entry.as_ref().map_or("unknown", dns)
    }

    /// When the finding began.
    pub(super) fn since(&self) -> Option<u64> {
        since(self.finding, std::slice::from_ref(self))
    }

    /// The newest error.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.error().map(|(_, error)| error)
    }

    /// The newest error and its time. The error of a look-up has none and counts as the newest while no
    /// address is known.
    fn error(&self) -> Option<(u64, &str)> {
        let entry = self.entry.as_ref()?;
        let named = |address: &'_ AddressHealth| address.last_error.as_ref().map(|_| address.since);
        let newest = entry.addresses.iter().filter(|address| named(address).is_some());
        let newest = newest.max_by_key(|address| address.since);
        let of_address = newest.and_then(|address| Some((address.since, address.last_error.as_deref()?)));
        let of_name = entry.dns_error.as_deref();
        of_address
            .or_else(|| of_name.map(|error| (if entry.addresses.is_empty() { u64::MAX } else { 0 }, error)))
    }
}

impl Merged {
    /// Merges what the data planes say. Without any, an address that the target itself gives is shown.
    pub(super) fn of(target: &Target, checks_on: bool, seen: &[Seen]) -> Self {
        let mut counts = [0; Finding::ALL.len()];
        seen.iter().for_each(|seen| counts[seen.finding.index()] += 1);
        let best = FINDINGS.into_iter().find(|finding| counts[finding.index()] > 0);
        let best = best.unwrap_or(Finding::Unknown);
        let finding = match best {
            Finding::Unknown if !checks_on || target.weight == 0 => Finding::Unchecked,
            best => best,
        };
        let mut addresses = united(seen);
        if addresses.is_empty() && best == Finding::Unknown {
            let state = if finding == Finding::Unchecked { Health::Unchecked } else { Health::Unknown };
            addresses = own(target, state).map_or_else(Vec::new, |entry| entry.addresses);
        }
        let of_best = seen.iter().find(|seen| seen.finding == best && seen.entry.is_some());
        let own_type = || own(target, Health::Unknown).map_or(RecordType::Unknown, |entry| entry.record_type);
        let dns = of_best.map_or_else(|| own_type().as_str(), Seen::dns).to_owned();
        let last_error = seen.iter().filter_map(Seen::error).max_by_key(|(at, _)| *at);
        let last_error = last_error.map(|(_, error)| error.to_owned());
        Self { finding, counts, addresses, dns, since: since(best, seen), last_error }
    }

    /// The number of data planes with a finding.
    pub(super) const fn count(&self, finding: Finding) -> usize {
        self.counts[finding.index()]
    }
}

/// Whether requests may go to an address in this state.
pub(super) const fn serves(health: Health) -> bool {
    matches!(health, Health::Healthy | Health::Unchecked)
}

/// The address in the form of the Admin API: IPv6 in brackets, in eight groups.
pub(super) fn ip(address: IpAddr) -> String {
    let text = TargetAddress::Ip(address, 0).to_string();
    text.rsplit_once(':').map_or(text.clone(), |(ip, _)| ip.to_owned())
}

/// The entry of a target whose only address is its own; `None` for a name.
fn own(target: &Target, health: Health) -> Option<TargetHealth> {
    let TargetAddress::Ip(address, port) = TargetAddress::parse(&target.target)? else { return None };
    let record_type = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
    let (weight, since, last_error) = (target.weight, 0, None);
    let addresses = vec![AddressHealth { address, port, weight, health, since, last_error }];
    Some(TargetHealth { target: target.id, record_type, dns_error: None, addresses })
}

fn uncheck(address: &mut AddressHealth, target: &Target, checks_on: bool) {
    if target.weight == 0 {
        (address.weight, address.health) = (0, Health::Unchecked);
    } else if !checks_on && address.health == Health::Healthy {
        address.health = Health::Unchecked;
    }
}

fn dns(entry: &TargetHealth) -> &str {
    let error = entry.dns_error.as_deref().filter(|_| entry.addresses.is_empty());
    error.unwrap_or(entry.record_type.as_str())
}

/// All addresses, each in its best state, in the order of addresses and ports.
fn united(seen: &[Seen]) -> Vec<AddressHealth> {
    let mut united: BTreeMap<(IpAddr, u16), &AddressHealth> = BTreeMap::new();
    let rank = |address: &AddressHealth| STATES.iter().position(|state| *state == address.health);
    for address in seen.iter().filter_map(|seen| seen.entry.as_ref()).flat_map(|entry| &entry.addresses) {
        let best = united.entry((address.address, address.port)).or_insert(address);
        if rank(address) < rank(best) {
            *best = address;
        }
    }
    united.into_values().cloned().collect()
}

/// When a finding began. A target is healthy since the first of its addresses is, and unhealthy since the
/// last of them is.
fn since(finding: Finding, seen: &[Seen]) -> Option<u64> {
    let entries = seen.iter().filter(|seen| seen.finding == finding).filter_map(|seen| seen.entry.as_ref());
    let addresses = entries.flat_map(|entry| &entry.addresses);
    let began = match finding {
        Finding::Healthy => {
            addresses.filter(|address| address.health == Health::Healthy).map(|address| address.since).min()
        }
        Finding::Unhealthy => {
            addresses.filter(|address| !serves(address.health)).map(|address| address.since).max()
        }
        Finding::DnsError | Finding::Unchecked | Finding::Unknown => None,
    };
    began.filter(|began| *began > 0)
}

#[cfg(test)]
mod tests;
