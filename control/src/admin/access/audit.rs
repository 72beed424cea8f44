//! One line in the log for each write: who, from where, what, and what became of it. Never a body, never a
//! secret; the log's formats escape what a client has chosen.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::request::Parts;
use axum::response::Response;
use node::http::Peer;
use tracing::{info, warn};

use super::credential::Caller;
use crate::admin::resource::REVISION;
use crate::error::AccessError;
use crate::store::now;

/// The most of a path that is logged.
const MAX_PATH: usize = 512;

/// The entity that a write has made or changed, as an extension of its answer.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Entity(pub(in crate::admin) String);

/// A write under way. It is logged when it ends, also when the client leaves before.
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

/// Logs a refusal, one in a second: they cost a client nothing, and all of them are counted.
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
