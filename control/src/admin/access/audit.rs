//! The audit log: one line for each write, with the client, its address, the request and the result. It never
//! contains a body or a secret. The log's formats escape text that a client has chosen.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::request::Parts;
use axum::response::Response;
use node::http::Peer;
use tracing::{info, warn};

use super::credential::Caller;
use crate::admin::REVISION;
use crate::error::AccessError;
use crate::store::now;

/// The maximum length of a path in the log.
const MAX_PATH: usize = 512;

/// The entity that a write created or changed, as an extension of its response.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Entity(pub(in crate::admin) String);

/// A write in progress. It is logged when it ends, also when the client disconnects before.
pub(super) struct Write {
    who: String,
    from: String,
    method: String,
    path: String,
    answered: bool,
}

impl Write {
    pub(super) fn begin(caller: &Caller, parts: &Parts, peer: &Peer) -> Self {
        Self {
            who: caller.name.clone(),
            from: peer.address.to_string(),
            method: parts.method.to_string(),
            path: path(parts),
            answered: false,
        }
    }

    pub(super) fn end(mut self, response: &Response) {
        self.answered = true;
        let revision = response.headers().get(REVISION).and_then(|revision| revision.to_str().ok());
        let entity = response.extensions().get::<Entity>().map(|entity| entity.0.as_str());
        info!(
            target: "audit",
            who = self.who, from = self.from, method = self.method, path = self.path, entity,
            status = response.status().as_u16(), revision, "write"
        );
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.answered {
            info!(
                target: "audit",
                who = self.who, from = self.from, method = self.method, path = self.path,
                "write without an answer: the client left; it may have been done"
            );
        }
    }
}

/// Logs a rejected request, at most one each second: rejections cost a client nothing, and metrics count all
/// of them.
pub(super) fn refused(error: AccessError, parts: &Parts, peer: &Peer) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let second = now().unsigned_abs();
    if LAST.swap(second, Ordering::Relaxed) != second {
        let (from, method, path) = (peer.address.to_string(), parts.method.to_string(), path(parts));
        warn!(target: "audit", reason = error.reason(), from, method, path, "refused");
    }
}

fn path(parts: &Parts) -> String {
    parts.uri.path().chars().take(MAX_PATH).collect()
}
