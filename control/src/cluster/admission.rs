//! Decides which data planes may connect, and which must disconnect. It uses the node's own certificate, the
//! certificates and authorities that it trusts, and the revocations in the database.
//!
//! Files and revocations are read every [`POLL`]. If a read fails, the previous ones stay active.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use node::identity::{IdentityReloader, POLL, PeerCertificate};
use node::text::one_line;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::metrics::{ClusterMetrics, rejections};
use crate::revocation::Revoked;
use crate::store::{Store, StoreError, now};

/// Interval for checking an expiry again: clocks are adjusted, and machines sleep.
const EXPIRY_RECHECK: Duration = Duration::from_secs(30);

/// Decides for the listener; cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<AdmissionState>,
}

#[derive(Debug)]
struct AdmissionState {
    tls: ArcSwap<ServerConfig>,
    revoked: watch::Sender<Arc<Revoked>>,
    metrics: ClusterMetrics,
}

/// Brings an [`Admission`] up to date.
#[derive(Debug)]
pub struct AdmissionReloader {
    admission: Admission,
    reloader: IdentityReloader,
    store: Store,
    /// Whether the last read of the revocations failed, so that the log says it once.
    blind: bool,
}

/// The permission for a data plane's connection, until it is withdrawn.
#[derive(Debug)]
pub(super) struct AdmissionPermit {
    certificate: PeerCertificate,
    revoked: watch::Receiver<Arc<Revoked>>,
    metrics: ClusterMetrics,
}

/// The admission could not start: without revocations or TLS, no data plane may connect.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The revocations cannot be read.
    #[error(
        "cannot read the revocations: {0}; is the schema up to date? `gibbon-control migrate` makes it so"
    )]
    Store(#[from] StoreError),
    /// The identity cannot be used for TLS.
    #[error("cannot use the cluster's certificate: {0}")]
    Tls(#[from] rustls::Error),
}

impl Admission {
    /// Creates an admission and its reloader.
    ///
    /// # Errors
    /// When the revocations cannot be read: a revoked node could connect again.
    pub async fn start(
        reloader: IdentityReloader,
        store: Store,
        metrics: ClusterMetrics,
    ) -> Result<(Self, AdmissionReloader), AdmissionError> {
        let revoked: Revoked = store.revocations().list().await?.into_iter().collect();
        metrics.certificate_expiry.set(reloader.identity().not_after());
        let tls = ArcSwap::new(reloader.server_config()?);
        let shared = AdmissionState { tls, revoked: watch::Sender::new(Arc::new(revoked)), metrics };
        let admission = Self { shared: Arc::new(shared) };
        Ok((admission.clone(), AdmissionReloader { admission, reloader, store, blind: false }))
    }

    /// Returns the TLS configuration for the next handshake.
    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        self.shared.tls.load_full()
    }

    /// Admits the holder of this certificate, or returns the reason for rejecting it.
    pub(super) fn admit(&self, certificate: &PeerCertificate) -> Result<AdmissionPermit, String> {
        let (revoked, metrics) = (self.shared.revoked.subscribe(), self.shared.metrics.clone());
        let permit = AdmissionPermit { certificate: certificate.clone(), revoked, metrics };
        match permit.refusal() {
            None => Ok(permit),
            Some(reason) => {
                permit.metrics.handshakes_refused.with_label_values(&[rejections::REVOKED]).inc();
                Err(reason)
            }
        }
    }
}

impl AdmissionReloader {
    /// Brings the admission up to date until `stop`.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.reload();
            self.read_revocations().await;
        }
    }

    fn reload(&mut self) {
        let metrics = &self.admission.shared.metrics;
        let renewed = self.reloader.refresh().map_err(|error| error.to_string()).and_then(|changed| {
            let tls = changed.then(|| self.reloader.server_config()).transpose();
            tls.map_err(|error| error.to_string())
        });
        match renewed {
            Ok(None) => {}
            Ok(Some(tls)) => {
                self.admission.shared.tls.store(tls);
                let expiry = self.reloader.identity().not_after();
                metrics.certificate_expiry.set(expiry);
                metrics.certificate_reloads.with_label_values(&["done"]).inc();
                let fingerprint = self.reloader.identity().fingerprint();
                info!(%fingerprint, expiry, "the cluster's certificates were read anew");
            }
            Err(reason) => {
                metrics.certificate_reloads.with_label_values(&["refused"]).inc();
                warn!("{reason}; what was read before stays in force");
            }
        }
    }

    async fn read_revocations(&mut self) {
        match self.store.revocations().list().await {
            Ok(rows) => {
                self.blind = false;
                let read: Revoked = rows.into_iter().collect();
                self.admission.shared.revoked.send_if_modified(|known| {
                    let changed = **known != read;
                    if changed {
                        *known = Arc::new(read);
                    }
                    changed
                });
            }
            Err(error) if !self.blind => {
                self.blind = true;
                warn!("cannot read the revocations: {error}; those that were read before stay in force");
            }
            Err(_) => {}
        }
    }
}

impl AdmissionPermit {
    /// Checks the node id against the certificate; a certificate of the `shared` mode names no node.
    pub(super) fn check_name(&self, said: Uuid) -> Result<(), String> {
        match self.certificate.node_id() {
            Some(certified) if certified != said => {
                self.metrics.handshakes_refused.with_label_values(&[rejections::NODE_ID]).inc();
                Err(format!("the certificate is of node {certified}, not of {said}"))
            }
            _ => Ok(()),
        }
    }

    /// Waits until the certificate may not be used any more, and says why.
    ///
    /// Cancel safe.
    pub(super) async fn withdrawn(&mut self) -> String {
        loop {
            if let Some(reason) = self.refusal() {
                return reason;
            }
            let left = u64::try_from(self.certificate.not_after - now()).unwrap_or(0);
            let expiry = Duration::from_secs(left + 1).min(EXPIRY_RECHECK);
            // The admission outlives its permits; should it not, the expiry still counts.
            tokio::select! {
                Ok(()) = self.revoked.changed() => {}
                () = tokio::time::sleep(expiry) => {}
            }
        }
    }

    fn refusal(&self) -> Option<String> {
        if let Some(why) = self.revoked.borrow().find(&self.certificate) {
            return Some(one_line(&format!("the certificate is revoked{why}")));
        }
        (now() > self.certificate.not_after).then(|| "the certificate has expired".to_owned())
    }
}

#[cfg(test)]
mod tests;
