//! Several rows changed in one transaction take effect together: no request sees only some of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::store::{Author, Change, Store};
use model::{Route, Service};
use serde_json::Value;
use testkit::http::Response;
use testkit::plane::{Database, Planes};
use uuid::Uuid;

use super::{Traffic, in_sync_at, seconds};

/// Ten versions a second.
const PACE: Duration = Duration::from_millis(100);
const CLIENTS: usize = 8;

/// Two services take turns. One is live and shows its name and version in the path that the origin receives;
/// the other is parked. The routes `/live` and `/parked` exchange services with each version, and the route
/// at `/new` is deleted and created again under another id. In a table with only some of a version's rows,
/// `/live` would lead to the parked service, or `/new` to none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_sees_half_of_a_transaction() {
    let planes = Planes::start(Database::Postgres).await;
    let store = Store::open(&planes.control.database()).await.unwrap();
    let mut table = Table { port: planes.origin.address().port(), version: 0 };
    table.write(&store).await;
    for path in ["/live", "/parked", "/new"] {
        planes.gateway.wait_for(path, 200).await;
    }

    let seen = Arc::new(Mutex::new([0; CLIENTS]));
    let noted = seen.clone();
    let target = |_, request| ["/live", "/parked", "/new"][request as usize % 3].to_owned();
    let check = move |client: usize, response: &Response| {
        let version = consistent(response);
        let last = &mut noted.lock().unwrap()[client];
        assert!(version >= *last, "version {version} after version {last}");
        *last = version;
    };
    let traffic = Traffic::checked(&planes.gateway.proxy(), CLIENTS, target, check);
    let mut clock = tokio::time::interval(PACE);
    let end = tokio::time::Instant::now() + seconds("GIBBON_TEST_SECONDS", 3);
    while clock.tick().await < end {
        table.version += 1;
        table.write(&store).await;
    }
    let answers = traffic.end().await;
    let versions = table.version;
    let revision = in_sync_at(&planes.control, &planes.gateway, versions + 1).await;
    assert_eq!(revision, versions + 1, "each version is one revision");
    assert!(seen.lock().unwrap().iter().all(|last| *last > 0), "{seen:?}");
    eprintln!("{versions} versions, {answers} answers");
}

/// Returns the rows of one version.
struct Table {
    port: u16,
    version: u64,
}

impl Table {
    async fn write(&self, store: &Store) {
        let mut changes = self.routes();
        changes.extend([true, false].map(|live| crate::store::put_service(&self.service(live))));
        store.write(&Author::default(), changes).await.unwrap();
    }

    fn routes(&self) -> Vec<Change> {
        let routes = [
            self.route(Uuid::from_u128(10), "/live", true),
            self.route(Uuid::from_u128(11), "/parked", false),
            self.route(self.new_id(self.version), "/new", true),
        ];
        let gone =
            self.version.checked_sub(1).map(|version| Change::Delete(Route::key(self.new_id(version))));
        routes.iter().map(crate::store::put_route).chain(gone).collect()
    }

    fn new_id(&self, version: u64) -> Uuid {
        Uuid::from_u128(1000 + u128::from(version))
    }

    /// Returns the id of the service that is live in this version, or of the other.
    fn service_id(&self, live: bool) -> Uuid {
        Uuid::from_u128(1 + u128::from(self.version.is_multiple_of(2) == live))
    }

    fn service(&self, live: bool) -> Service {
        let path = format!("/{}-{}", if live { "live" } else { "parked" }, self.version);
        Service {
            id: self.service_id(live),
            port: self.port,
            path: Some(path),
            name: None,
            ..crate::store::service(0, "")
        }
    }

    fn route(&self, id: Uuid, path: &str, live: bool) -> Route {
        let service = Some(self.service_id(live));
        Route { id, service, paths: Some(vec![path.to_owned()]), ..crate::store::route(0, 0) }
    }
}

/// Returns the version by which a request was answered; panics if it was answered by parts of two.
fn consistent(response: &Response) -> u64 {
    assert_eq!(response.status, 200, "{}", response.text());
    let seen: Value = response.json();
    let asked = seen["headers"]["x-forwarded-path"].as_str().unwrap();
    let wanted = if asked == "/parked" { "parked" } else { "live" };
    let (role, version) = seen["target"].as_str().unwrap()[1..].split_once('-').unwrap();
    assert_eq!(role, wanted, "{asked} was answered by {seen}");
    version.parse().unwrap()
}
