//! Applies an update: check, build, swap. Only this module publishes a table.
//!
//! Everything is checked before anything is swapped. A rejected update leaves the digest, the builder and the
//! live table unchanged.

mod changes;

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;
use wire::{
    Ack, Digest, EntityHash, Key, Mode, Nack, NackReason, Position, Root, Update, UpdateError, UpdateHeader,
};

use self::changes::Changes;
use crate::answer_cache::Store;
use crate::live::Live;
use crate::section::Refusal;
use crate::table::{Builder, Table};
use crate::upstream::Balancing;

/// The data plane's configuration, and the code that changes it.
#[derive(Debug)]
pub struct Applier {
    live: Arc<Live>,
    balancing: Arc<Balancing>,
    /// The answers that are kept, for orders to remove some.
    answers: Option<Arc<Store>>,
    state: AppliedState,
    held: Option<Position>,
    /// The last position that was applied. It stays when a panic has spoiled the configuration held.
    reached: Option<Position>,
    superseded_secrets: bool,
}

/// Everything that an update changes.
#[derive(Debug)]
struct AppliedState {
    builder: Builder,
    digest: Digest,
}

/// Why an update is rejected; becomes a [`Nack`].
struct Refused {
    reason: NackReason,
    message: String,
    entity: Option<(Key, Option<String>)>,
}

impl Applier {
    /// Creates an applier that holds nothing and will publish to `live`, and the targets of upstreams to
    /// `balancing`.
    pub fn new(live: Arc<Live>, balancing: Arc<Balancing>) -> Self {
        let state = AppliedState::new(&balancing);
        Self { live, balancing, answers: None, state, held: None, reached: None, superseded_secrets: false }
    }

    /// Carries out orders to remove answers that are kept here.
    pub fn purge_in(&mut self, answers: Arc<Store>) {
        self.answers = Some(answers);
    }

    /// The position that is held and live.
    pub const fn held(&self) -> Option<Position> {
        self.held
    }

    /// The bucket hashes of the configuration held.
    pub fn buckets(&mut self) -> Vec<Root> {
        self.state.digest.buckets()
    }

    /// Applies all of `update`, or nothing of it.
    ///
    /// # Errors
    /// The nack for the control plane.
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

    /// Whether an update since the last call replaced or deleted an entity that may hold a secret.
    pub fn take_superseded_secrets(&mut self) -> bool {
        std::mem::take(&mut self.superseded_secrets)
    }

    /// Drops the configuration held and serves nothing. For a copy on disk that this program does not
    /// understand to its end: an earlier part of it could lack the protection of a route.
    pub(super) fn abandon(&mut self) {
        self.live.withdraw();
        let old = std::mem::replace(&mut self.state, AppliedState::new(&self.balancing));
        old.builder.groups().into_iter().for_each(|upstream| self.balancing.end(upstream));
        self.live.discard(old);
        (self.held, self.reached, self.superseded_secrets) = (None, None, false);
    }

    fn try_apply(&mut self, update: &Update, decoded: &mut Instant) -> Result<(), Refused> {
        self.check_order(update)?;
        match update.header.mode {
            Mode::Snapshot => self.replace(update, decoded)?,
            Mode::Delta | Mode::Repair => self.change(update, decoded)?,
        }
        self.held = Some(update.header.position());
        self.reached = self.held;
        Ok(())
    }

    /// Builds the whole configuration beside the live one. A thread of its own frees the old one.
    fn replace(&mut self, update: &Update, decoded: &mut Instant) -> Result<(), Refused> {
        let mut state = AppliedState::new(&self.balancing);
        let table = guarded(|| state.apply(update, None, decoded))?;
        let old = std::mem::replace(&mut self.state, state);
        self.publish(table, old.builder.groups());
        self.superseded_secrets |= old.digest.has_beyond(&self.state.digest, model::may_hold_secrets);
        self.live.discard(old);
        Ok(())
    }

