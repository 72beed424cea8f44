//! Faults around the two programs, and the guarantees that hold all the same. Processes are killed at any
//! moment, databases restart or are restored, nodes freeze, and networks are cut.
//!
//! Counts are small, so that all of it takes a minute; environment variables set them to the values for a
//! release.

mod disk;
mod down;
mod failover;
mod file;
mod guarded;
mod kill;
mod ledger;
mod partition;
mod restored;
mod slow;
mod swap;
mod traffic;

use std::time::Duration;

use testkit::plane::{Control, DEADLINE, Gateway};
use testkit::wait;

use traffic::Traffic;

/// Reads a count of rounds or of seconds from this environment variable.
fn count(name: &str, default: u32) -> u32 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn seconds(name: &str, default: u32) -> Duration {
    Duration::from_secs(count(name, default).into())
}

/// Waits until a data plane holds the published configuration of a control plane, and returns the revision.
async fn in_sync(control: &Control, gateway: &Gateway) -> u64 {
    in_sync_at(control, gateway, 0).await
}

/// [`in_sync`] at this revision or a later one: a control plane learns of others' commits a little later.
async fn in_sync_at(control: &Control, gateway: &Gateway, revision: u64) -> u64 {
    let (admin, status) = (control.admin(), gateway.node.status());
    wait::eventually(DEADLINE, || async {
        let expected = admin.get("/clustering/config").await?.expect(200).json();
        let held = status.get("/status").await?.expect(200).json()["sync"].clone();
        let same = ["epoch", "revision", "config_hash"].iter().all(|key| expected[key] == held[key]);
        anyhow::ensure!(same && held["connected"] == true, "expected {expected}, held {held}");
        let reached = expected["revision"].as_u64().unwrap();
        anyhow::ensure!(reached >= revision, "{reached} is published, not {revision} yet");
        Ok(reached)
    })
    .await
}

/// Returns the number of snapshots that a control plane has encoded since its start.
async fn snapshots(control: &Control) -> f64 {
    control.node.count(r#"gibbon_updates_encoded_total{kind="snapshot"}"#).await
}
