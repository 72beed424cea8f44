//! A second process with the node id of a data plane that is connected: a copied `state_dir`, as a rule.

use std::net::IpAddr;
use std::time::Duration;

use node::link::Peer;
use node::text::one_line;
use serde_json::{Value, json};
use tokio::time::Instant;
use wire::Hello;

use super::seconds_now;
use crate::cluster::admission;

/// One that is refused comes again within half of this.
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
    /// Notes that one was refused, and answers whether that is news.
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

    /// Whether it is likely to be there still.
    pub(super) fn is_fresh(&self) -> bool {
        self.seen.elapsed() < FRESH
    }

    pub(super) fn message(&self) -> String {
        let (address, hostname) = (self.address, &self.hostname);
        format!(
            "another process, at {address} ({hostname}), has the same node id; it is refused and gets no change"
        )
    }

    /// What the Admin API shows.
    pub(super) fn error(&self) -> Value {
        json!({ "reason": admission::IN_USE, "message": self.message(), "at": self.at })
    }
}
