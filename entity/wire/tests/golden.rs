//! Pins the bytes of the wire: a change of the code must not change what an older peer reads.
//!
//! `GIBBON_TEST_BLESS=1 cargo test -p wire --test golden` writes the files of a new version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;
use wire::{
    Ack, AddressHealth, BucketSet, EncodedUpdate, Frame, Health, HealthReport, Hello, Key, Kind, Mode, Nack,
    NackReason, Partial, Position, Record, RecordType, ReportPart, Root, TargetHealth, Update, VERSIONS,
    Welcome,
};

const ID: Uuid = Uuid::from_u128(0x0f0e_0d0c_0b0a_4908_8706_0504_0302_0100);

fn position() -> Position {
    Position { epoch: Uuid::from_u128(1), revision: 42, root: Root([0xab; 32]) }
}

fn payload(mode: Mode) -> Bytes {
    let bytes = include_bytes!("../../model/tests/golden/v1_route.json");
    let mut payload = BytesMut::new();
    if mode == Mode::Repair {
        payload.extend_from_slice(&BucketSet([0x11; 32]).0);
    }
    Record { key: Key { kind: Kind(2), id: ID }, value: Some(bytes) }.encode(&mut payload);
    Record { key: Key { kind: Kind(1), id: ID }, value: None }.encode(&mut payload);
    payload.freeze()
}

fn frames() -> Vec<(&'static str, Frame)> {
    let hello = Hello {
        versions: VERSIONS,
        node_id: ID,
        hostname: "edge-1".into(),
        version: "0.1.0".into(),
        kinds: vec![1, 2],
        fields: Vec::new(),
        labels: BTreeMap::from([("rack".into(), "b7".into())]),
        held: Some(position()),
        instance: None,
        partial: None,
    };
    let welcome =
        Welcome { version: 1, node_id: ID, program: "0.1.0".into(), head: position(), heartbeat_ms: 30_000 };
    let nack = Nack {
        epoch: position().epoch,
        revision: 42,
        reason: NackReason::Invalid,
        message: "paths: should start with: / (fixed path) or ~/ (regex path)".into(),
        collection: Some("routes".into()),
        id: Some(ID),
        field: Some("paths".into()),
    };
    let partial = Partial {
        mode: "snapshot".into(),
        from: 0,
        to: position(),
        encoded_len: 1000,
        received: 600,
        hash: Root([0xcd; 32]),
    };
    let unsupported = Nack {
        reason: NackReason::Unsupported,
        message: "this program does not know its field \"order\", which must be understood".into(),
        field: Some("order".into()),
        ..nack.clone()
    };
    let knows_fields = Hello { fields: vec!["services.order".into()], ..hello.clone() };
    let cut_off = Hello { instance: Some(ID), partial: Some(Box::new(partial)), ..hello.clone() };
    let header =
        EncodedUpdate::new(&Update::new(Mode::Snapshot, 0, position(), payload(Mode::Snapshot))).header;
    vec![
        ("hello", Frame::Hello(hello)),
        ("hello_fields", Frame::Hello(knows_fields)),
        ("hello_partial", Frame::Hello(cut_off)),
        ("continued", Frame::Continued(header, 600)),
        ("welcome", Frame::Welcome(welcome)),
        ("more", Frame::More(Bytes::from_static(b"part"))),
        ("ack", Frame::Ack(Ack { held: position(), decode_us: 12, apply_us: 34 })),
        ("nack", Frame::Nack(nack)),
        ("nack_unsupported", Frame::Nack(unsupported)),
        ("heartbeat", Frame::Heartbeat(position())),
        ("buckets_wanted", Frame::BucketsWanted(position())),
        ("health", health(ReportPart::Changes)),
        ("health_full", health(ReportPart::Full { first: true, last: true })),
        ("buckets", Frame::Buckets(42, (0..=255).map(|n| Root([n; 32])).collect())),
    ]
}

fn health(part: ReportPart) -> Frame {
    let refused = AddressHealth {
        address: [10, 0, 0, 1].into(),
        port: 8000,
        weight: 100,
        health: Health::Unhealthy,
        since: 1_700_000_000_123,
        last_error: Some("connection refused".into()),
    };
    let second = AddressHealth {
        address: [0xfd00, 0, 0, 0, 0, 0, 0, 1].into(),
        health: Health::Healthy,
        last_error: None,
        ..refused.clone()
    };
    let named = TargetHealth {
        target: ID,
        record_type: RecordType::Srv,
        dns_error: Some("timeout".into()),
        addresses: vec![refused, second],
    };
    let entries = vec![named, TargetHealth::plain(Uuid::from_u128(2))];
    Frame::Health(HealthReport { part, revision: 42, targets: 1000, entries })
}

fn check(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GIBBON_TEST_BLESS").is_some() {
        std::fs::write(&path, bytes).expect("the golden file is written");
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        String::from_utf8_lossy(bytes),
        String::from_utf8_lossy(&golden),
        "the bytes of {name} have changed: older peers cannot read them"
    );
    assert_eq!(bytes, golden, "the bytes of {name} have changed: older peers cannot read them");
}

#[test]
fn every_frame_has_its_pinned_bytes_and_is_read_back() {
    for (name, frame) in frames() {
        let bytes = frame.encode();
        check(&format!("v1_{name}.frame"), &bytes);
        assert_eq!(Frame::decode(&bytes).expect("own frame"), frame);
    }
}

#[test]
fn updates_have_their_pinned_bytes() {
    for mode in Mode::ALL {
        let update = EncodedUpdate::new(&Update::new(mode, 41, position(), payload(mode)));
        assert_eq!(update.frames.len(), 1);
        check(&format!("v1_{}.frame", mode.as_str()), &update.frames[0]);
    }
}

#[test]
fn later_versions_may_add_what_this_one_ignores() {
    let mut heartbeat = serde_json::to_value(position()).expect("serialises");
    heartbeat["load"] = 0.5.into();
    let mut message = BytesMut::from(&Frame::Heartbeat(position()).encode()[..1]);
    message.extend_from_slice(heartbeat.to_string().as_bytes());
    assert_eq!(Frame::decode(&message.freeze()).expect("read"), Frame::Heartbeat(position()));
    assert_eq!(Frame::decode(&Bytes::from_static(&[200, 1, 2])).expect("read"), Frame::Ignored(200));
    assert!(Frame::decode(&Bytes::from_static(&[100, 1, 2])).is_err());
}

#[test]
fn reason_of_a_later_version_is_read_as_other() {
    let Some((_, Frame::Nack(nack))) = frames().into_iter().find(|(name, _)| *name == "nack") else {
        panic!("there is a nack")
    };
    let mut body = serde_json::to_value(nack).expect("serialises");
    body["reason"] = "too_strange".into();
    let mut message =
        BytesMut::from(&Frame::Nack(serde_json::from_value(body.clone()).expect("a nack")).encode()[..1]);
    message.extend_from_slice(body.to_string().as_bytes());
    match Frame::decode(&message.freeze()).expect("read") {
        Frame::Nack(nack) => assert_eq!(nack.reason, NackReason::Other),
        other => panic!("{other:?}"),
    }
}
