//! Encodes updates: each is encoded once, however many data planes request it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use wire::{EncodedUpdate, Mode, Partial, Position, Root, Update};

use super::state::{PublishedState, UpdateParts};
use super::update::PublishedUpdate;
use crate::metrics::ClusterMetrics;
use crate::off_workers::{drop_off_workers, off_workers};

/// Encoded deltas that are kept: data planes that are slightly behind request the same few.
const KEPT: usize = 64;

/// How long an update that was cut off is kept: longer than a data plane takes to reconnect.
const CUT_OFF: Duration = Duration::from_secs(600);

/// Encodes updates and caches them.
#[derive(Debug)]
pub(super) struct Encoder {
    metrics: ClusterMetrics,
    deltas: Mutex<Vec<(DeltaRequest, Encoding)>>,
    /// The newest snapshot; only one, since a snapshot may be large.
    snapshot: Mutex<Option<Arc<PublishedUpdate>>>,
    /// The newest large update whose connection has ended before its answer, and when that was.
    cut_off: Mutex<Option<(Instant, Arc<PublishedUpdate>)>>,
    /// Held while something large is encoded, which takes a core for a while, and memory.
    large: tokio::sync::Mutex<()>,
}

/// An update that may still be in the encoder; a second request for it waits for the first.
type Encoding = Arc<OnceCell<Arc<PublishedUpdate>>>;

/// Identifies a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeltaRequest {
    from: u64,
    to: Position,
}

impl Encoder {
    pub(super) fn new(metrics: ClusterMetrics) -> Self {
        let (deltas, snapshot, cut_off) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { metrics, deltas, snapshot, cut_off, large: tokio::sync::Mutex::default() }
    }

    /// Returns the update from `held` to the head of `state`. It is a delta if the state has the changes
    /// since `held` in the same epoch, else a snapshot.
    pub(super) async fn update(
        &self,
        state: &Mutex<PublishedState>,
        held: Option<Position>,
    ) -> Arc<PublishedUpdate> {
        let wanted = {
            let state = state.lock();
            let to = state.position();
            let held = held.filter(|held| held.epoch == to.epoch && held.revision <= to.revision);
            held.map(|held| held.revision)
                .filter(|from| state.remembers(*from))
                .map(|from| DeltaRequest { from, to })
        };
        match wanted {
            Some(wanted) => self.delta(state, wanted).await,
            None => self.snapshot(state).await,
        }
    }

    /// Returns the buckets that differ from a data plane's; `None` when the head has moved on.
    pub(super) async fn repair(
        &self,
        state: &Mutex<PublishedState>,
        held: Position,
        theirs: &[Root],
    ) -> Option<Arc<PublishedUpdate>> {
        let _alone = self.large.lock().await;
        let material = state.lock().repair(held.revision, theirs)?;
        Some(self.encode(material).await)
    }

    /// Keeps an update that was cut off, if it is more than a frame. There is one for all data planes: those
    /// of one control plane that are behind receive the same snapshot.
    pub(super) fn cut_off(&self, update: Arc<PublishedUpdate>) {
        if update.frames.len() > 1 && update.header.mode != Mode::Repair {
            *self.cut_off.lock() = Some((Instant::now(), update));
        }
    }

    /// Returns the encoded update that a data plane has received a part of, going by its header.
    pub(super) fn begun(&self, partial: &Partial) -> Option<Arc<PublishedUpdate>> {
        let cut_off = self.cut_off.lock().as_ref().map(|(_, update)| Arc::clone(update));
        let snapshot = self.snapshot.lock().clone();
        let deltas: Vec<_> =
            self.deltas.lock().iter().filter_map(|(_, encoding)| encoding.get().cloned()).collect();
        cut_off.into_iter().chain(snapshot).chain(deltas).find(|update| partial.is_of(&update.header))
    }

    /// Drops all cached updates: they belong to a state that is replaced.
    pub(super) fn clear(&self) {
        let deltas = std::mem::take(&mut *self.deltas.lock());
        drop_off_workers((deltas, self.cut_off.lock().take(), self.snapshot.lock().take()));
    }

    /// Drops the snapshot if it does not belong to `now`, unless a request waits for it.
    pub(super) fn tidy(&self, now: Position) {
        if let Some(late) = self.cut_off.lock().take_if(|(at, _)| at.elapsed() >= CUT_OFF) {
            drop_off_workers(late);
        }
        if let Ok(_alone) = self.large.try_lock()
            && let Some(old) = self.snapshot.lock().take_if(|kept| kept.header.position() != now)
        {
            drop_off_workers(old);
        }
    }

    async fn delta(&self, state: &Mutex<PublishedState>, wanted: DeltaRequest) -> Arc<PublishedUpdate> {
        let encoding = self.encoding(wanted);
        let encoded = encoding.get_or_init(|| async {
            let material = {
                let state = state.lock();
                // The state may have been loaded again, in another epoch.
                state.material((state.head().epoch == wanted.to.epoch).then_some(wanted.from))
            };
            self.encode(material).await
        });
        Arc::clone(encoded.await)
    }

