use std::net::Ipv4Addr;

use super::*;

fn target(text: &str, weight: u16) -> Target {
    let (id, upstream) = (Uuid::from_u128(1), Uuid::from_u128(2));
    Target { id, upstream, target: Target::canonical_target(text), weight, failover: false, zone: None }
}

fn address(last: u8, health: Health, since: u64) -> AddressHealth {
    let last_error = (health == Health::Unhealthy).then(|| format!("refused at {since}"));
    let address = Ipv4Addr::new(10, 0, 0, last).into();
    AddressHealth { address, port: 80, weight: 100, health, since, last_error }
}

fn named(addresses: Vec<AddressHealth>) -> Sighted {
    let (target, record_type, dns_error) = (Uuid::from_u128(1), RecordType::A, None);
    Sighted::Named(TargetHealth { target, record_type, dns_error, addresses })
}

fn no_address(error: &str) -> Sighted {
    let dns_error = Some(error.to_owned());
    let (target, record_type, addresses) = (Uuid::from_u128(1), RecordType::Unknown, Vec::new());
    Sighted::Named(TargetHealth { target, record_type, dns_error, addresses })
}

fn merged(target: &Target, checks_on: bool, states: Vec<Sighted>) -> Merged {
    let sightings = states.into_iter().enumerate();
    let sighting = |(at, state)| Sighting { node_id: Uuid::from_u128(at as u128), state };
    let seen: Vec<Seen> =
        sightings.map(sighting).map(|sighting| Seen::of(target, checks_on, sighting)).collect();
    Merged::of(target, checks_on, &seen)
}

#[test]
fn best_data_plane_decides() {
    let sick = || named(vec![address(1, Health::Unhealthy, 7), address(2, Health::Unhealthy, 9)]);
    let half = || named(vec![address(1, Health::Healthy, 5), address(2, Health::Unhealthy, 6)]);
    let name = target("a.example", 100);
    let of = |states| merged(&name, true, states);
    for (states, finding, since) in [
        (vec![sick(), half()], Finding::Healthy, Some(5)),
        (vec![sick(), Sighted::Unknown], Finding::Unhealthy, Some(9)),
        (vec![sick(), no_address("timeout")], Finding::Unhealthy, Some(9)),
        (vec![no_address("timeout"), Sighted::Unknown], Finding::DnsError, None),
        (vec![Sighted::Unknown], Finding::Unknown, None),
        (vec![Sighted::Plain], Finding::Unknown, None),
        (Vec::new(), Finding::Unknown, None),
    ] {
        let text = format!("{states:?}");
        let merged = of(states);
        assert_eq!((merged.finding, merged.since), (finding, since), "{text}");
    }
    let both = of(vec![sick(), half()]);
    assert_eq!((both.count(Finding::Healthy), both.count(Finding::Unhealthy)), (1, 1));
    let states: Vec<Health> = both.addresses.iter().map(|address| address.health).collect();
    assert_eq!(states, [Health::Healthy, Health::Unhealthy], "each address in its best state");
    assert_eq!(both.last_error.as_deref(), Some("refused at 9"));
    assert_eq!(both.dns, "A");
}

#[test]
fn error_of_the_name_shows_while_there_is_no_address() {
    let name = target("a.example", 100);
    let merged = merged(&name, true, vec![no_address("dns server error: 3 name error")]);
    assert_eq!(merged.dns, "dns server error: 3 name error");
    assert_eq!(merged.last_error.as_deref(), Some("dns server error: 3 name error"));
    assert!(merged.addresses.is_empty());
}

#[test]
fn target_with_its_own_address_needs_no_report() {
    let own = target("10.0.0.9", 100);
    let plain = merged(&own, true, vec![Sighted::Plain, Sighted::Plain]);
    assert_eq!((plain.finding, plain.count(Finding::Healthy), plain.since), (Finding::Healthy, 2, None));
    assert_eq!((plain.addresses.len(), plain.addresses[0].port, plain.dns.as_str()), (1, 8000, "A"));
    let unknown = merged(&own, true, Vec::new());
    assert_eq!((unknown.finding, unknown.addresses[0].health), (Finding::Unknown, Health::Unknown));
    let six = merged(&target("::1", 100), true, vec![Sighted::Plain]);
    assert_eq!(ip(six.addresses[0].address), "[0000:0000:0000:0000:0000:0000:0000:0001]");
    assert_eq!(six.dns, "AAAA");
}

#[test]
fn nothing_is_healthy_without_checks_or_without_weight() {
    let own = target("10.0.0.9", 100);
    for states in [Vec::new(), vec![Sighted::Plain], vec![named(vec![address(1, Health::Healthy, 1)])]] {
        let merged = merged(&own, false, states);
        assert_eq!((merged.finding, merged.addresses[0].health), (Finding::Unchecked, Health::Unchecked));
    }
    // An operator, or outlier detection, may take a target out all the same.
    let forced = merged(&own, false, vec![named(vec![address(1, Health::Unhealthy, 1)])]);
    assert_eq!(forced.finding, Finding::Unhealthy);
    // Whatever weight a service record gives.
    let drained = merged(&target("10.0.0.9", 0), true, vec![named(vec![address(1, Health::Unhealthy, 1)])]);
    assert_eq!((drained.finding, drained.addresses[0].weight), (Finding::Unchecked, 0));
}
