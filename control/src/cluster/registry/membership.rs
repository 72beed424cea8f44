//! The membership of a session in the registry.

use std::sync::Arc;
use std::time::Duration;

use node::text::one_line;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use wire::{Ack, HealthReport, Nack, NackReason, Position};

use super::known::{INCOMPATIBLE, Refusal};
use super::row::{hold, stored};
use super::{Registry, seconds_now};
use crate::cluster::session::Report;
use crate::publish::Lacking;

/// Held by a session while its data plane is connected; dropping it marks the data plane as disconnected.
#[derive(Debug)]
pub(in crate::cluster) struct Membership {
    pub(super) registry: Registry,
    pub(super) node_id: Uuid,
    /// Cancelled when the same node id connects again.
    pub(super) replaced: CancellationToken,
    pub(super) probe: Arc<Notify>,
}

impl Membership {
    /// Returns the signal that ends the session, and the one that makes it probe the data plane.
    pub(in crate::cluster) fn signals(&self) -> (CancellationToken, Arc<Notify>) {
        (self.replaced.clone(), Arc::clone(&self.probe))
    }

    /// Records a report of the session.
    pub(in crate::cluster) fn report(&self, report: &Report) {
        if self.replaced.is_cancelled() {
            // The report is older than those of the session that replaced this one.
            return;
        }
        match report {
            Report::Joined(_) | Report::Incompatible(..) | Report::Health(_) => {}
            Report::Heard(held) => self.heard(*held),
            Report::Acked(ack) => self.acked(ack),
            Report::Nacked(nack) => self.nacked(nack),
            Report::Withheld(lacking) => self.withheld(lacking),
            Report::Drifted(held) => {
                self.registry.shared.metrics.drifts.inc();
                warn!(
                    node_id = %self.node_id, revision = held.revision, root = %held.root,
                    "a data plane holds something else than this control plane at the same revision; repairing"
                );
            }
        }
    }

    /// Records the health of targets.
    pub(in crate::cluster) fn report_health(&self, report: HealthReport) {
        if !self.replaced.is_cancelled() {
            self.registry.shared.health.report(self.node_id, report, seconds_now());
        }
    }

    fn heard(&self, held: Position) {
        self.registry.edit(self.node_id, |node| {
            node.row.last_seen = seconds_now();
            hold(&mut node.row, held);
            if node.row.state == "syncing" {
                node.row.state = self.registry.state_of(held).into();
            }
        });
    }

    fn acked(&self, ack: &Ack) {
        let metrics = &self.registry.shared.metrics;
        metrics.acks.inc();
        metrics.apply_duration.observe(Duration::from_micros(ack.decode_us + ack.apply_us).as_secs_f64());
        self.registry.edit(self.node_id, |node| {
            node.refused = None;
            node.row.last_seen = seconds_now();
            node.row.last_error = None;
            node.row.state = self.registry.state_of(ack.held).into();
            hold(&mut node.row, ack.held);
        });
    }

    fn nacked(&self, nack: &Nack) {
        warn!(
            node_id = %self.node_id, revision = nack.revision, reason = nack.reason.as_str(),
            entity = ?nack.id, field = nack.field.as_deref().map(one_line),
            "a data plane has refused a configuration: {}", one_line(&nack.message)
        );
        self.registry.shared.metrics.nacks.with_label_values(&[nack.reason.as_str()]).inc();
        self.registry.edit(self.node_id, |node| {
            let to = Position { epoch: nack.epoch, revision: nack.revision, ..Position::default() };
            node.refused = Some(Refusal { to, reason: nack.reason });
            node.row.last_seen = seconds_now();
            node.row.state = match nack.reason {
                NackReason::Unsupported => INCOMPATIBLE.into(),
                _ => "rejected".into(),
            };
            node.row.last_error = Some(json!({
                "epoch": nack.epoch,
                "revision": nack.revision,
                "reason": nack.reason.as_str(),
                "message": stored(&nack.message),
                "entity": nack.collection.as_deref().map(stored),
                "id": nack.id,
                "field": nack.field.as_deref().map(stored),
                "at": seconds_now(),
            }));
        });
    }

    /// Updates are withheld. The log says so once per connection, and again when something else is lacking;
    /// every write reports it.
    fn withheld(&self, lacking: &Lacking) {
        let message = lacking.message();
        let error = json!({
            "epoch": lacking.to.epoch,
            "revision": lacking.to.revision,
            "reason": NackReason::Unsupported.as_str(),
            "message": message,
            "kinds": lacking.kind_names(),
            "fields": lacking.field_names(),
            "at": seconds_now(),
        });
        self.registry.edit(self.node_id, |node| {
            let lacks = |error: &Value| (error["kinds"].clone(), error["fields"].clone());
            let known = node.row.last_error.as_ref().map(lacks);
            if node.row.state != INCOMPATIBLE || known != Some(lacks(&error)) {
                let (node_id, version) = (self.node_id, &node.row.version);
                warn!(%node_id, version, "a data plane is incompatible and gets no updates: it {message}");
            }
            node.row.state = INCOMPATIBLE.into();
            node.row.last_error = Some(error);
        });
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        info!(node_id = %self.node_id, "data plane disconnected");
        // A session that was replaced must not mark its successor as gone.
        if !self.replaced.is_cancelled() {
            self.registry.edit(self.node_id, |node| {
                node.row.connected = false;
                node.row.state = "disconnected".into();
            });
            self.registry.shared.health.left(self.node_id);
            self.registry.shared.came_or_went.notify_one();
        }
    }
}
