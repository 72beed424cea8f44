//! A database of the version before: five tables of rows become documents. The configuration is the same
//! byte by byte, so that its root and its revision stay, and no data plane gets anything.

use std::collections::BTreeMap;

use control::store::{Page, Selector, Store, Tags};
use migration::{Migrator, MigratorTrait};
use model::{
    CaCertificate, Certificate, Endpoint, Entity, PathHandling, Protocol, Route, Service, Sni, kind,
};
use sea_orm::{ConnectionTrait, Database, DatabaseBackend, DatabaseConnection};
use serde_json::{Value, json};
use testkit::postgres;
use uuid::Uuid;
use wire::{Digest, EntityHash, Key};

/// The migrations of the version before.
const BEFORE: u32 = 8;
/// Routes, certificates and server names, each.
const MANY: usize = 10_000;
/// Rows of one statement.
const ROWS: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("gibbon.sqlite").display());
    rows_become_documents(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    rows_become_documents(&postgres::shared().database()).await;
}

async fn rows_become_documents(url: &str) {
    let database = Database::connect(url).await.unwrap();
    Migrator::up(&database, Some(BEFORE)).await.unwrap();
    let old = Old::insert(&database).await;
    database.execute_unprepared("UPDATE config_head SET revision = 7").await.unwrap();
    database.close().await.unwrap();

    let store = Store::open(url).await.unwrap();
    let epoch = {
        store.migrate(url).await.unwrap();
        store.head().await.unwrap().epoch
    };
    let (head, published) = store.published().await.unwrap();
    assert_eq!((head.revision, head.epoch), (7, epoch));
    assert_eq!(published.len(), old.expected.len());
    let mut digests = (Digest::new(), Digest::new());
    for (key, bytes) in &published {
        assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&old.expected[key]));
        digests.0.set(*key, Some(EntityHash::of(*key, bytes)));
        digests.1.set(*key, Some(EntityHash::of(*key, &old.expected[key])));
    }
    assert_eq!(digests.0.root(), digests.1.root());
    what_follows_from_documents_is_there(&store).await;
}

async fn what_follows_from_documents_is_there(store: &Store) {
    let by_name = |name: &str| Selector::Unique { field: "name", value: name.to_owned() };
    let route = store.get(kind::ROUTE, &by_name("route-42")).await.unwrap().unwrap();
    assert_eq!((route.key.id, route.created_at, route.updated_at), (route_id(42), 42, 43));
    assert_eq!(route.tags, Some(vec!["second".to_owned(), "first".to_owned()]));
    let sni = store.get(kind::SNI, &by_name("n7.test")).await.unwrap().unwrap();
    let page = |of, tags| Page { size: 10, after: None, tags, of };
    let named = page(Some(("certificate", certificate_id(7))), None);
    let listed = store.list(kind::SNI, &named).await.unwrap().documents;
    assert_eq!(listed, [sni]);
    let tagged = page(None, Some(Tags::All(vec!["first".to_owned()])));
    let listed = store.list(kind::ROUTE, &tagged).await.unwrap();
    assert!(listed.documents.len() == 10 && listed.next.is_some());
    assert_eq!(store.tags(Some("second"), 3, None).await.unwrap().len(), 3);
    // References keep what they name, as foreign keys did.
    let named = control::store::Change::Delete(Service::key(service_id(0)));
    super::write(store, named).await.unwrap_err();
    let named = control::store::Change::Delete(CaCertificate::key(Uuid::from_u128(5)));
    super::write(store, named).await.unwrap_err();
}

/// The rows of the version before, and what they were published as.
struct Old {
    expected: BTreeMap<Key, Vec<u8>>,
}

