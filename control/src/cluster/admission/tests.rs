//! The loop that reads files and revocations, for hours of a paused clock.

use std::pin::pin;

use node::identity::{Files, Mode, Role};
use tempfile::TempDir;
use testkit::certs::Pair;
use testkit::turns::{polls_in_steps, polls_within};

use super::*;
use crate::metrics::Metrics;

const STEP: Duration = Duration::from_secs(30);
/// The steps of six hours.
const STEPS: u32 = 720;
/// A step wakes the loop once, and reading the revocations is some polls.
const POLLS_PER_STEP: u64 = 20;

struct Stage {
    folder: TempDir,
    pair: Pair,
    store: Store,
    admission: Admission,
    certificate: PeerCertificate,
}

impl Stage {
    async fn new() -> (Self, AdmissionReloader) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/control.db?mode=rwc", folder.path().display());
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
        let pair = testkit::certs::valid(folder.path(), "cluster");
        let (certificate, key) = (pair.cert.clone(), pair.key.clone());
        let files = Files { mode: Mode::Shared, role: Role::ControlPlane, certificate, key, ca: None };
        let identity = IdentityReloader::open(files).unwrap();
        let certificate = identity.identity().leaf().clone();
        let (admission, reloader) = Admission::start(identity, store.clone(), metrics).await.unwrap();
        (Self { folder, pair, store, admission, certificate }, reloader)
    }

    fn reloads(&self, result: &str) -> u64 {
        self.admission.shared.metrics.certificate_reloads.with_label_values(&[result]).get()
    }
}

#[tokio::test]
async fn files_and_revocations_are_read_for_hours_and_each_change_once() {
    let (stage, reloader) = Stage::new().await;
    tokio::time::pause();
    let mut follow = pin!(reloader.follow(CancellationToken::new()));
    let is_idle = || stage.store.is_idle();
    let most = POLLS_PER_STEP * u64::from(STEPS);
    polls_in_steps(STEP, STEPS, most, follow.as_mut(), is_idle).await;
    assert_eq!((stage.reloads("done"), stage.reloads("refused")), (0, 0));

    let before = stage.admission.tls();
    let other = testkit::certs::valid(stage.folder.path(), "other");
    std::fs::copy(&other.cert, &stage.pair.cert).unwrap();
    std::fs::copy(&other.key, &stage.pair.key).unwrap();
    polls_in_steps(STEP, STEPS, most, follow.as_mut(), is_idle).await;
    assert_eq!((stage.reloads("done"), stage.reloads("refused")), (1, 0));
    assert!(!Arc::ptr_eq(&before, &stage.admission.tls()));

    std::fs::write(&stage.pair.key, "half").unwrap();
    polls_in_steps(STEP, STEPS, most, follow.as_mut(), is_idle).await;
    assert_eq!((stage.reloads("done"), stage.reloads("refused")), (1, 1), "refused once, not each second");
}

#[tokio::test]
async fn connection_of_days_looks_at_its_expiry_each_half_minute() {
    let (stage, _reloader) = Stage::new().await;
    tokio::time::pause();
    let mut permit = stage.admission.admit(&stage.certificate).unwrap();
    let days = Duration::from_secs(2 * 86_400);
    polls_within(days, days.as_secs() / 30 + 10, permit.withdrawn()).await;
}
