//! The record of one data plane, which outlives its connections.

use std::sync::Arc;

use entity::data_plane;
use node::link::Peer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{Hello, NackReason, Position};

use super::Pending;
use super::rival::Rival;
use super::row::stored;
use crate::metrics::rejections;

/// The record of a data plane.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) row: data_plane::Model,
    /// The position of its last rejected update. It outlives the connection, so that a reconnect does not
    /// send the rejected revision again.
    pub(super) refused: Option<Refusal>,
    /// The instance id of its process.
    pub(super) instance: Option<Uuid>,
    /// Ends its session; replaced with each connection.
    pub(super) session: CancellationToken,
    /// Asks its session whether it is alive.
    pub(super) probe: Arc<Notify>,
    /// Another process that uses its id.
    pub(super) rival: Option<Rival>,
}

/// A rejection that no later update has resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) to: Position,
    pub(super) reason: NackReason,
}

impl Node {
    pub(super) fn new(
        row: data_plane::Model,
        before: Option<Self>,
        refused: Option<Refusal>,
        hello: &Hello,
    ) -> Self {
        let row = match before {
            Some(Self { row: before, .. }) => {
                // An incompatible program that is admitted has been replaced by another.
                let last_error = before.last_error.filter(|error| error["reason"] != rejections::VERSIONS);
                let created_at = before.created_at;
                data_plane::Model { last_error, created_at, ..row }
            }
            None => row,
        };
        Self {
            row,
            refused,
            instance: hello.instance,
            session: CancellationToken::new(),
            probe: Arc::default(),
            rival: None,
        }
    }

    /// Whether the hello comes from another process than the connected one. A process without an instance id
    /// is identified by its address.
    pub(super) fn is_another(&self, hello: &Hello, peer: &Peer) -> bool {
        let same = match (self.instance, hello.instance) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.row.ip == peer.address.ip().to_string(),
        };
        self.row.connected && !same
    }

    /// Returns the row, with the details that only this control plane knows.
    pub(super) fn shown(&self) -> data_plane::Model {
        let mut row = self.row.clone();
        if let Some(rival) = self.rival.as_ref().filter(|rival| row.connected && rival.is_fresh()) {
            row.state = "conflict".into();
            row.last_error = Some(rival.error());
        }
        row
    }

    /// Returns a second process with this id as pending: it is rejected, and so gets no change.
    pub(super) fn rival_lacks(&self) -> Option<Pending> {
        let rival = self.rival.as_ref().filter(|rival| rival.is_fresh())?;
        Some(Pending { node_id: self.row.id, refused: Some(rival.message()), other_epoch: false })
    }

    /// Returns the rejected update, unless there is a reason to retry it. The reasons: another program, no
    /// configuration, or a fault of the data plane.
    pub(super) fn refused_still(&self, hello: &Hello) -> Option<Refusal> {
        let same = self.row.version == stored(&hello.version) && hello.held.is_some();
        self.refused.filter(|refusal| same && refusal.reason != NackReason::Internal)
    }
}
