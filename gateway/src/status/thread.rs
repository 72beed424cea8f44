//! The thread of the status listener: it answers even while all workers of the proxy are busy.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use node::exit::ExitError;
use node::http::{HttpLimiter, Listener, serve};
use node::status::{RESERVED_DESCRIPTORS, Settings};
use node::tokens::TokenFile;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{Front, Status};
use crate::draining::Draining;

/// A running status listener. It lives until the process ends, or until another process has its address.
#[derive(Debug)]
pub struct StatusThread {
    _thread: JoinHandle<()>,
}

impl StatusThread {
    /// Reads the file of tokens, if one is configured.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open_tokens(settings: &Settings) -> Result<Option<TokenFile>, ExitError> {
        settings.tokens.as_deref().map(TokenFile::open).transpose().map_err(ExitError::unavailable)
    }

    /// Serves `status` on these non-blocking listeners, until `draining` begins.
    ///
    /// # Errors
    /// When the system provides no thread, or not the resources of a runtime.
    pub fn start(
        listeners: Vec<TcpListener>,
        status: Status,
        tokens: Option<TokenFile>,
        settings: &Settings,
        draining: Draining,
    ) -> Result<Self, ExitError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ExitError::internal)?;
        let refused = status.metrics.status_refused.clone();
        let shared = HttpLimiter::new(settings.limits.clone(), move |bound| {
            refused.with_label_values(&[bound.as_str()]).inc();
        });
        let run = move || run(&runtime, listeners, status, tokens, shared, draining);
        let thread = std::thread::Builder::new().name("status".to_owned()).spawn(run);
        thread.map(|thread| Self { _thread: thread }).map_err(ExitError::internal)
    }
}

fn run(
    runtime: &Runtime,
    listeners: Vec<TcpListener>,
    status: Status,
    tokens: Option<TokenFile>,
    shared: HttpLimiter,
    draining: Draining,
) {
    let (stop, reloads) = (CancellationToken::new(), status.metrics.token_reloads.clone());
    let front = Front { status: Arc::new(status), tokens: tokens.as_ref().map(TokenFile::tokens) };
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for listener in listeners {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    let (listener, front) = (Listener::Tcp(listener), front.clone());
                    tasks.spawn(serve(listener, front, shared.clone(), RESERVED_DESCRIPTORS, stop.clone()));
                }
                Err(error) => error!(%error, "the status listener cannot be used"),
            }
        }
        if let Some(tokens) = tokens {
            let result = |good| if good { "done" } else { "refused" };
            let count = move |good| reloads.with_label_values(&[result(good)]).inc();
            tasks.spawn(tokens.follow(stop.clone(), count));
        }
        // The value changes once, to true.
        draining.watch().wait_for(|begun| *begun).await.ok();
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    });
}
