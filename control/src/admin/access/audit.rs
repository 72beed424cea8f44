//! The audit log: one line for each write, with the client, its address, the request and the result. It never
//! contains a body or a secret. The log's formats escape text that a client has chosen.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::request::Parts;
use axum::response::Response;
use model::HIDDEN;
use node::http::Peer;
use tracing::{info, warn};
use uuid::Uuid;

use super::credential::Caller;
use crate::admin::REVISION;
use crate::error::AccessError;
use crate::store::now;

/// The segments of paths that an API key or an id follows.
const KEYS: [&str; 2] = ["key-auths", "key-auth"];
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

/// The path of a request. An API key in it is hidden, as it is everywhere in the log.
fn path(parts: &Parts) -> String {
    let mut follows_keys = false;
    let segments = parts.uri.path().split('/').map(|segment| {
        let is_key = follows_keys && !segment.is_empty() && Uuid::try_parse(segment).is_err();
        if !segment.is_empty() {
            follows_keys = KEYS.contains(&segment);
        }
        if is_key { HIDDEN } else { segment }
    });
    segments.collect::<Vec<_>>().join("/").chars().take(MAX_PATH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_paths_are_hidden() {
        for (path_and_query, expected) in [
            ("/services/a", "/services/a"),
            ("/key-auths", "/key-auths"),
            ("/key-auths/", "/key-auths/"),
            ("/key-auths/secret?a=b", "/key-auths/***"),
            ("//key-auths//secret/consumer", "//key-auths//***/consumer"),
            ("/consumers/a/key-auth/secret", "/consumers/a/key-auth/***"),
            (
                "/key-auths/00000000-0000-4000-8000-000000000001",
                "/key-auths/00000000-0000-4000-8000-000000000001",
            ),
        ] {
            let request = axum::http::Request::builder().uri(path_and_query).body(()).unwrap();
            assert_eq!(path(&request.into_parts().0), expected);
        }
    }
}
