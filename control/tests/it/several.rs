//! Several control planes on one PostgreSQL.

use serde_json::{Value, json};
use testkit::plane::{Control, DEADLINE, Database, Gateway, Planes};
use testkit::wait;

/// Two control planes on one database, with a data plane each.
struct Stage {
    planes: Planes,
    second: Control,
    of_second: Gateway,
}

impl Stage {
    async fn start() -> Self {
        let planes = Planes::start(Database::Postgres).await;
        let mut second = planes.control.beside(&planes.pair);
        second.node.start().await;
        let mut of_second = Gateway::new(&[&second], &planes.pair);
        of_second.node.start().await;
        let stage = Self { planes, second, of_second };
        stage.wait_connected(2).await;
        stage
    }

    /// Waits until the first control plane shows this many data planes as connected.
    async fn wait_connected(&self, count: usize) {
        wait::eventually(DEADLINE, || async {
            let rows = self.planes.control.admin().get("/clustering/data-planes").await?.json();
            let connected = |row: &&Value| row["connected"] == true;
            let connected = rows["data"].as_array().into_iter().flatten().filter(connected).count();
            anyhow::ensure!(connected == count, "{rows}");
            Ok(())
        })
        .await;
    }

    /// Creates a route through a control plane, and waits for all data planes.
    async fn route(&self, control: &Control, path: &str) -> Option<String> {
        let body = json!({ "name": path.trim_start_matches('/'), "paths": [path] });
        let target = "/services/shared/routes?wait=applied&timeout=20";
        let response = control.admin().post(target, &body).await.unwrap().expect(201);
        response.header("gibbon-applied").map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_through_one_is_live_at_the_data_planes_of_the_other() {
    let mut stage = Stage::start().await;
    let service = json!({ "name": "shared", "url": stage.planes.origin.url() });
    stage.planes.control.admin().post("/services", &service).await.unwrap().expect(201);
    for (n, control) in [&stage.planes.control, &stage.second].into_iter().cycle().take(6).enumerate() {
        let path = format!("/live-{n}");
        assert_eq!(stage.route(control, &path).await.as_deref(), Some("true"));
        stage.planes.gateway.proxy().get(&path).await.unwrap().expect(200);
        stage.of_second.proxy().get(&path).await.unwrap().expect(200);
    }

    // A control plane that vanished: its data plane is not waited for for ever.
    stage.second.node.kill9();
    stage.wait_connected(1).await;
    assert_eq!(stage.route(&stage.planes.control, "/alone").await.as_deref(), Some("true"));
    stage.planes.gateway.node.stop().await;
}

/// The previous control plane shows the data plane under its new one, and does not report it as disconnected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_moved_is_shown_where_it_is() {
    let mut stage = Stage::start().await;
    let node = &mut stage.planes.gateway.node;
    let id = node.status_view().await["sync"]["node_id"].as_str().unwrap().to_owned();
    let first = node_id(&stage.planes.control).await;
    let second = node_id(&stage.second).await;
    shown_at(&stage.planes.control, &id, &first).await;
    node.stop().await;
    node.set("cluster.control_planes", stage.second.cluster());
    node.start().await;
    for control in [&stage.planes.control, &stage.second] {
        shown_at(control, &id, &second).await;
    }
    // The previous control plane has written its record.
    let left = &stage.planes.control.node;
    wait::eventually(DEADLINE, || async {
        let connected = left.metric("gibbon_data_planes_connected").await;
        anyhow::ensure!(connected == 0.0, "{connected}");
        Ok(())
    })
    .await;
    shown_at(&stage.planes.control, &id, &second).await;
}

/// The fault that a copied `state_dir` makes. Each process has a control plane of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_data_planes_with_one_node_id_at_two_control_planes_are_shown_and_never_counted_as_applied() {
    let mut stage = Stage::start().await;
    let id = stage.planes.gateway.node.status_view().await["sync"]["node_id"].as_str().unwrap().to_owned();
    let service = json!({ "name": "shared", "url": stage.planes.origin.url() });
    stage.second.admin().post("/services", &service).await.unwrap().expect(201);
    assert_eq!(stage.route(&stage.second, "/before").await.as_deref(), Some("true"));
    stage.of_second.node.stop().await;
    std::fs::write(stage.of_second.state().join("node_id"), &id).unwrap();
    stage.of_second.node.start().await;
    // It has only the rows of the others.
    let mut third = stage.planes.control.beside(&stage.planes.pair);
    third.node.start().await;
    let controls = [&stage.planes.control, &stage.second, &third];
    for control in controls {
        state_at(control, &id, "conflict").await;
    }
    for (control, path) in controls.into_iter().cycle().zip(["/a", "/b", "/c", "/d", "/e", "/f"]) {
        let body = json!({ "name": &path[1..], "paths": [path] });
        let target = "/services/shared/routes?wait=applied&timeout=20";
        let answer = control.admin().post(target, &body).await.unwrap().expect(201);
        assert_eq!(answer.header("gibbon-applied"), Some("false"), "{answer:?}");
        assert!(answer.header("gibbon-pending").unwrap().contains("same node id"), "{answer:?}");
    }
    stage.of_second.node.stop().await;
    state_at(&stage.planes.control, &id, "synced").await;
    assert_eq!(stage.route(&stage.planes.control, "/after").await.as_deref(), Some("true"));
}

