//! Tests of the bounds, and of series that go with their targets.

use model::{Target, Upstream};
use prometheus::{Registry, TextEncoder};
use uuid::Uuid;

use super::*;
use crate::table::{Builder, Change};

/// Upstreams `u0`, `u1`, … with these numbers of targets, live.
fn balancing(targets: &[usize]) -> (Arc<Balancing>, Registry) {
    let balancing = Arc::new(Balancing::default());
    let mut builder = Builder::with(balancing.clone());
    let mut changes = Vec::new();
    for (number, count) in targets.iter().enumerate() {
        let id = Uuid::from_u128(1 + number as u128);
        changes.push(Change::put(Upstream { id, name: format!("u{number}"), ..Upstream::default() }));
        for at in 0..*count {
            let target = format!("10.{number}.{}.{}:80", at / 250, at % 250);
            let own = Uuid::from_u128(((number as u128 + 1) << 64) + at as u128);
            changes.push(Change::put(Target { id: own, upstream: id, target, ..Target::default() }));
        }
    }
    let table = builder.apply(changes).unwrap();
    (0..targets.len()).for_each(|number| balancing.begin(table.group(&format!("u{number}")).unwrap()));
    let registry = Registry::new();
    registry.register(Box::new(UpstreamCollector::new(balancing.clone()).unwrap())).unwrap();
    (balancing, registry)
}

fn scrape(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

#[tokio::test]
async fn addresses_beyond_the_cap_are_added_up() {
    let (_balancing, registry) = balancing(&[MOST_ADDRESSES - 1, 3]);
    let text = scrape(&registry);
    let own = text.lines().filter(|line| line.starts_with("gibbon_upstream_requests_in_flight{")).count();
    assert_eq!(own, MOST_ADDRESSES + 1);
    let state = r#"address="other",state="healthchecks_off",target="other",upstream="other""#;
    assert!(text.contains(&format!("gibbon_upstream_target_health{{{state}}} 2\n")));
    assert!(text.contains("gibbon_upstream_targets{upstream=\"u1\"} 3\n"));
}

#[tokio::test]
async fn histograms_beyond_the_cap_are_added_up() {
    let (_balancing, registry) = balancing(&[1; MOST_HISTOGRAMS + 2]);
    let text = scrape(&registry);
    let own = text.lines().filter(|line| line.starts_with("gibbon_upstream_latency_seconds_count{")).count();
    assert_eq!(own, MOST_HISTOGRAMS + 1);
    assert!(text.contains("gibbon_upstream_latency_seconds_count{upstream=\"other\"} 0\n"));
}

#[tokio::test]
async fn series_go_with_their_upstream() {
    let (balancing, registry) = balancing(&[2, 2]);
    assert!(scrape(&registry).contains("upstream=\"u1\""));
    balancing.end(Uuid::from_u128(2));
    let text = scrape(&registry);
    assert!(text.contains("upstream=\"u0\"") && !text.contains("upstream=\"u1\""), "{text}");
    balancing.end(Uuid::from_u128(1));
    assert_eq!(scrape(&registry), "");
}
