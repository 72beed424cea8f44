//! Tests the builder with random changes of every kind against a model that keeps a plain map. A new kind
//! needs a generator.

use std::collections::{BTreeMap, BTreeSet};

use model::{AdminState, AnyEntity, Entity, KINDS, Word, kind};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use wire::Kind;

use super::*;

const SEEDS: u64 = 40;
const UPDATES: usize = 25;
/// Every how many updates the table is compared with one that is built at once, which takes longer.
const FRESH_TABLES: usize = 5;
/// Ids of each kind; few, so that changes meet the same ones again and again.
const IDS: u128 = 4;
const NAMES: [&str; 5] = ["a.test", "b.test", "*.test", "a.*", "*"];
const ASKED: [&str; 6] = ["a.test", "b.test", "c.test", "a.org", "z.org", ""];

/// Two pairs as PEM, each with the certificate first.
static PAIRS: LazyLock<[[String; 2]; 2]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    ["one", "two"].map(|name| {
        let pair = testkit::certs::valid(folder.path(), name);
        [pair.cert, pair.key].map(|file| std::fs::read_to_string(file).unwrap())
    })
});

/// The entities of a configuration, and their canonical bytes.
type Model = BTreeMap<Key, (AnyEntity, Vec<u8>)>;
/// Entities by their keys; `None` is removed.
type Update = Vec<(Key, Option<(AnyEntity, Vec<u8>)>)>;

struct Stage {
    random: StdRng,
    model: Model,
    builder: Builder,
    table: Table,
}

#[test]
fn changes_of_every_kind_are_applied_as_the_model_does_or_not_at_all() {
    node::install_tls_provider();
    let mut verdicts = [0_usize; 2];
    for seed in 0..SEEDS {
        let mut stage = Stage {
            random: StdRng::seed_from_u64(seed),
            model: Model::new(),
            builder: Builder::new(),
            table: Table::default(),
        };
        for step in 0..UPDATES {
            let at = format!("seed {seed}, step {step}");
            let accepted = stage.step(&at);
            verdicts[usize::from(accepted)] += 1;
            if step % FRESH_TABLES == 0 {
                stage.check_against_a_fresh_table(&at);
            }
        }
    }
    assert!(verdicts.iter().all(|count| *count > 100), "refused and accepted updates: {verdicts:?}");
}

impl Stage {
    /// Applies an update; the model follows it only if it is sound. Returns whether it is.
    fn step(&mut self, at: &str) -> bool {
        let update = self.update();
        let mut after = self.model.clone();
        for (key, put) in update.iter().cloned() {
            match put {
                Some(put) => drop(after.insert(key, put)),
                None => drop(after.remove(&key)),
            }
        }
        let changes = update.iter().map(|(key, put)| {
            let bytes = put.as_ref().map(|(_, bytes)| &bytes[..]);
            Change::read(*key, bytes).unwrap().expect("a known kind")
        });
        let (before, table) = (self.model.clone(), self.table.clone());
        let result = self.builder.apply(changes.collect());
        assert_eq!(result.is_ok(), is_sound(&after), "{at}: {result:?}");
        let accepted = match result {
            Ok(next) => {
                (self.model, self.table) = (after, next);
                true
            }
            Err(refusal) => {
                assert!(KINDS.iter().any(|kind| kind.kind() == refusal.key.kind), "{at}: {refusal}");
                false
            }
        };
        check(&table, &before, at);
        check(&self.table, &self.model, at);
        check(&self.builder.table, &self.model, at);
        self.check_index(at);
        accepted
    }

    /// The index has the references that the entities declare, and no other.
    fn check_index(&self, at: &str) {
        let mut named = BTreeMap::<Key, Vec<Key>>::new();
        for (by, to) in self.model.values().flat_map(|(entity, bytes)| references(entity, bytes)) {
            named.entry(to).or_default().push(by);
        }
        for to in all_keys() {
            let by = named.remove(&to).unwrap_or_default();
            // A list of references may have one twice.
            let count = self.builder.referrers.count(to) as usize;
            assert_eq!((count > 0, count < by.len()), (!by.is_empty(), false), "{at}: {to}");
            let services = by.iter().copied().filter(|by| by.kind == kind::SERVICE);
            let holders: BTreeSet<_> = self.builder.referrers.holders(to, kind::SERVICE).collect();
            assert_eq!(holders, services.collect(), "{at}: {to}");
        }
    }

