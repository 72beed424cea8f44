//! The record of one data plane, which outlives its connections.

use std::sync::Arc;

use entity::data_plane;
use node::link::Peer;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::{Hello, NackReason, Position};

use super::Pending;
use super::elsewhere::Elsewhere;
use super::rival::Rival;
use super::row::{is_same, stored};
use crate::metrics::rejections;

/// The state of a node id that two processes use.
pub(super) const CONFLICT: &str = "conflict";

/// The state of a data plane that cannot read the protocol, or the configuration, of this control plane.
pub(super) const INCOMPATIBLE: &str = "incompatible";

/// The record of a data plane.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) row: data_plane::Model,
    /// The position of its last rejected update. It outlives the connection, so that a reconnect does not
    /// send the rejected revision again.
    pub(super) refused: Option<Refusal>,
    /// Ends its session; replaced with each connection.
    pub(super) session: CancellationToken,
    /// Asks its session whether it is alive.
    pub(super) probe: Arc<Notify>,
    /// Another process that uses its id, and was refused here.
    pub(super) rival: Option<Rival>,
    /// Another process that uses its id, at another control plane.
    pub(super) elsewhere: Option<Elsewhere>,
}

/// A rejection that no later update has resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) to: Position,
    pub(super) reason: NackReason,
}

impl Node {
    pub(super) fn new(row: data_plane::Model, before: Option<Self>, refused: Option<Refusal>) -> Self {
        let row = match before {
            Some(Self { row: before, .. }) => {
                // An incompatible program that is admitted has been replaced by another, and what one lacks is
                // looked at with each connection.
                let is_over =
                    |error: &Value| error["reason"] == rejections::VERSIONS || !error["kinds"].is_null();
                let last_error = before.last_error.filter(|error| !is_over(error));
                let created_at = before.created_at;
                data_plane::Model { last_error, created_at, ..row }
            }
            None => row,
        };
        Self {
            row,
            refused,
            session: CancellationToken::new(),
            probe: Arc::default(),
            rival: None,
            elsewhere: None,
        }
    }

    /// Whether the hello comes from another process than the connected one. A process without an instance id
    /// is identified by its address.
    pub(super) fn is_another(&self, hello: &Hello, peer: &Peer) -> bool {
        let theirs = (hello.instance, peer.address.ip().to_string());
        self.row.connected && !is_same((self.row.instance, &self.row.ip), (theirs.0, &theirs.1))
    }

    /// Returns the row, with the details that only this control plane knows.
    pub(super) fn shown(&self) -> data_plane::Model {
        let mut row = self.row.clone();
        if let Some(error) = self.conflict().filter(|_| row.connected) {
            row.state = CONFLICT.into();
            row.last_error = Some(error);
        }
        row
    }

    /// Whether it is connected and gets no updates, because it lacks something that it must understand.
    pub(super) fn is_incompatible(&self) -> bool {
        self.row.connected && self.row.state == INCOMPATIBLE
    }

    fn conflict(&self) -> Option<Value> {
        let here = self.rival.as_ref().filter(|rival| rival.is_fresh()).map(Rival::error);
        here.or_else(|| self.elsewhere.as_ref()?.error())
    }

    /// Returns a second process with this id as pending. One that is refused here gets no change; the
    /// position of one at another control plane is not known.
    pub(super) fn rival_lacks(&self) -> Option<Pending> {
        let refused = match self.conflict() {
            Some(error) => Some(error["message"].as_str().unwrap_or_default().to_owned()),
            None if self.elsewhere.as_ref().is_some_and(Elsewhere::is_fresh) => None,
            None => return None,
        };
        Some(Pending { node_id: self.row.id, refused, other_epoch: false })
    }

    /// Returns the rejected update, unless there is a reason to retry it. The reasons: another program, no
    /// configuration, or a fault of the data plane.
    pub(super) fn refused_still(&self, hello: &Hello) -> Option<Refusal> {
        let same = self.row.version == stored(&hello.version) && hello.held.is_some();
        self.refused.filter(|refusal| same && refusal.reason != NackReason::Internal)
    }
}
