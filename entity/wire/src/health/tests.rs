use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, Bytes, BytesMut};

use super::*;
use crate::{Frame, MAX_FRAME};

fn address(last: u8, error: Option<&str>) -> AddressHealth {
    AddressHealth {
        address: Ipv4Addr::new(10, 0, 0, last).into(),
        port: 8000,
        weight: 100,
        health: Health::Unhealthy,
        since: 1_700_000_000_123,
        last_error: error.map(str::to_owned),
    }
}

fn target(id: u128, addresses: Vec<AddressHealth>) -> TargetHealth {
    TargetHealth { target: Uuid::from_u128(id), record_type: RecordType::A, dns_error: None, addresses }
}

fn report(entries: Vec<TargetHealth>) -> HealthReport {
    let part = ReportPart::Full { first: true, last: false };
    HealthReport { part, revision: 7, targets: 9, entries }
}

fn sent(report: &HealthReport) -> HealthReport {
    match Frame::decode(&Frame::Health(report.clone()).encode()).unwrap() {
        Frame::Health(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_state_survives_the_wire() {
    let states = [Health::Healthy, Health::Unhealthy, Health::Unchecked, Health::Ejected, Health::Unknown];
    let types = [RecordType::Unknown, RecordType::A, RecordType::Aaaa, RecordType::Srv];
    let mut entries = Vec::new();
    for (health, record_type) in states.into_iter().zip(types.into_iter().cycle()) {
        let v6 = AddressHealth { address: Ipv6Addr::LOCALHOST.into(), health, ..address(1, None) };
        let dns_error = Some("dns server error: 3 name error".to_owned());
        entries.push(TargetHealth { record_type, dns_error, ..target(1, vec![v6, address(2, Some("é"))]) });
    }
    entries.push(TargetHealth::plain(Uuid::from_u128(2)));
    assert!(entries.last().is_some_and(TargetHealth::is_plain));
    let whole = report(entries);
    assert_eq!(sent(&whole), whole);
    for first in [true, false] {
        for last in [true, false] {
            let part = HealthReport { part: ReportPart::Full { first, last }, ..whole.clone() };
            assert_eq!(sent(&part), part);
        }
    }
    let changes = HealthReport { part: ReportPart::Changes, ..whole };
    assert_eq!(sent(&changes), changes);
}

#[test]
fn texts_and_addresses_over_the_limits_are_cut() {
    let long = "é".repeat(100);
    let many = (0..300).map(|_| address(1, Some(&long))).collect();
    let read = sent(&report(vec![target(1, many)]));
    assert_eq!(read.entries[0].addresses.len(), MAX_ADDRESSES);
    assert_eq!(read.entries[0].addresses[0].last_error.as_deref(), Some(&long[..MAX_ERROR_TEXT]));
    let odd = format!("a{long}");
    let read = sent(&report(vec![target(1, vec![address(1, Some(&odd))])]));
    assert_eq!(read.entries[0].addresses[0].last_error.as_deref(), Some(&odd[..MAX_ERROR_TEXT - 1]));
}

#[test]
fn frames_of_a_long_report_stay_within_their_bound() {
    let long = "e".repeat(MAX_ERROR_TEXT);
    let entries: Vec<_> =
        (0..5000).map(|n| target(n, (0..=n % 9).map(|_| address(1, Some(&long))).collect())).collect();
    let mut rest = &entries[..];
    let mut frames = 0;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(HealthReport::fitting(rest));
        let bytes = Frame::Health(report(now.to_vec())).encode();
        assert!(bytes.len() <= MAX_HEALTH_FRAME);
        let next = later.first().map_or(MAX_FRAME, TargetHealth::encoded_len);
        assert!(bytes.len() + next > MAX_HEALTH_FRAME, "no frame is left half empty");
        rest = later;
        frames += 1;
    }
    assert!(frames > 10);
    let largest = target(1, (0..MAX_ADDRESSES).map(|_| address(1, Some(&long))).collect());
    assert!(Frame::Health(report(vec![largest])).encode().len() <= MAX_HEALTH_FRAME);
}

#[test]
fn entry_of_a_usual_target_is_small() {
    let refused = target(1, vec![address(1, Some("connection refused"))]);
    assert_eq!(refused.encoded_len(), 60);
    assert_eq!(TargetHealth::plain(Uuid::nil()).encoded_len(), 22);
}

#[test]
fn later_versions_may_append_to_header_entries_and_addresses() {
    let mut address = BytesMut::new();
    address.put_slice(&[4, 10, 0, 0, 1, 0x1f, 0x40, 0, 100, 99]);
    address.put_u64(5);
    address.put_slice(&[0, b'n', b'e', b'w']);
    let mut entry = BytesMut::new();
    entry.put_slice(Uuid::from_u128(1).as_bytes());
    entry.put_slice(&[77, 0, 0, 1, u8::try_from(address.len()).unwrap()]);
    entry.put_slice(&address);
    entry.put_slice(b"later");
    let mut frame = BytesMut::from(&[128, 15, 0][..]);
    frame.put_u64(7);
    frame.put_u32(9);
    frame.put_slice(&[1, 2]);
    frame.put_u16(u16::try_from(entry.len()).unwrap());
    frame.put_slice(&entry);
    let Frame::Health(read) = Frame::decode(&frame.freeze()).unwrap() else { panic!() };
    assert_eq!((read.revision, read.targets, read.part), (7, 9, ReportPart::Changes));
    assert_eq!(read.entries[0].record_type, RecordType::Unknown);
    let address = &read.entries[0].addresses[0];
    assert_eq!((address.health, address.since, address.port), (Health::Unknown, 5, 8000));
}

#[test]
fn bytes_that_are_no_report_are_rejected() {
    let good = Frame::Health(report(vec![target(1, vec![address(1, Some("no"))])])).encode();
    for len in 1..good.len() {
        let cut = good.slice(..len);
        // Between two entries, a report is whole.
        assert!(Frame::decode(&cut).is_err() || len == 15, "{len}");
    }
    let bad = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        Frame::decode(&Bytes::from(bytes)).unwrap_err().to_string()
    };
    // The header's 15 bytes, the entry's length, id, type, text, count; the address' length and family.
    let family = 15 + 2 + 16 + 1 + 1 + 2 + 1;
    assert!(bad(family, 5).contains("address family 5"));
    assert!(bad(family - 3, 2).contains("over the limit of 256"));
    assert!(bad(good.len() - 1, 0xff).contains("UTF-8"));
}