    /// Services hold the certificates that they name in their newest form.
    fn check_against_a_fresh_table(&self, at: &str) {
        let all = self.model.values().map(|(entity, _)| Change::put(entity.clone()));
        let fresh = Builder::new().apply(all.collect()).unwrap();
        for id in (1..=IDS).map(id) {
            let [ours, theirs] = [&self.table, &fresh].map(|table| table.sections.services.get(&id));
            assert_eq!(ours.map(|ours| &ours.terms), theirs.map(|theirs| &theirs.terms), "{at}: {id}");
        }
    }

    fn update(&mut self) -> Update {
        let count = self.random.random_range(0..6);
        std::iter::repeat_with(|| self.change()).take(count).collect()
    }

    fn change(&mut self) -> (Key, Option<(AnyEntity, Vec<u8>)>) {
        let random = &mut self.random;
        let kind = KINDS.choose(random).unwrap().kind();
        let key = Key { kind, id: id(random.random_range(1..=IDS)) };
        (key, random.random_bool(0.75).then(|| entity(key, random)))
    }
}

/// Makes an entity of the kind, which keeps its rules and may name entities that are missing.
fn entity(key: Key, random: &mut StdRng) -> (AnyEntity, Vec<u8>) {
    fn with_bytes<E: Entity + Into<AnyEntity>>(entity: E) -> (AnyEntity, Vec<u8>) {
        let bytes = entity.canonical();
        (entity.into(), bytes)
    }
    let id = key.id;
    let [cert, private] = PAIRS.choose(random).unwrap().clone();
    match key.kind {
        kind::SERVICE => with_bytes(service(id, random)),
        kind::ROUTE => with_bytes(Route {
            id,
            service: random.random_bool(0.7).then(|| any(random)),
            paths: Some(vec![path(id)]),
            ..Route::default()
        }),
        kind::CERTIFICATE => {
            with_bytes(Certificate { id, cert, key: private.into(), ..Certificate::default() })
        }
        kind::SNI => {
            let name = (*NAMES.choose(random).unwrap()).to_owned();
            with_bytes(Sni { id, name, certificate: any(random) })
        }
        kind::CA_CERTIFICATE => with_bytes(CaCertificate { id, cert }),
        kind::ROUTER => {
            with_bytes(Router { id, order: *RouterOrder::ALL.choose(random).unwrap(), ..Router::default() })
        }
        kind::UPSTREAM => with_bytes(model::Upstream {
            id,
            name: format!("upstream-{}", id.as_u128()),
            client_certificate: random.random_bool(0.3).then(|| any(random)),
            ..model::Upstream::default()
        }),
        kind::TARGET => with_bytes(model::Target {
            id,
            upstream: any(random),
            target: format!("target-{}.test:8000", id.as_u128()),
            ..model::Target::default()
        }),
        kind::TARGET_STATE => with_bytes(model::TargetState {
            id,
            target: any(random),
            state: *AdminState::ALL.choose(random).unwrap(),
            ..model::TargetState::default()
        }),
        kind::TARGET_HEALTH => {
            with_bytes(model::TargetHealth { id, target: any(random), ..model::TargetHealth::default() })
        }
        kind::CONSUMER => {
            with_bytes(model::Consumer { id, username: Some(path(id)), ..model::Consumer::default() })
        }
        kind::KEYAUTH_CREDENTIAL => with_bytes(model::KeyAuthCredential {
            id,
            consumer: any(random),
            ..model::KeyAuthCredential::default()
        }),
        kind::BASICAUTH_CREDENTIAL => with_bytes(model::BasicAuthCredential {
            id,
            consumer: any(random),
            username: path(id),
            password: format!("{{SHA1}}{}", "0".repeat(40)).into(),
        }),
        kind::JWT_SECRET => {
            with_bytes(model::JwtSecret { id, consumer: any(random), ..model::JwtSecret::default() })
        }
        kind::HMACAUTH_CREDENTIAL => with_bytes(model::HmacAuthCredential {
            id,
            consumer: any(random),
            username: path(id),
            ..model::HmacAuthCredential::default()
        }),
        kind::ACL => with_bytes(model::Acl { id, consumer: any(random), group: path(id) }),
        kind::PLUGIN => with_bytes(model::Plugin {
            id,
            name: "request-termination".into(),
            route: random.random_bool(0.3).then(|| any(random)),
            service: random.random_bool(0.3).then(|| any(random)),
            consumer: random.random_bool(0.3).then(|| any(random)),
            config: model::plugins::Config::RequestTermination(Box::default()),
            ..model::Plugin::default()
        }),
        kind::HASH_KEY => with_bytes(model::HashKey { id, ..model::HashKey::of_bytes(&[1; 32]) }),
        kind::CACHE_PURGE => with_bytes(model::CachePurge { id, ..model::CachePurge::default() }),
        kind => panic!("no generator of {kind}"),
    }
}

