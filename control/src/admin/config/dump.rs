//! `GET /config`: the configuration as one document. It is written while it is sent.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::held;
use super::options::ShowOptions;
use crate::admin::{REVISION, SharedAdmin};
use crate::declarative::{Dump, DumpOptions, Format};
use crate::error::ApiError;

/// Timeout for the end of another dump.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one part of the answer, and parts that wait for the client.
const PART: usize = 64 << 10;
const PARTS: usize = 4;

pub(super) async fn show(State(admin): State<SharedAdmin>, request: Request) -> Result<Response, ApiError> {
    let options = ShowOptions::parse(request.uri().query().unwrap_or_default())?;
    let turn = Arc::clone(&admin.config.dumps).acquire_owned();
    let turn = tokio::time::timeout(TURN_TIMEOUT, turn).await.map_err(|_| ApiError::ConfigBusy)?;
    let turn = turn.map_err(|_| ApiError::Panicked)?;
    let ShowOptions { format, with_ids, select_tags, revision } = options;
    // What is not dumped is dropped with the rest: it may be large.
    let (revision, now, entities) = match revision {
        None => {
            let (head, entities) = admin.state.store.every().await?;
            (head.revision, Vec::new(), entities)
        }
        Some(revision) => {
            let past = admin.state.store.past(revision).await?;
            (revision, past.now, past.then)
        }
    };
    let show_secrets = admin.state.show_secrets;
    let (parts, mut written) = mpsc::channel(PARTS);
    spawn_blocking(move || {
        drop(now);
        let options = DumpOptions { with_ids, select_tags, show_secrets };
        let dump = Dump::new(options, entities.into_iter().map(held));
        let mut out = BufWriter::with_capacity(PART, Parts(parts.clone()));
        if let Err(error) = dump.write(format, &mut out).and_then(|()| out.flush()) {
            // Without this error, the answer would look complete.
            parts.blocking_send(Err(io::Error::other("the dump failed"))).ok();
            if error.kind() != io::ErrorKind::BrokenPipe {
                warn!(%error, "the configuration cannot be written");
            }
        }
        drop(turn);
    });
    let body = Body::from_stream(stream::poll_fn(move |context| written.poll_recv(context)));
    let content_type = match format {
        Format::Json => "application/json; charset=utf-8",
        Format::Yaml => "application/yaml",
    };
    let headers =
        [(header::CONTENT_TYPE.as_str(), content_type.to_owned()), (REVISION, revision.to_string())];
    Ok((headers, body).into_response())
}

/// The parts of an answer. Writing waits for the client; it fails when the client has left.
struct Parts(mpsc::Sender<io::Result<Bytes>>);

impl Write for Parts {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(part)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
