//! A second process with the node id of a connected data plane, usually because of a copied `state_dir`.

use std::net::IpAddr;
use std::time::Duration;

use node::link::Peer;
use node::text::one_line;
use serde_json::{Value, json};
use tokio::time::Instant;
use wire::Hello;

use super::seconds_now;
use crate::metrics::rejections;

/// How long a second process counts as present; a rejected one retries within half of this.
const FRESH: Duration = Duration::from_secs(60);

/// The second process.
#[derive(Debug)]
pub(super) struct Rival {
    address: IpAddr,
    hostname: String,
    seen: Instant,
    at: i64,
}

impl Rival {
    /// Notes a rejected process, and returns whether it is new.
    pub(super) fn note(known: &mut Option<Self>, hello: &Hello, peer: &Peer) -> bool {
        let rival = Self {
            address: peer.address.ip(),
            hostname: one_line(&hello.hostname),
            seen: Instant::now(),
            at: seconds_now(),
        };
        let before = known.replace(rival);
        before.is_none_or(|before| !before.is_fresh() || before.address != peer.address.ip())
    }

    /// Whether the process is likely to be there still.
    pub(super) fn is_fresh(&self) -> bool {
        self.seen.elapsed() < FRESH
    }

    pub(super) fn message(&self) -> String {
        let (address, hostname) = (self.address, &self.hostname);
        format!(
            "another process, at {address} ({hostname}), has the same node id; it is refused and gets no change"
        )
    }

    /// Returns the error that the Admin API shows.
    pub(super) fn error(&self) -> Value {
        json!({ "reason": rejections::IN_USE, "message": self.message(), "at": self.at })
    }
}
