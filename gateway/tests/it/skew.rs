//! A control plane that is newer than the data plane, and does not withhold what the data plane lacks.

use serde_json::Value;
use uuid::Uuid;
use wire::{Key, Kind, Mode, NackReason};

use crate::control_plane::route;
use crate::disk::Stage;

const ID: Uuid = Uuid::from_u128(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_kind_and_field_are_refused_by_name_and_the_data_plane_serves_on() {
    let (mut stage, mut connected) = Stage::started().await;
    let known: Vec<u8> = model::KINDS.iter().map(|kind| kind.kind().0).collect();
    assert_eq!((&connected.hello.kinds, &connected.hello.fields), (&known, &model::must_understand_fields()));

    let (key, plain) = route(7, 1, "/guarded");
    let mut guarded: Value = serde_json::from_slice(&plain.unwrap()).unwrap();
    guarded["!guard"] = true.into();
    let guarded = (key, Some(serde_json::to_vec(&guarded).unwrap().into()));
    let unknown = |kind| (Key { kind: Kind(kind), id: ID }, Some(bytes::Bytes::from_static(b"?")));
    let held = stage.history().clone();
    for (change, collection, field) in [(unknown(99), "kind 99", None), (guarded, "routes", Some("guard"))] {
        let update = stage.next_of(&[change]);
        let nack = connected.update(&update).await.unwrap_err();
        assert_eq!(nack.reason, NackReason::Unsupported);
        assert_eq!((nack.collection.as_deref(), nack.id), (Some(collection), Some(ID)));
        assert_eq!(nack.field.as_deref(), field);
        // The history goes on from what the data plane holds.
        *stage.history() = held.clone();
        stage.positions.pop();
        stage.serves(1, collection).await;
    }
    let rejected = r#"gibbon_config_rejections_total{reason="unsupported"}"#;
    assert_eq!(stage.gateway.node.metric(rejected).await, 2.0);
    let last_error = stage.sync().await["last_error"].to_string();
    assert!(last_error.contains("must be understood"), "{last_error}");

    let ignored = stage.next_of(&[unknown(199)]);
    connected.update(&ignored).await.unwrap();
    stage.push(&mut connected, Mode::Delta).await;
    stage.serves(3, "a kind that may be ignored").await;
    // From its disk, too.
    stage.wait_on_disk(3).await;
    stage.gateway.node.stop().await;
    stage.control_ends();
    stage.gateway.node.start().await;
    stage.serves(3, "after a restart").await;
}
