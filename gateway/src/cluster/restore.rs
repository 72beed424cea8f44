//! Restores the configuration from disk at the start, as far as it is good. Also reopens the folder after a
//! pause.

use std::collections::BTreeMap;

use tracing::{error, info, warn};
use uuid::Uuid;
use wire::{Key, Mode, Nack, NackReason, Position, Record, Update};

use super::cache::{Cache, Complaint, Found, Generation, merge_deltas};
use super::store::{InitialState, Writer};
use super::{Agent, Source};
use crate::table::Change;

impl Agent {
    /// Restores from the newest usable file, and hands the disk to the writer.
    pub(super) fn restore(&mut self, mut cache: Cache) {
        self.report_crash();
        let begin = Generation::ALL.into_iter().find_map(|generation| self.revive(&mut cache, generation));
        if let Some(held) = self.applier.held() {
            info!(
                revision = held.revision,
                hash = held.root.config_hash(),
                "serving the configuration found on disk"
            );
            self.metrics.applies.with_label_values(&["disk"]).inc();
            self.metrics.served_from_disk.set(1);
            self.went_live(held, Source::Disk);
        }
        self.writer.start(cache, begin.unwrap_or(InitialState::Empty));
    }

    /// Reopens the folder, to which another process may have written meanwhile. The live configuration stays.
    pub(super) fn reopen(&mut self) {
        if self.writer.resume() {
            // The disk hangs: this process has never left the folder.
            return;
        }
        self.writer = Writer::idle(self.metrics.clone(), self.status.clone());
        match Cache::open(&self.settings.state_dir) {
            Ok(mut cache) => {
                cache.keep_node_id(self.node_id);
                // If the other process ended amid an update, that says nothing about this one.
                let unmarked = self.crash_guard.end(None);
                self.watch_marker(unmarked);
                let begin = self.begin_again(&cache);
                self.writer.start(cache, begin);
            }
            Err(error) => error!("the copy on disk is not kept any more: {error}"),
        }
    }

    fn begin_again(&self, cache: &Cache) -> InitialState {
        let Some(held) = self.applier.held() else { return InitialState::Empty };
        match cache.read(Generation::Current) {
            Some(found) if found.complaint.is_none() && found.end() == Some(held) => {
                go_on(cache, &found, held)
            }
            _ => InitialState::Stale(held),
        }
    }

    /// Restores from one file; `None` when nothing of it could be applied.
    fn revive(&mut self, cache: &mut Cache, generation: Generation) -> Option<InitialState> {
        let found = cache.read(generation)?;
        let (live, refused) = self.apply_all(&found.updates);
        // Another refusal may have come first, before the entity that must be understood.
        let refused = refused.map(|complaint| not_understood(&found.updates).unwrap_or(complaint));
        let complaint = refused.or_else(|| found.complaint.clone());
        if let Some(complaint) = &complaint {
            self.set_aside(cache, generation, complaint);
        }
        if matches!(complaint, Some(Complaint::Unsupported(_))) {
            // No earlier part, and no earlier copy: a route in it could lack its protection.
            self.applier.abandon();
            cache.build_upon(generation, 0);
            return Some(InitialState::Empty);
        }
        let held = self.applier.held().filter(|_| live > 0);
        let whole = complaint.is_none() && generation == Generation::Current;
        match held {
            Some(held) if whole => Some(go_on(cache, &found, held)),
            Some(held) => {
                cache.build_upon(generation, live);
                Some(InitialState::Stale(held))
            }
            None => {
                cache.build_upon(generation, 0);
                None
            }
        }
    }

    /// How many of these were applied, and why the next one was not.
    fn apply_all(&mut self, updates: &[Update]) -> (usize, Option<Complaint>) {
        // After a crash, each revision is applied by itself to find the one that caused it.
        if self.crash_guard.suspect().is_none() {
            if self.apply_merged(updates) {
                return (updates.len(), None);
            }
            // What is live may be later than the first of them.
            self.applier.abandon();
        }
        for (live, update) in updates.iter().enumerate() {
            let refused = self.marked(update).map_or_else(|| self.apply_marked(update), Err);
            if let Err(nack) = refused {
                return (live, Some(complaint_of(&nack)));
            }
        }
        (updates.len(), None)
    }

    /// Applies all of these; deltas that follow each other are merged into one step. Otherwise 10,000 deltas
    /// would each build a table that no request uses. After a failure the caller applies them one by one, to
    /// find how far they are good.
    fn apply_merged(&mut self, updates: &[Update]) -> bool {
        let is_delta = |update: &Update| update.header.mode == Mode::Delta;
        let mut runs = updates.chunk_by(|one, next| is_delta(one) && is_delta(next));
        runs.all(|run| merge_deltas(run).is_ok_and(|step| self.apply_marked(&step).is_ok()))
    }

    fn set_aside(&mut self, cache: &Cache, generation: Generation, complaint: &Complaint) {
        let path = cache.path_of(generation);
        let damage = format!("{}: {complaint}", path.display());
        match cache.set_aside(generation, complaint) {
            Ok(aside) => {
                let aside = aside.display();
                warn!(
                    "the copy of the configuration on disk is not used, or not to its end: {damage}; it is kept as {aside}"
                );
            }
            Err(error) => error!("the copy of the configuration on disk is damaged: {damage}; {error}"),
        }
        self.metrics.cache_errors.inc();
        self.status.edit(|view| {
            let all = view.disk_damage.take().map_or(damage.clone(), |before| format!("{before}; {damage}"));
            view.disk_damage = Some(all);
            view.last_error = Some(damage);
        });
    }

    fn report_crash(&self) {
        let Some(suspect) = self.crash_guard.suspect() else { return };
        error!(
            revision = suspect.revision(),
            deaths = suspect.deaths,
            "this program ended while it applied a configuration"
        );
        self.fail(format!("the program ended while it applied revision {}", suspect.revision()));
    }
}

/// The complaint about an entity in these updates that must be understood and that this program does not know.
/// Of several records of one entity, the last counts.
fn not_understood(updates: &[Update]) -> Option<Complaint> {
    let mut unknown: BTreeMap<Key, String> = BTreeMap::new();
    for update in updates {
        if update.header.mode == Mode::Snapshot {
            unknown.clear();
        }
        let mut records = update.records().ok()?;
        while let Ok(Some(Record { key, value })) = records.next_record() {
            match Change::read(key, value) {
                Err(refusal) if refusal.unsupported => {
                    let entity = Some((model::collection(key.kind), key.id));
                    unknown.insert(key, refused(update.header.to, entity, &refusal.message));
                }
                _ => drop(unknown.remove(&key)),
            }
        }
    }
    unknown.into_values().next().map(Complaint::Unsupported)
}

fn complaint_of(nack: &Nack) -> Complaint {
    let reason = refused(nack.revision, nack.collection.clone().zip(nack.id), &nack.message);
    match nack.reason {
        NackReason::Unsupported => Complaint::Unsupported(reason),
        _ => Complaint::Damaged(reason),
    }
}

fn refused(revision: u64, entity: Option<(String, Uuid)>, message: &str) -> String {
    let entity = entity.map(|(collection, id)| format!(" because of {collection} {id}")).unwrap_or_default();
    format!("revision {revision} is refused{entity}: {message}")
}

fn go_on(cache: &Cache, found: &Found, held: Position) -> InitialState {
    match cache.go_on(found, held) {
        Ok(log) => InitialState::Whole(log),
        Err(error) => {
            warn!(%error, "a new copy of the configuration is written to the disk");
            InitialState::Stale(held)
        }
    }
}

#[cfg(test)]
mod tests;
