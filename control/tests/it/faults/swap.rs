//! Several rows changed in one transaction take effect together: no request sees only some of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::store::{Edit, Store};
use entity::{route, service};
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
        let mut edit = store.edit().await.unwrap();
        self.routes(&mut edit).await;
        self.services(&mut edit).await;
        edit.commit().await.unwrap();
    }

    async fn services(&self, edit: &mut Edit<'_>) {
        edit.put::<service::Entity>(&[self.service(true), self.service(false)]).await.unwrap();
    }

    async fn routes(&self, edit: &mut Edit<'_>) {
        if self.version == 0 {
            self.services(edit).await;
        } else {
            assert!(edit.delete::<route::Entity>(self.new_id(self.version - 1)).await.unwrap());
        }
        let rows = [
            self.route(Uuid::from_u128(10), "/live", true),
            self.route(Uuid::from_u128(11), "/parked", false),
            self.route(self.new_id(self.version), "/new", true),
        ];
        edit.put::<route::Entity>(&rows).await.unwrap();
    }

    fn new_id(&self, version: u64) -> Uuid {
        Uuid::from_u128(1000 + u128::from(version))
    }

    /// Returns the id of the service that is live in this version, or of the other.
    fn service_id(&self, live: bool) -> Uuid {
        Uuid::from_u128(1 + u128::from(self.version.is_multiple_of(2) == live))
    }

    fn service(&self, live: bool) -> service::Model {
        let path = format!("/{}-{}", if live { "live" } else { "parked" }, self.version);
        service::Model {
            id: self.service_id(live),
            port: self.port.into(),
            path: Some(path),
            name: None,
            ..crate::store::service(0, "")
        }
    }

    fn route(&self, id: Uuid, path: &str, live: bool) -> route::Model {
        let service_id = Some(self.service_id(live));
        route::Model { id, service_id, paths: Some(serde_json::json!([path])), ..crate::store::route(0, 0) }
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
