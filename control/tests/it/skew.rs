//! Data planes that are older than the configuration: the real data plane with a kind and a field that no
//! version has, and a data plane of a test that knows less than the control plane.

use std::time::Duration;

use anyhow::ensure;
use node::identity::{Identity, Pins, Trust, client_config};
use node::link::{self, Link};
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::plane::{Control, DEADLINE, Database, Planes};
use testkit::{certs, wait};
use uuid::Uuid;
use wire::{Ack, Frame, Hello, Mode, Position, UpdateHeader, VERSIONS};

/// Sent more often than the control plane of the test requires.
const HEARTBEAT: Duration = Duration::from_millis(300);
const ID: Uuid = Uuid::from_u128(7);

/// Commits one change, as a newer control plane on the same database would.
fn commit(control: &Control, kind: u8, bytes: Option<&str>) {
    let (token, op) = (Uuid::new_v4(), if bytes.is_some() { 1 } else { 2 });
    let bytes = bytes.unwrap_or_default();
    control.execute(&format!(
        "WITH head AS (UPDATE config_head SET revision = revision + 1, previous = stamp, stamp = '{token}' \
         RETURNING revision, stamp, previous) \
         INSERT INTO config_change (revision, ordinal, kind, id, op, bytes, hash, stamp, previous) \
         SELECT revision, 0, {kind}, '{ID}', {op}, convert_to('{bytes}', 'UTF8'), '', stamp, previous FROM head"
    ));
}

/// Waits until the only data plane of `control` is in this state, and returns its view.
async fn wait_state(control: &Control, state: &str) -> Value {
    wait::eventually(DEADLINE, || async {
        let rows = control.admin().get("/clustering/data-planes").await?.json();
        let row = rows["data"][0].clone();
        ensure!(row["state"] == state && row["connected"] == true, "{rows}");
        Ok(row)
    })
    .await
}

async fn route(admin: &Client, path: &str) -> (Option<String>, Option<String>) {
    let body = json!({ "paths": [path], "service": { "id": service(admin).await } });
    let answer = admin.post("/routes?wait=applied&timeout=20", &body).await.unwrap().expect(201);
    let header = |name| answer.header(name).map(str::to_owned);
    (header("gibbon-applied"), header("gibbon-pending"))
}