impl Old {
    async fn insert(database: &DatabaseConnection) -> Self {
        let mut expected = BTreeMap::new();
        let sql = Literals(database.get_database_backend());
        let authority = CaCertificate { cert: "authority".into(), ..CaCertificate::default() };
        expected.insert(CaCertificate::key(Uuid::from_u128(5)), authority.canonical());
        let columns = "id, cert, cert_digest, created_at, updated_at";
        let row = vec![format!("{}, 'authority', 'abc', 1, 1", sql.id(Uuid::from_u128(5)))];
        insert(database, "ca_certificate", columns, &row).await;
        let mut rows: [Vec<String>; 4] = Default::default();
        for n in 0..MANY {
            rows[0].push(certificate(&sql, n, &mut expected));
            rows[3].push(sni(&sql, n, &mut expected));
            rows[2].push(route(&sql, n, &mut expected));
        }
        rows[1].extend((0..MANY / 100).map(|n| service(&sql, n, &mut expected)));
        insert(database, "certificate", "id, cert, key, cert_alt, key_alt, created_at, updated_at", &rows[0])
            .await;
        insert(database, "service", SERVICE, &rows[1]).await;
        insert(database, "route", ROUTE, &rows[2]).await;
        insert(database, "sni", "id, name, certificate_id, created_at, updated_at", &rows[3]).await;
        let tagged = (0..MANY).step_by(2).flat_map(|n| {
            ["first", "second"].map(|tag| format!("{}, '{tag}', 'routes'", sql.id(route_id(n))))
        });
        insert(database, "tag", "entity_id, tag, entity_name", &tagged.collect::<Vec<_>>()).await;
        Self { expected }
    }
}

const SERVICE: &str = "id, name, protocol, host, port, path, retries, connect_timeout, write_timeout, \
                       read_timeout, tags, client_certificate, tls_verify, tls_verify_depth, ca_certificates, \
                       enabled, created_at, updated_at";
const ROUTE: &str = "id, name, service_id, protocols, methods, hosts, paths, headers, snis, sources, \
                     destinations, https_redirect_status_code, regex_priority, strip_path, path_handling, \
                     preserve_host, request_buffering, response_buffering, tags, created_at, updated_at";

fn service_id(n: usize) -> Uuid {
    Uuid::from_u128(0x1000_0000 + n as u128)
}

fn route_id(n: usize) -> Uuid {
    Uuid::from_u128(0x2000_0000 + n as u128)
}

fn certificate_id(n: usize) -> Uuid {
    Uuid::from_u128(0x3000_0000 + n as u128)
}

fn sni_id(n: usize) -> Uuid {
    Uuid::from_u128(0x4000_0000 + n as u128)
}

fn certificate(sql: &Literals, n: usize, expected: &mut BTreeMap<Key, Vec<u8>>) -> String {
    let alternative = n.is_multiple_of(3);
    let entity = Certificate {
        cert: format!("cert {n}"),
        key: format!("key {n}").into(),
        cert_alt: alternative.then(|| "other \"cert\"\n".to_owned()),
        key_alt: alternative.then(|| "other key".into()),
        ..Certificate::default()
    };
    expected.insert(Certificate::key(certificate_id(n)), entity.canonical());
    let others = if alternative { "'other \"cert\"\n', 'other key'" } else { "NULL, NULL" };
    format!("{}, 'cert {n}', 'key {n}', {others}, 1, 1", sql.id(certificate_id(n)))
}

fn sni(sql: &Literals, n: usize, expected: &mut BTreeMap<Key, Vec<u8>>) -> String {
    let entity = Sni { name: format!("n{n}.test"), certificate: certificate_id(n), ..Sni::default() };
    expected.insert(Sni::key(sni_id(n)), entity.canonical());
    format!("{}, 'n{n}.test', {}, 1, 1", sql.id(sni_id(n)), sql.id(certificate_id(n)))
}

/// Every second service has a value in each field, and the others only defaults.
fn service(sql: &Literals, n: usize, expected: &mut BTreeMap<Key, Vec<u8>>) -> String {
    let full = n.is_multiple_of(2);
    let authority = Uuid::from_u128(5);
    let entity = Service {
        name: full.then(|| format!("service-{n}")),
        protocol: if full { Protocol::Https } else { Protocol::Http },
        host: format!("h{n}.test"),
        port: if full { 8443 } else { 80 },
        path: full.then(|| "/v1".to_owned()),
        retries: if full { 0 } else { 5 },
        connect_timeout: if full { 1 } else { 60_000 },
        write_timeout: if full { 2_147_483_646 } else { 60_000 },
        read_timeout: if full { 3 } else { 60_000 },
        tls_verify: full.then_some(false),
        tls_verify_depth: full.then_some(2),
        ca_certificates: full.then(|| vec![authority]),
        client_certificate: full.then(|| certificate_id(n)),
        enabled: !full,
        ..Service::default()
    };
    expected.insert(Service::key(service_id(n)), entity.canonical());
    let id = sql.id(service_id(n));
    if !full {
        return format!(
            "{id}, NULL, 'http', 'h{n}.test', 80, NULL, 5, 60000, 60000, 60000, NULL, NULL, NULL, NULL, NULL, \
             TRUE, 1, 1"
        );
    }
    let (authorities, shown) = (sql.json(&json!([authority])), sql.id(certificate_id(n)));
    format!(
        "{id}, 'service-{n}', 'https', 'h{n}.test', 8443, '/v1', 0, 1, 2147483646, 3, NULL, {shown}, FALSE, 2, \
         {authorities}, FALSE, 1, 1"
    )
}

