//! The listeners of the Admin API: a port, a port with TLS, a Unix socket. They share their bounds.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use node::exit::ExitError;
use node::http::{Handler, HttpLimiter, Listener, Peer, RequestBody, serve};
use node::tokens::TokenFile;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::AdminSettings;
use super::access::{Access, Credentials, SharedAccess};
use super::socket::{self, SocketFile};
use super::tls::TlsWatch;
use crate::metrics::{AdminMetrics, Metrics};

/// The share of the requests in flight that may be delayed for a wrong token: one in so many.
const DELAYED_PART: usize = 8;

/// Bound listeners that do not accept yet, and the files that identify clients.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<Listener>,
    socket: Option<SocketFile>,
    shared: HttpLimiter,
    access: SharedAccess,
    tokens: Option<TokenFile>,
    tls: Option<TlsWatch>,
    metrics: Metrics,
}

impl Listeners {
    /// Reads the files and binds the addresses; `descriptors` is the process's limit of open files.
    ///
    /// # Errors
    /// When a file cannot be used or an address cannot be bound.
    pub async fn bind(
        settings: &AdminSettings,
        metrics: &Metrics,
        descriptors: usize,
    ) -> Result<Self, ExitError> {
        let tokens = settings.tokens.as_deref().map(TokenFile::open).transpose();
        let tokens = tokens.map_err(ExitError::unavailable)?;
        let mut listeners = vec![Listener::Tcp(bind("admin.listen", settings.listen).await?)];
        let tls = match &settings.tls {
            None => None,
            Some((address, files)) => {
                let tls = TlsWatch::open(files.clone()).map_err(ExitError::unavailable)?;
                listeners.push(Listener::Tls(bind("admin.listen_tls", *address).await?, tls.config()));
                Some(tls)
            }
        };
        let socket = match &settings.socket {
            None => None,
            Some((path, mode)) => {
                let (listener, file) = socket::bind(path, *mode).map_err(|error| {
                    let path = path.display();
                    ExitError::unavailable(format!("cannot listen on {path} (admin.socket): {error}"))
                })?;
                listeners.push(Listener::Unix(listener));
                Some(file)
            }
        };
        let credentials = Credentials::new(
            tokens.as_ref().map(TokenFile::tokens),
            tls.as_ref().map(TlsWatch::trusted),
            (settings.limits.max_in_flight / DELAYED_PART).max(1),
        );
        let access = Access {
            hosts: settings.hosts.clone(),
            origins: settings.origins.clone(),
            credentials,
            metrics: metrics.admin.clone(),
        };
        let shared = bounded(settings, &metrics.admin, descriptors);
        let (access, metrics) = (Arc::new(access), metrics.clone());
        Ok(Self { listeners, socket, shared, access, tokens, tls, metrics })
    }

    /// Serves `router` until `stop`, and then until the last answer.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let front = Front { router, access: self.access, shared: self.shared.clone() };
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(serve(listener, front.clone(), self.shared.clone(), 0, stop.clone()));
        }
        if let Some(tokens) = self.tokens {
            let metrics = self.metrics.clone();
            tasks.spawn(tokens.follow(stop.clone(), move |good| metrics.count_token_reload(good)));
        }
        if let Some(tls) = self.tls {
            let metrics = self.metrics.admin;
            tasks.spawn(tls.follow(stop, move |good| metrics.count_certificate_reload(good)));
        }
        while tasks.join_next().await.is_some() {}
        drop(self.socket);
    }
}

fn bounded(settings: &AdminSettings, metrics: &AdminMetrics, descriptors: usize) -> HttpLimiter {
    let refused = metrics.refused.clone();
    HttpLimiter::new(settings.limits.clone().within(descriptors), move |bound| {
        refused.with_label_values(&[bound.as_str()]).inc();
    })
}

/// Binds the address of a key.
///
/// # Errors
/// When the address is in use or not this machine's.
pub async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, ExitError> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "; end what listens there, or set another address",
            _ => "",
        };
        ExitError::unavailable(format!("cannot listen on {address} ({key}): {error}{hint}"))
    })
}

/// The access check in front of the router.
#[derive(Clone)]
struct Front {
    router: Router,
    access: SharedAccess,
    /// For the handler that shows the connections.
    shared: HttpLimiter,
}

impl Handler for Front {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, peer: Arc<Peer>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(self.shared.clone());
        let answer = async |parts| {
            let request = Request::from_parts(parts, Body::new(body));
            let Ok(response) = self.router.clone().call(request).await;
            response
        };
        self.access.admission(parts, &peer, answer).await
    }
}