    fn encoding(&self, wanted: DeltaRequest) -> Encoding {
        let mut deltas = self.deltas.lock();
        if let Some((_, encoding)) = deltas.iter().find(|(known, _)| *known == wanted) {
            return Arc::clone(encoding);
        }
        if deltas.len() == KEPT {
            deltas.remove(0);
        }
        let encoding = Encoding::default();
        deltas.push((wanted, Arc::clone(&encoding)));
        encoding
    }

    /// Returns a snapshot of the head, which may move while other updates are encoded.
    async fn snapshot(&self, state: &Mutex<PublishedState>) -> Arc<PublishedUpdate> {
        let asked = state.lock().position();
        let _alone = self.large.lock().await;
        let kept = self.snapshot.lock().clone();
        let now = state.lock().position();
        if let Some(kept) = kept.filter(|kept| serves(kept.header.position(), asked, now)) {
            return kept;
        }
        // Frees the old snapshot before it makes the new one.
        *self.snapshot.lock() = None;
        let material = state.lock().material(None);
        let encoded = self.encode(material).await;
        *self.snapshot.lock() = Some(Arc::clone(&encoded));
        encoded
    }

    /// Encodes on a blocking thread: compressing a large snapshot takes a core for a while, and sockets must
    /// not wait for it.
    async fn encode(&self, material: UpdateParts) -> Arc<PublishedUpdate> {
        self.metrics.updates_encoded.with_label_values(&[material.mode.as_str()]).inc();
        let encode = move || {
            let payload = material.payload();
            let update = Update::new(material.mode, material.from, material.to, payload);
            PublishedUpdate::new(EncodedUpdate::new(&update), material.requirements)
        };
        Arc::new(off_workers(encode).await)
    }
}

/// Whether a snapshot of `kept` answers a request made when the head was at `asked`, now that it is at `now`.
fn serves(kept: Position, asked: Position, now: Position) -> bool {
    let same_history = kept.epoch == now.epoch && (kept.revision < now.revision || kept == now);
    same_history && (asked.epoch != kept.epoch || asked.revision <= kept.revision)
}

#[cfg(test)]
mod tests {
    use super::super::recent::by_revision;
    use super::super::requirements::Known;
    use super::super::state::fixture::{change, head};
    use super::*;

    fn at(revision: u64) -> Position {
        Position { epoch: head(0).epoch, revision, ..Position::default() }
    }

    #[test]
    fn a_snapshot_serves_who_asked_before_it_was_made() {
        assert!(serves(at(7), at(7), at(7)) && serves(at(7), at(5), at(7)) && serves(at(7), at(5), at(9)));
        assert!(!serves(at(7), at(8), at(9)), "it would lead back");
        let other = Position { epoch: uuid::Uuid::from_u128(2), ..at(3) };
        assert!(!serves(at(7), at(7), other) && serves(other, at(7), other));
        assert!(!serves(at(7), at(7), Position { root: Root([1; 32]), ..at(7) }));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_who_ask_while_the_head_moves_few_make_it_encode() {
        let metrics = crate::metrics::Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
        let encoder = Arc::new(Encoder::new(metrics.clone()));
        let state = Arc::new(Mutex::new(PublishedState::new(head(0), Vec::new())));
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (encoder, state) = (Arc::clone(&encoder), Arc::clone(&state));
            asking.spawn(async move {
                let asked = state.lock().position();
                let update = encoder.update(&state, None).await;
                assert!(update.header.to >= asked.revision);
            });
        }
        let mut revision = 0;
        while !asking.is_empty() {
            revision += 1;
            state
                .lock()
                .advance(head(revision), by_revision(&[change(revision, revision as u8, Some(b"{}"))]));
            tokio::task::yield_now().await;
            while let Some(done) = asking.try_join_next() {
                done.unwrap();
            }
        }
        let encoded = metrics.updates_encoded.with_label_values(&["snapshot"]).get();
        assert!(encoded < 50, "{encoded} snapshots for 200 who asked");
    }

    #[tokio::test]
    async fn update_has_the_requirements_of_the_head_that_it_leads_to() {
        let metrics = crate::metrics::Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
        let (encoder, known) = (Encoder::new(metrics), Known::default());
        let state = Mutex::new(PublishedState::new(head(0), Vec::new()));
        state.lock().advance(head(1), by_revision(&[change(1, 1, Some(b"{}"))]));
        let snapshot = encoder.update(&state, None).await;
        state.lock().advance(head(2), by_revision(&[change(2, 1, None)]));
        assert_eq!(state.lock().lacking(&known), None);
        assert_eq!(snapshot.lacking(&known).map(|lacking| lacking.to.revision), Some(1));
        // It holds the route's deletion alone.
        assert_eq!(encoder.update(&state, Some(at(1))).await.lacking(&known), None);
    }
}