async fn service(admin: &Client) -> Value {
    admin.get("/services").await.unwrap().json()["data"][0]["id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_plane_that_lacks_a_kind_or_a_field_gets_no_update_until_it_is_gone() {
    let mut planes = Planes::start(Database::Postgres).await;
    planes.serve("/first").await;
    let (admin, proxy) = (planes.control.admin(), planes.gateway.proxy());
    for (kind, bytes, reason) in [
        (99, "?", "does not know kind 99, of which the configuration has 1"),
        (1, r#"{"host":"a","!guard":1}"#, "does not know the field services.guard, which 1 entity has"),
    ] {
        commit(&planes.control, kind, Some(bytes));
        let row = wait_state(&planes.control, "incompatible").await;
        let error = &row["last_error"];
        assert_eq!((&error["reason"], &error["message"]), (&json!("unsupported"), &json!(reason)));
        planes.control.node.wait_metric("gibbon_data_planes_incompatible", 1.0).await;

        // A write is not applied, does not wait until its timeout, and says why.
        let path = format!("/after-{kind}");
        let written = tokio::time::timeout(Duration::from_secs(15), route(&admin, &path)).await.unwrap();
        assert_eq!(written.0.as_deref(), Some("false"));
        let pending = written.1.unwrap();
        assert!(pending.contains(&format!("refused: {reason}")), "{pending}");
        proxy.get(&path).await.unwrap().expect(404);
        proxy.get("/first").await.unwrap().expect(200);
        let said = planes.control.node.log().matches(reason).count();
        assert_eq!(said, 1, "the log says it once, whatever is written");

        commit(&planes.control, kind, None);
        planes.gateway.wait_for(&path, 200).await;
        assert_eq!(wait_state(&planes.control, "synced").await["last_error"], Value::Null);
        planes.control.node.wait_metric("gibbon_data_planes_incompatible", 0.0).await;
    }
    assert_eq!(planes.gateway.node.metric("gibbon_cluster_reconnects_total").await, 0.0);
    let rejected = r#"gibbon_config_rejections_total{reason="unsupported"}"#;
    assert_eq!(planes.gateway.node.metric(rejected).await, 0.0, "nothing was sent to be rejected");
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}

/// A data plane of the real protocol.
struct DataPlane {
    link: Link,
    hello: Hello,
    held: Option<Position>,
}

impl DataPlane {
    async fn connect(planes: &Planes, hello: Hello) -> Self {
        let identity = Identity::load(&planes.pair.cert, &planes.pair.key).unwrap();
        let trust = Trust::Pins(Pins::from_iter([identity.fingerprint()]));
        let config = client_config(&identity, &trust).unwrap();
        let mut link = link::connect(&planes.control.cluster().to_string(), config).await.unwrap();
        link.send(Frame::Hello(hello.clone()).encode()).await.unwrap();
        let held = hello.held;
        Self { link, hello, held }
    }

    /// Connects again, with another program.
    async fn replaced(self, planes: &Planes, kinds: Vec<u8>, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        let hello = Hello { kinds, fields, held: self.held, ..self.hello };
        drop(self.link);
        Self::connect(planes, hello).await
    }

    /// Acknowledges updates until `until` says so of one, or of a heartbeat of the control plane.
    async fn beat(&mut self, mut until: impl FnMut(Result<UpdateHeader, Position>) -> bool) {
        let beating = async {
            let mut ticks = tokio::time::interval(HEARTBEAT);
            loop {
                let message = tokio::select! {
                    _ = ticks.tick() => {
                        let held = self.held.unwrap_or_default();
                        self.link.send(Frame::Heartbeat(held).encode()).await.unwrap();
                        continue;
                    }
                    message = self.link.recv() => message.unwrap().expect("it stays connected"),
                };
                let seen = match Frame::decode(&message).unwrap() {
                    Frame::Update(header, _) => {
                        let held = header.position();
                        self.held = Some(held);
                        let ack = Ack { held, decode_us: 1, apply_us: 1 };
                        self.link.send(Frame::Ack(ack).encode()).await.unwrap();
                        Ok(header)
                    }
                    Frame::Heartbeat(head) => Err(head),
                    _ => continue,
                };
                if until(seen) {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, beating).await.expect("it comes in time");
    }

    /// Waits until it holds the head, by a delta.
    async fn wait_delta(&mut self, revision: u64) {
        self.beat(|seen| seen.is_ok_and(|header| header.mode == Mode::Delta && header.to == revision)).await;
    }

    /// Asserts that it is sent nothing until the control plane has announced this head twice.
    async fn is_sent_nothing(&mut self, revision: u64) {
        let mut heartbeats = 0;
        self.beat(|seen| match seen {
            Ok(header) => panic!("an update to {} was sent", header.to),
            Err(head) => {
                heartbeats += u32::from(head.revision == revision);
                heartbeats == 2
            }
        })
        .await;
    }
}

async fn head(control: &Control) -> u64 {
    control.admin().get("/clustering/config").await.unwrap().json()["revision"].as_u64().unwrap()
}

async fn wait_head(control: &Control, revision: u64) {
    wait::eventually(DEADLINE, || async {
        let now = head(control).await;
        ensure!(now == revision, "{now}");
        Ok(())
    })
    .await;
}

/// An older data plane lacks the kind of certificates, and later a field; a newer one knows both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_data_plane_is_left_alone_and_goes_on_once_it_is_newer() {
    let mut planes = Planes::new(Database::Postgres);
    planes.control.node.start().await;
    let admin = planes.control.admin();
    let created = json!({ "name": "a", "host": "a.example" });
    admin.post("/services", &created).await.unwrap().expect(201);
    let hello = Hello {
        versions: VERSIONS,
        node_id: Uuid::new_v4(),
        hostname: "older".into(),
        version: "0".into(),
        kinds: vec![1, 2],
        fields: Vec::new(),
        labels: Default::default(),
        held: None,
        instance: None,
        partial: None,
    };
    // Published a little after it was answered.
    wait_head(&planes.control, 1).await;
    let mut data_plane = DataPlane::connect(&planes, hello).await;
    data_plane.beat(|seen| seen.is_ok_and(|header| header.mode == Mode::Snapshot)).await;

    let folder = tempfile::tempdir().unwrap();
    let pair = certs::server(folder.path(), "pair", &["a.example"]);
    let text = |path| std::fs::read_to_string(path).unwrap();
    let body = json!({ "cert": text(&pair.cert), "key": text(&pair.key) });
    let certificate = admin.post("/certificates", &body).await.unwrap().expect(201).json();
    let revision = 2;
    wait_head(&planes.control, revision).await;
    data_plane.is_sent_nothing(revision).await;
    let row = wait_state(&planes.control, "incompatible").await;
    let reason = "does not know the kind certificates, of which the configuration has 1";
    assert_eq!(row["last_error"]["message"], reason);

    // A newer program, and then the older one again, which the deletion helps.
    let all: Vec<u8> = model::KINDS.iter().map(|kind| kind.kind().0).collect();
    let mut data_plane = data_plane.replaced(&planes, all.clone(), &[]).await;
    data_plane.wait_delta(revision).await;
    wait_state(&planes.control, "synced").await;
    commit(&planes.control, 1, Some(r#"{"host":"b","!guard":1}"#));
    wait_head(&planes.control, revision + 1).await;
    data_plane.is_sent_nothing(revision + 1).await;
    let mut data_plane = data_plane.replaced(&planes, all.clone(), &["services.guard"]).await;
    data_plane.wait_delta(revision + 1).await;
    commit(&planes.control, 1, None);
    data_plane.wait_delta(revision + 2).await;
    let mut data_plane = data_plane.replaced(&planes, vec![1, 2], &[]).await;
    // It holds the head, and what it lacks.
    wait_state(&planes.control, "incompatible").await;
    let id = certificate["id"].as_str().unwrap();
    admin.post("/services", &json!({ "host": "c.example" })).await.unwrap().expect(201);
    data_plane.is_sent_nothing(revision + 3).await;
    admin.delete(&format!("/certificates/{id}")).await.unwrap().expect(204);
    data_plane.wait_delta(revision + 4).await;
    planes.control.node.stop().await;
}