    fn change(&mut self, update: &Update, decoded: &mut Instant) -> Result<(), Refused> {
        let (state, mut undo) = (&mut self.state, Vec::new());
        match guarded(|| state.apply(update, Some(&mut undo), decoded)) {
            Ok(table) => {
                self.publish(table, Vec::new());
                let state = &self.state;
                self.superseded_secrets |= undo.iter().any(|(key, before)| {
                    model::may_hold_secrets(key.kind) && before.is_some() && *before != state.digest.get(*key)
                });
                Ok(())
            }
            Err(refused) => {
                if matches!(refused.reason, NackReason::Internal) {
                    // A state that a panic left behind cannot be built upon. The next delta will be out of
                    // order, and the control plane answers that with a snapshot.
                    self.held = None;
                }
                Err(refused)
            }
        }
    }

    /// Publishes the table, and then the groups that changed: those of the state, and `others`.
    fn publish(&mut self, table: Table, others: Vec<Uuid>) {
        let mut changed = self.state.builder.take_changed_groups();
        changed.extend(others);
        let changed: Vec<_> = changed.into_iter().map(|id| (id, table.group_of(&id).cloned())).collect();
        self.live.publish(table);
        for (upstream, group) in changed {
            match group {
                Some(group) => self.balancing.begin(&group),
                None => self.balancing.end(upstream),
            }
        }
        // After the table: an answer of the one before must not be kept any more.
        let orders = self.state.builder.take_purges();
        if let Some(answers) = &self.answers {
            orders.iter().for_each(|order| answers.order(&order.entity));
        }
    }

    fn check_order(&self, update: &Update) -> Result<(), Refused> {
        let header = &update.header;
        let from = match header.mode {
            Mode::Snapshot => return self.check_snapshot(header),
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

    /// Rejects a snapshot that goes back within an epoch: a control plane whose database was restored begins
    /// a new epoch.
    fn check_snapshot(&self, header: &UpdateHeader) -> Result<(), Refused> {
        match self.reached {
            Some(live) if live.epoch == header.epoch && header.to < live.revision => Err(Refused::new(
                NackReason::OutOfOrder,
                format!(
                    "the snapshot leads back to revision {} of epoch {}, revision {} of which is live",
                    header.to, header.epoch, live.revision
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// The hashes from before a change, in the order of the changes.
type Undo = Vec<(Key, Option<EntityHash>)>;

impl AppliedState {
    fn new(balancing: &Arc<Balancing>) -> Self {
        Self { builder: Builder::with(balancing.clone()), digest: Digest::default() }
    }

    /// Applies an update, or nothing of it: after a failure the hashes in `undo`, if given, are restored.
    fn apply(
        &mut self,
        update: &Update,
        mut undo: Option<&mut Undo>,
        decoded: &mut Instant,
    ) -> Result<Table, Refused> {
        let result = self.build(update, undo.as_deref_mut(), decoded);
        if let (Err(_), Some(undo)) = (&result, undo) {
            for (key, hash) in undo.drain(..).rev() {
                self.digest.set(key, hash);
            }
        }
        result
    }

    fn build(
        &mut self,
        update: &Update,
        undo: Option<&mut Undo>,
        decoded: &mut Instant,
    ) -> Result<Table, Refused> {
        let changes = Changes::new(update, &mut self.digest, undo, decoded)?;
        self.builder.apply_each(changes)
    }
}

impl Refused {
    fn new(reason: NackReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), entity: None }
    }

    fn root_mismatch(announced: Root, ours: Root) -> Self {
        let message = format!("the update announces the root {announced} and leads to {ours}");
        Self::new(NackReason::RootMismatch, message)
    }

    fn into_nack(self, to: Position) -> Nack {
        let (key, field) = self.entity.unzip();
        Nack {
            epoch: to.epoch,
            revision: to.revision,
            reason: self.reason,
            message: self.message,
            collection: key.map(|key| model::collection(key.kind)),
            id: key.map(|key| key.id),
            field: field.flatten(),
        }
    }
}

impl From<UpdateError> for Refused {
    fn from(error: UpdateError) -> Self {
        Self::new(NackReason::Malformed, error.to_string())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let reason = if refusal.unsupported { NackReason::Unsupported } else { NackReason::Invalid };
        Self { reason, message: refusal.message, entity: Some((refusal.key, refusal.field)) }
    }
}

/// Turns a panic into a rejection, so that an unreadable update or a table that cannot be built does not end
/// the sync agent.
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
