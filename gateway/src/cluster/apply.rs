//! Makes an update live: check, build, swap. The only place that publishes a table.
//!
//! Everything is checked before anything is swapped; an update that is refused leaves the digest, the
//! builder and the live table as they were.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use wire::{
    Ack, Digest, EntityHash, Key, Kind, Mode, Nack, NackReason, Position, Record, RecordError, Records, Root,
    Update, UpdateError, split_repair,
};

use crate::live::Live;
use crate::route::{Builder, Change, Refusal, Table};

/// Kinds of entities that this program understands; of others it keeps the hashes alone.
pub(super) const KINDS: [Kind; 5] =
    [Kind::SERVICE, Kind::ROUTE, Kind::CERTIFICATE, Kind::SNI, Kind::CA_CERTIFICATE];

/// What the data plane holds, and the one who changes it.
#[derive(Debug)]
pub struct Applier {
    live: Arc<Live>,
    state: State,
    held: Option<Position>,
}

/// All that an update changes.
#[derive(Debug, Default)]
struct State {
    builder: Builder,
    digest: Digest,
}

/// What an update does: hashes for every kind of entity, and the records, which are read a second time, one
/// by one, when the hashes have been found right.
struct Plan {
    hashes: Vec<(Key, Option<EntityHash>)>,
    records: Bytes,
    /// What a repair does not name in a bucket that it replaces.
    removed: Vec<Key>,
}

/// Why an update is refused; becomes a [`Nack`].
struct Refused {
    reason: NackReason,
    message: String,
    entity: Option<(Key, Option<String>)>,
}

impl Applier {
    /// Holds nothing yet; will publish to `live`.
    pub fn new(live: Arc<Live>) -> Self {
        Self { live, state: State::default(), held: None }
    }

    /// What is held and live.
    pub const fn held(&self) -> Option<Position> {
        self.held
    }

    /// The bucket hashes of what is held.
    pub fn buckets(&mut self) -> Vec<Root> {
        self.state.digest.buckets()
    }

    /// Applies all of `update`, or nothing of it.
    ///
    /// # Errors
    /// The refusal to be sent to the control plane.
    pub fn apply(&mut self, update: &Update) -> Result<Ack, Nack> {
        let begun = Instant::now();
        let mut decoded = begun;
        let applied = self.try_apply(update, &mut decoded);
        match applied {
            Ok(()) => Ok(Ack {
                held: update.header.position(),
                decode_us: micros(decoded - begun),
                apply_us: micros(decoded.elapsed()),
            }),
            Err(refused) => Err(refused.into_nack(update.header.position())),
        }
    }

    fn try_apply(&mut self, update: &Update, decoded: &mut Instant) -> Result<(), Refused> {
        self.check_order(update)?;
        let plan = guarded(|| self.plan(update))?;
        *decoded = Instant::now();
        let table = match update.header.mode {
            Mode::Snapshot => {
                let mut state = State::default();
                let table = guarded(|| state.apply(&plan, update.header.root))?;
                self.state = state;
                table
            }
            Mode::Delta | Mode::Repair => {
                let state = &mut self.state;
                guarded(|| state.apply(&plan, update.header.root)).inspect_err(|refused| {
                    if matches!(refused.reason, NackReason::Internal) {
                        // What a panic left behind cannot be built upon. The next delta will be out of
                        // order, and the control plane answers that with a snapshot.
                        self.held = None;
                    }
                })?
            }
        };
        self.held = Some(update.header.position());
        self.live.publish(table);
        Ok(())
    }

    fn check_order(&self, update: &Update) -> Result<(), Refused> {
        let header = &update.header;
        let from = match header.mode {
            Mode::Snapshot => return Ok(()),
            Mode::Delta => header.from,
            Mode::Repair => header.to,
        };
        match self.held {
            Some(held) if held.epoch == header.epoch && held.revision == from && from <= header.to => Ok(()),
            held => Err(Refused::new(
                NackReason::OutOfOrder,
                match held {
                    Some(held) => format!(
                        "the {} starts from revision {from} of epoch {} and leads to {}, held is revision {} of epoch {}",
                        header.mode.as_str(),
                        header.epoch,
                        header.to,
                        held.revision,
                        held.epoch
                    ),
                    None => {
                        format!("the {} starts from revision {from}, nothing is held", header.mode.as_str())
                    }
                },
            )),
        }
    }