fn service(id: Uuid, random: &mut StdRng) -> model::Service {
    let tls = random.random_bool(0.6);
    let mut some = |share| tls && random.random_bool(share);
    let (client, authorities, verify) = (some(0.3), some(0.4), some(0.7));
    model::Service {
        id,
        host: "upstream.test".into(),
        protocol: if tls { model::Protocol::Https } else { model::Protocol::Http },
        tls_verify: tls.then_some(verify),
        client_certificate: client.then(|| any(random)),
        ca_certificates: authorities.then(|| (0..random.random_range(0..3)).map(|_| any(random)).collect()),
        ..model::Service::default()
    }
}

fn any(random: &mut StdRng) -> Uuid {
    id(random.random_range(1..=IDS))
}

fn path(id: Uuid) -> String {
    format!("/{}", id.as_u128())
}

fn all_keys() -> impl Iterator<Item = Key> {
    let kinds = KINDS.iter().map(|kind| kind.kind());
    kinds.flat_map(|kind| (1..=IDS).map(move |of| Key { kind, id: id(of) }))
}

/// The edges that the declaration says.
fn references(entity: &AnyEntity, bytes: &[u8]) -> Vec<(Key, Key)> {
    let key = entity.key();
    let content = model::described(key.kind).unwrap().content(bytes).unwrap();
    content.references.into_iter().map(|reference| (key, reference.to)).collect()
}

/// Whether all named entities exist, no two server names are the same, and the router has one setting.
fn is_sound(model: &Model) -> bool {
    let mut edges = model.values().flat_map(|(entity, bytes)| references(entity, bytes));
    let names: Vec<_> = server_names(model).map(|sni| &sni.name).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    let routers = model.keys().filter(|key| key.kind == kind::ROUTER).count();
    edges.all(|(_, to)| model.contains_key(&to)) && unique.len() == names.len() && routers <= 1
}

fn server_names(model: &Model) -> impl Iterator<Item = &Sni> {
    model.values().filter_map(|(entity, _)| match entity {
        AnyEntity::Sni(sni) => Some(sni),
        _ => None,
    })
}

/// Asserts that requests find in `table` what the model has.
fn check(table: &Table, model: &Model, at: &str) {
    for key in all_keys() {
        assert_eq!(table.sections.holds(key), model.contains_key(&key), "{at}: {key}");
    }
    let is = |kind: Kind| model.keys().filter(move |key| key.kind == kind);
    assert_eq!(table.len(), is(kind::ROUTE).count(), "{at}");
    for id in (1..=IDS).map(id) {
        let found = look_up(table, &path(id)).map(|found| (found.route.id, found.service.map(|s| s.id)));
        let wanted = model.get(&Route::key(id)).map(|(entity, _)| match entity {
            AnyEntity::Route(route) => (id, route.service),
            other => panic!("{other:?} is a route"),
        });
        assert_eq!(found, wanted, "{at}: route {id}");
    }
    let order = model.values().find_map(|(entity, _)| match entity {
        AnyEntity::Router(router) => Some(router.order),
        _ => None,
    });
    assert_eq!(table.sections.routers.order(), order.unwrap_or_default(), "{at}");
    for asked in ASKED {
        let wanted = wanted_certificate(model, asked);
        assert_eq!(table.certificate(asked).map(|keys| keys.id), wanted, "{at}: {asked:?}");
        if let Some(keys) = table.certificate(asked) {
            let AnyEntity::Certificate(newest) = &model[&Certificate::key(keys.id)].0 else {
                panic!("{} is a certificate", keys.id)
            };
            let newest = CertifiedKeys::parse(newest).unwrap();
            assert!(keys.certificates().eq(newest.certificates()), "{at}: {asked:?} has the newest form");
        }
    }
}

/// The certificate for a name, by a plain reading of the rules.
fn wanted_certificate(model: &Model, asked: &str) -> Option<Uuid> {
    let (first, last) = (asked.split_once('.'), asked.rsplit_once('.'));
    let patterns = [
        Some(asked.to_owned()).filter(|name| !name.is_empty()),
        first.map(|(_, rest)| format!("*.{rest}")),
        last.map(|(start, _)| format!("{start}.*")),
        Some("*".to_owned()),
    ];
    let named = |name: &String| server_names(model).find(|sni| sni.name == *name);
    patterns.iter().flatten().find_map(named).map(|sni| sni.certificate)
}

fn look_up(table: &Table, path: &str) -> Option<Match> {
    let headers = HeaderMap::new();
    table.lookup(&Request { method: &Method::GET, host: "h", port: 80, path, headers: &headers, sni: None })
}