/// A control plane that still has the data plane in memory does not bring it back; the data plane itself does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_data_plane_stays_away_until_it_comes_back() {
    let mut stage = Stage::start().await;
    let id = stage.of_second.node.status_view().await["sync"]["node_id"].as_str().unwrap().to_owned();
    let first = stage.planes.control.admin();
    let path = format!("/clustering/data-planes/{id}");
    // A connected one reconnects, and is shown again.
    stage.second.admin().delete(&path).await.unwrap().expect(204);
    for control in [&stage.planes.control, &stage.second] {
        state_at(control, &id, "synced").await;
    }
    stage.of_second.node.stop().await;
    state_at(&stage.planes.control, &id, "disconnected").await;
    first.delete(&path).await.unwrap().expect(204);
    let service = json!({ "name": "shared", "url": stage.planes.origin.url() });
    first.post("/services", &service).await.unwrap().expect(201);
    // Each write is later than the one before; the second control plane writes its rows once a second.
    let begun = tokio::time::Instant::now();
    for n in 0.. {
        assert_eq!(stage.route(&stage.second, &format!("/{n}")).await.as_deref(), Some("true"));
        for control in [&stage.planes.control, &stage.second] {
            control.admin().get(&path).await.unwrap().expect(404);
        }
        if begun.elapsed().as_secs() >= 3 {
            break;
        }
    }
    stage.of_second.node.start().await;
    for control in [&stage.planes.control, &stage.second] {
        state_at(control, &id, "synced").await;
    }
    assert_eq!(stage.route(&stage.planes.control, "/back").await.as_deref(), Some("true"));
    stage.of_second.proxy().get("/back").await.unwrap().expect(200);
}

async fn state_at(control: &Control, data_plane: &str, state: &str) {
    wait::eventually(DEADLINE, || async {
        let row = control.admin().get(&format!("/clustering/data-planes/{data_plane}")).await?.json();
        anyhow::ensure!(row["state"] == state, "{row}");
        Ok(())
    })
    .await;
}

async fn node_id(control: &Control) -> String {
    let answer = control.admin().get("/").await.unwrap().expect(200).json();
    answer["node_id"].as_str().unwrap().to_owned()
}

/// Waits until a control plane shows a data plane as connected to this one.
async fn shown_at(control: &Control, data_plane: &str, control_plane: &str) {
    wait::eventually(DEADLINE, || async {
        let row = control.admin().get(&format!("/clustering/data-planes/{data_plane}")).await?.json();
        anyhow::ensure!(row["connected"] == true && row["control_plane"] == control_plane, "{row}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_one_row_through_both_do_not_undo_each_other() {
    let stage = Stage::start().await;
    let admins = [stage.planes.control.admin(), stage.second.admin()];
    admins[0].post("/services", &json!({ "name": "a", "host": "x" })).await.unwrap().expect(201);
    let fields = ["retries", "connect_timeout", "read_timeout", "write_timeout", "port"];
    for round in 1..=5 {
        let edits = fields.iter().zip(admins.iter().cycle()).map(|(field, admin)| async move {
            admin.patch("/services/a", &json!({ *field: round })).await.unwrap().expect(200);
        });
        futures_util::future::join_all(edits).await;
        let row = admins[0].get("/services/a").await.unwrap().expect(200).json();
        for field in fields {
            assert_eq!(row[field], round, "{field} in {row}");
        }
    }
}