    fn plan(&self, update: &Update) -> Result<Plan, Refused> {
        let malformed = |error: UpdateError| Refused::new(NackReason::Malformed, error.to_string());
        let payload = update.payload().map_err(malformed)?;
        if update.header.mode != Mode::Repair {
            return Plan::read(payload);
        }
        let (buckets, records) = split_repair(&payload).map_err(malformed)?;
        let mut plan = Plan::read(records)?;
        let kept: HashSet<Key> = plan.hashes.iter().map(|(key, _)| *key).collect();
        let replaced = buckets.iter().flat_map(|bucket| self.state.digest.bucket_keys(bucket));
        plan.removed.extend(replaced.filter(|key| !kept.contains(key)));
        plan.hashes.extend(plan.removed.iter().map(|key| (*key, None)));
        Ok(plan)
    }
}

impl State {
    fn apply(&mut self, plan: &Plan, root: Root) -> Result<Table, Refused> {
        let undo: Vec<_> =
            plan.hashes.iter().map(|(key, hash)| (*key, self.digest.set(*key, *hash))).collect();
        let result = self.build(plan, root);
        if result.is_err() {
            for (key, hash) in undo.into_iter().rev() {
                self.digest.set(key, hash);
            }
        }
        result
    }

    fn build(&mut self, plan: &Plan, root: Root) -> Result<Table, Refused> {
        let ours = self.digest.root();
        if ours != root {
            return Err(Refused::new(
                NackReason::RootMismatch,
                format!("the update announces the root {root} and leads to {ours}"),
            ));
        }
        self.builder.apply_each(plan.changes())
    }
}

impl Plan {
    fn read(records: Bytes) -> Result<Self, Refused> {
        let mut hashes = Vec::new();
        for record in Records::new(&records) {
            let Record { key, value } = record?;
            hashes.push((key, value.map(|bytes| EntityHash::of(key, bytes))));
        }
        Ok(Self { hashes, records, removed: Vec::new() })
    }

    /// Those of the kinds that are understood.
    fn changes(&self) -> impl Iterator<Item = Result<Change, Refused>> {
        let removed = self.removed.iter().map(|key| Ok(Record { key: *key, value: None }));
        let records = Records::new(&self.records).map(|record| record.map_err(Refused::from));
        records.chain(removed).filter_map(|record| record.and_then(|record| change(&record)).transpose())
    }
}

/// `None` for one of a kind that is not understood.
fn change(record: &Record<'_>) -> Result<Option<Change>, Refused> {
    let key = record.key;
    Ok(Some(match (key.kind, record.value) {
        (Kind::SERVICE, Some(bytes)) => {
            Change::PutService(wire::Service { id: key.id, ..entity(key, bytes)? })
        }
        (Kind::SERVICE, None) => Change::RemoveService(key.id),
        (Kind::ROUTE, Some(bytes)) => Change::PutRoute(wire::Route { id: key.id, ..entity(key, bytes)? }),
        (Kind::ROUTE, None) => Change::RemoveRoute(key.id),
        (Kind::CERTIFICATE, Some(bytes)) => {
            Change::PutCertificate(wire::Certificate { id: key.id, ..entity(key, bytes)? })
        }
        (Kind::CERTIFICATE, None) => Change::RemoveCertificate(key.id),
        (Kind::SNI, Some(bytes)) => Change::PutSni(wire::Sni { id: key.id, ..entity(key, bytes)? }),
        (Kind::SNI, None) => Change::RemoveSni(key.id),
        (Kind::CA_CERTIFICATE, Some(bytes)) => {
            Change::PutCaCertificate(wire::CaCertificate { id: key.id, ..entity(key, bytes)? })
        }
        (Kind::CA_CERTIFICATE, None) => Change::RemoveCaCertificate(key.id),
        _ => return Ok(None),
    }))
}

impl Refused {
    fn new(reason: NackReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), entity: None }
    }

    fn into_nack(self, to: Position) -> Nack {
        let (key, field) = self.entity.unzip();
        Nack {
            epoch: to.epoch,
            revision: to.revision,
            reason: self.reason,
            message: self.message,
            collection: key.map(|key| key.kind.to_string()),
            id: key.map(|key| key.id),
            field: field.flatten(),
        }
    }
}

impl From<RecordError> for Refused {
    fn from(error: RecordError) -> Self {
        Self::new(NackReason::Malformed, error.to_string())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            reason: NackReason::Invalid,
            message: refusal.message,
            entity: Some((refusal.key, refusal.field)),
        }
    }
}

fn entity<T: serde::de::DeserializeOwned>(key: Key, bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|error| Refused {
        reason: NackReason::Invalid,
        message: format!("its bytes cannot be read: {error}"),
        entity: Some((key, None)),
    })
}

/// A panic while an update is read or a table is built is a refusal, not the end of the sync agent.
fn guarded<T>(step: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).unwrap_or_else(|_| {
        Err(Refused::new(NackReason::Internal, "the data plane panicked while it applied the update"))
    })
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
