//! Tests the applier against a model that keeps a plain map, after each of many updates, good and bad.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;
use wire::{BUCKETS, BucketSet, Kind, Record, bucket_of};

use super::super::*;
use super::{matches, service};

const SEEDS: u64 = 300;
const UPDATES: usize = 30;
/// Ids of each kind; few, so that updates meet the same ones again and again.
const IDS: u128 = 6;

type Entities = BTreeMap<Key, Vec<u8>>;
type Changed = Vec<(Key, Option<Vec<u8>>)>;

/// The expected configuration, and the actual one.
struct Stage {
    rng: StdRng,
    entities: Entities,
    held: Option<Position>,
    applier: Applier,
    live: Arc<Live>,
}

/// The fault of an update, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Root,
    From,
    Epoch,
    Backwards,
    Rule,
    Garbage,
    Cut,
}

impl Fault {
    const ALL: [Self; 8] = [
        Self::None,
        Self::Root,
        Self::From,
        Self::Epoch,
        Self::Backwards,
        Self::Rule,
        Self::Garbage,
        Self::Cut,
    ];

    const fn reason(self) -> Option<NackReason> {
        match self {
            Self::None => None,
            Self::Root => Some(NackReason::RootMismatch),
            Self::From | Self::Epoch | Self::Backwards => Some(NackReason::OutOfOrder),
            Self::Rule | Self::Garbage => Some(NackReason::Invalid),
            Self::Cut => Some(NackReason::Malformed),
        }
    }
}

#[test]
fn whatever_comes_what_is_held_is_what_was_accepted() {
    for seed in 0..SEEDS {
        let mut stage = Stage::new(seed);
        for step in 0..UPDATES {
            stage.step();
            stage.check(&format!("seed {seed}, step {step}"));
        }
    }
}

impl Stage {
    fn new(seed: u64) -> Self {
        let live = Arc::new(Live::new());
        let applier = Applier::new(Arc::clone(&live), Arc::default());
        Self { rng: StdRng::seed_from_u64(seed), entities: Entities::new(), held: None, applier, live }
    }

    fn step(&mut self) {
        let mode = match (self.held, self.rng.random_range(0..10)) {
            (None, _) | (_, 0) => Mode::Snapshot,
            (_, 1) => Mode::Repair,
            _ => Mode::Delta,
        };
        let fault = match self.rng.random_range(0..16) {
            at @ 1..8 => Fault::ALL[at],
            _ => Fault::None,
        };
        match mode {
            Mode::Snapshot => self.snapshot(fault),
            Mode::Delta => self.delta(fault),
            Mode::Repair => self.repair(),
        }
    }

    fn snapshot(&mut self, fault: Fault) {
        let epoch = if self.rng.random_bool(0.1) { Uuid::from_u128(self.rng.random()) } else { self.epoch() };
        let mut records = self.changes(6);
        records.retain(|(_, value)| value.is_some());
        // Faults in the order of a delta do not apply to a snapshot.
        let fault = match fault {
            Fault::From | Fault::Epoch | Fault::Backwards => Fault::None,
            fault => fault,
        };
        let least = self.held.filter(|held| held.epoch == epoch).map_or(1, |held| held.revision);
        let revision = least + self.rng.random_range(0..100);
        let to = Position { epoch, revision, root: Root::default() };
        self.apply(Mode::Snapshot, 0, to, Entities::new(), records, fault);
    }

    fn delta(&mut self, fault: Fault) {
        let held = self.held.expect("a snapshot came first");
        let records = self.changes(4);
        let to = Position { revision: held.revision + self.rng.random_range(1..4), ..held };
        self.apply(Mode::Delta, held.revision, to, self.entities.clone(), records, fault);
    }

    /// Repairs some buckets: unchanged, or with an entity lost and found in another bucket.
    fn repair(&mut self) {
        let held = self.held.expect("a snapshot came first");
        let mut buckets = BucketSet::default();
        for _ in 0..self.rng.random_range(0..BUCKETS) {
            let bucket = self.rng.random_range(0..BUCKETS);
            buckets.0[bucket / 8] |= 1 << (bucket % 8);
        }
        let mut wanted = self.entities.clone();
        for (key, value) in self.changes(5) {
            if buckets.contains(bucket_of(key)) {
                set(&mut wanted, key, value);
            }
        }
        let root = digest(&wanted).root();
        let mut payload = BytesMut::from(&buckets.0[..]);
        for (key, value) in wanted.iter().filter(|(key, _)| buckets.contains(bucket_of(**key))) {
            Record { key: *key, value: Some(value) }.encode(&mut payload);
        }
        let to = Position { root, ..held };
        let update = Update::new(Mode::Repair, held.revision, to, payload.freeze());
        let reason = (!is_sound(&wanted)).then_some(NackReason::Invalid);
        self.expect(&update, reason, wanted);
    }