/// Every second route has a value in each field.
fn route(sql: &Literals, n: usize, expected: &mut BTreeMap<Key, Vec<u8>>) -> String {
    let full = n.is_multiple_of(2);
    let texts = |values: &[&str]| Some(values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>());
    let service = service_id(n % (MANY / 100));
    let mut entity = Route {
        service: Some(service),
        paths: Some(vec![format!("/{n}")]),
        created_at: n as i64,
        ..Route::default()
    };
    let id = sql.id(route_id(n));
    let (service, paths) = (sql.id(service), sql.json(&json!([format!("/{n}")])));
    let both = sql.json(&json!(["http", "https"]));
    if !full {
        expected.insert(Route::key(route_id(n)), entity.canonical());
        return format!(
            "{id}, NULL, {service}, {both}, NULL, NULL, {paths}, NULL, NULL, NULL, NULL, 426, 0, TRUE, 'v0', \
             FALSE, TRUE, TRUE, NULL, {n}, 1"
        );
    }
    entity = Route {
        name: Some(format!("route-{n}")),
        protocols: vec![Protocol::Https, Protocol::Http],
        methods: texts(&["GET", "POST"]),
        hosts: texts(&["*.example.com"]),
        headers: Some(BTreeMap::from([
            ("b".to_owned(), vec!["2".to_owned()]),
            ("a".to_owned(), vec!["1".to_owned()]),
        ])),
        snis: Some(Vec::new()),
        sources: Some(vec![Endpoint { ip: Some("10.0.0.0/8".into()), port: None }]),
        destinations: Some(vec![Endpoint { ip: None, port: Some(1) }]),
        https_redirect_status_code: 308,
        regex_priority: -7,
        strip_path: false,
        path_handling: PathHandling::V1,
        preserve_host: true,
        request_buffering: false,
        response_buffering: false,
        ..entity
    };
    expected.insert(Route::key(route_id(n)), entity.canonical());
    let json = |value: Value| sql.json(&value);
    format!(
        "{id}, 'route-{n}', {service}, {}, {}, {}, {paths}, {}, {}, {}, {}, 308, -7, FALSE, 'v1', TRUE, FALSE, \
         FALSE, {}, {n}, {}",
        json(json!(["https", "http"])),
        json(json!(["GET", "POST"])),
        json(json!(["*.example.com"])),
        json(json!({ "b": ["2"], "a": ["1"] })),
        json(json!([])),
        json(json!([{ "ip": "10.0.0.0/8" }])),
        json(json!([{ "port": 1 }])),
        json(json!(["second", "first"])),
        n + 1
    )
}

/// Values as the database writes them.
struct Literals(DatabaseBackend);

impl Literals {
    fn id(&self, id: Uuid) -> String {
        match self.0 {
            DatabaseBackend::Postgres => format!("'{id}'"),
            _ => format!("x'{}'", id.simple()),
        }
    }

    fn json(&self, value: &Value) -> String {
        format!("'{value}'")
    }
}

async fn insert(database: &DatabaseConnection, table: &str, columns: &str, rows: &[String]) {
    for some in rows.chunks(ROWS) {
        let values: Vec<String> = some.iter().map(|row| format!("({row})")).collect();
        let sql = format!("INSERT INTO {table} ({columns}) VALUES {}", values.join(", "));
        database.execute_unprepared(&sql).await.unwrap();
    }
}