    fn apply(
        &mut self,
        mode: Mode,
        from: u64,
        to: Position,
        before: Entities,
        mut records: Changed,
        fault: Fault,
    ) {
        match fault {
            Fault::Rule => records.push(route(self.rng.random_range(1..=IDS), None, "no slash")),
            Fault::Garbage => records.push((model::Service::key(Uuid::from_u128(1)), Some(b"{]".to_vec()))),
            _ => {}
        }
        let mut after = before;
        let mut payload = BytesMut::new();
        for (key, value) in &records {
            Record { key: *key, value: value.as_deref() }.encode(&mut payload);
            set(&mut after, *key, value.clone());
        }
        let root = if fault == Fault::Root { Root([9; 32]) } else { digest(&after).root() };
        if fault == Fault::Cut {
            payload.extend_from_slice(&[1, 2, 3]);
        }
        let mut update = Update::new(mode, from, Position { root, ..to }, Bytes::from(payload));
        match fault {
            Fault::From => update.header.from += 1,
            Fault::Epoch => update.header.epoch = Uuid::from_u128(u128::MAX),
            Fault::Backwards => update.header.to = update.header.from - 1,
            _ => {}
        }
        let unsound = (!is_sound(&after)).then_some(NackReason::Invalid);
        self.expect(&update, fault.reason().or(unsound), after);
    }

    /// Applies an update; the model follows it only if it is accepted.
    fn expect(&mut self, update: &Update, reason: Option<NackReason>, after: Entities) {
        let result = self.applier.apply(update);
        assert_eq!(result.as_ref().err().map(|nack| nack.reason), reason, "{update:?}: {result:?}");
        if result.is_ok() {
            self.held = Some(update.header.position());
            self.entities = after;
        }
    }

    fn check(&mut self, at: &str) {
        assert_eq!(self.applier.held(), self.held, "{at}");
        assert_eq!(self.applier.buckets(), digest(&self.entities).buckets(), "{at}");
        for id in 1..=IDS {
            let route = self.entities.get(&model::Route::key(Uuid::from_u128(id)));
            let path = route.map(|bytes| serde_json::from_slice::<model::Route>(bytes).unwrap().paths);
            for version in 0..3 {
                let wanted = format!("/{id}/{version}");
                let expected = path
                    .as_ref()
                    .is_some_and(|paths| paths.as_deref() == Some(std::slice::from_ref(&wanted)));
                assert_eq!(matches(&self.live, &wanted), expected, "{at}: {wanted}");
            }
        }
    }

    fn changes(&mut self, most: usize) -> Changed {
        let count = self.rng.random_range(0..=most);
        std::iter::repeat_with(|| self.change()).take(count).collect()
    }

    fn change(&mut self) -> (Key, Option<Vec<u8>>) {
        let id = self.rng.random_range(1..=IDS);
        match self.rng.random_range(0..9) {
            0 => (model::Service::key(Uuid::from_u128(id)), None),
            1..4 => service(id),
            4 | 5 => (model::Route::key(Uuid::from_u128(id)), None),
            6 => (Key { kind: Kind(199), id: Uuid::from_u128(id) }, Some(vec![self.rng.random()])),
            _ => {
                let named = self.rng.random_bool(0.5).then(|| self.rng.random_range(1..=IDS));
                route(id, named, &format!("/{id}/{}", self.rng.random_range(0..3)))
            }
        }
    }

    fn epoch(&self) -> Uuid {
        self.held.map_or(Uuid::from_u128(1), |held| held.epoch)
    }
}

/// Whether every service that a route names exists, and every entity can be read.
fn is_sound(entities: &Entities) -> bool {
    entities.iter().filter(|(key, _)| key.kind == model::kind::ROUTE).all(|(_, bytes)| {
        let route: model::Route = serde_json::from_slice(bytes).unwrap();
        route.service.is_none_or(|service| entities.contains_key(&model::Service::key(service)))
    })
}

fn set(entities: &mut Entities, key: Key, value: Option<Vec<u8>>) {
    match value {
        Some(value) => entities.insert(key, value),
        None => entities.remove(&key),
    };
}

fn digest(entities: &Entities) -> Digest {
    let mut digest = Digest::new();
    for (key, bytes) in entities {
        digest.set(*key, Some(EntityHash::of(*key, bytes)));
    }
    digest
}

fn route(id: u128, service: Option<u128>, path: &str) -> (Key, Option<Vec<u8>>) {
    let service = service.map(Uuid::from_u128);
    let route = model::Route { service, paths: Some(vec![path.into()]), ..model::Route::default() };
    (model::Route::key(Uuid::from_u128(id)), Some(serde_json::to_vec(&route).unwrap()))
}
