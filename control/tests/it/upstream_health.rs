//! The health of targets that simulated data planes report, and what the Admin API shows of it.

use std::time::Duration;

use anyhow::ensure;
use node::identity::{Identity, Pins, Trust, client_config};
use node::link::{self, Link};
use serde_json::{Value, json};
use testkit::plane::{DEADLINE, Database, Planes};
use testkit::wait;
use tokio::task::JoinSet;
use uuid::Uuid;
use wire::{
    Ack, AddressHealth, Frame, Health, HealthReport, Hello, Position, RecordType, ReportPart, TargetHealth,
    VERSIONS,
};

/// More often than the control plane of a test requires.
const HEARTBEAT: Duration = Duration::from_millis(300);
const FULL: ReportPart = ReportPart::Full { first: true, last: true };

/// A data plane that applies every update at once and reports what a test says.
struct Reporter {
    node_id: Uuid,
    reports: tokio::sync::mpsc::UnboundedSender<HealthReport>,
    serving: JoinSet<()>,
}

impl Reporter {
    async fn connect(planes: &Planes) -> Self {
        let identity = Identity::load(&planes.pair.cert, &planes.pair.key).unwrap();
        let trust = Trust::Pins(Pins::from_iter([identity.fingerprint()]));
        let config = client_config(&identity, &trust).unwrap();
        let mut link = link::connect(&planes.control.cluster().to_string(), config).await.unwrap();
        let node_id = Uuid::new_v4();
        let hello = Hello {
            versions: VERSIONS,
            node_id,
            hostname: "edge".into(),
            version: "0".into(),
            kinds: model::KINDS.iter().map(|kind| kind.kind().0).collect(),
            fields: model::must_understand_fields(),
            labels: Default::default(),
            held: None,
            instance: None,
            partial: None,
        };
        link.send(Frame::Hello(hello).encode()).await.unwrap();
        let (reports, mut sent) = tokio::sync::mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move { serve(link, &mut sent).await });
        Self { node_id, reports, serving }
    }

    fn report(&self, part: ReportPart, entries: Vec<TargetHealth>) {
        self.reports.send(HealthReport { part, revision: 0, targets: 3, entries }).unwrap();
    }

    async fn leave(mut self) {
        self.serving.shutdown().await;
    }
}

/// Acknowledges updates and sends reports, each with the revision that is held. Like a real data plane, it also
/// reports that it holds another revision.
async fn serve(mut link: Link, reports: &mut tokio::sync::mpsc::UnboundedReceiver<HealthReport>) {
    let mut held = Position::default();
    let mut ticks = tokio::time::interval(HEARTBEAT);
    loop {
        let report = tokio::select! {
            _ = ticks.tick() => {
                link.send(Frame::Heartbeat(held).encode()).await.unwrap();
                continue;
            }
            report = reports.recv() => match report {
                Some(report) => report,
                None => return,
            },
            message = link.recv() => match Frame::decode(&message.unwrap().expect("it stays open")).unwrap() {
                Frame::Update(header, _) => {
                    held = header.position();
                    let ack = Ack { held, decode_us: 1, apply_us: 1 };
                    link.send(Frame::Ack(ack).encode()).await.unwrap();
                    let (part, entries) = (ReportPart::Changes, Vec::new());
                    HealthReport { part, revision: 0, targets: 3, entries }
                }
                _ => continue,
            },
        };
        let report = HealthReport { revision: held.revision, ..report };
        link.send(Frame::Health(report).encode()).await.unwrap();
    }
}

fn entry(target: &str, health: Health) -> TargetHealth {
    let address = AddressHealth {
        address: [10, 0, 0, 1].into(),
        port: 8000,
        weight: 100,
        health,
        since: 1_700_000_000_500,
        last_error: (health == Health::Unhealthy).then(|| "connection refused".to_owned()),
    };
    TargetHealth {
        target: target.parse().unwrap(),
        record_type: RecordType::A,
        dns_error: None,
        addresses: vec![address],
    }
}

fn no_address(target: &str) -> TargetHealth {
    TargetHealth {
        addresses: Vec::new(),
        record_type: RecordType::Unknown,
        dns_error: Some("dns server error: 3 name error".into()),
        ..entry(target, Health::Unknown)
    }
}

/// A control plane with an upstream `u`, and the ids of its targets, the newest first.
async fn stage(checks: &Value) -> (Planes, Vec<String>) {
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.start().await;
    let admin = planes.control.admin();
    let upstream = json!({ "name": "u", "healthchecks": checks });
    admin.post("/upstreams", &upstream).await.unwrap().expect(201);
    let mut ids = Vec::new();
    for target in ["a.example:80", "10.0.0.2", "10.0.0.1"] {
        let made = admin.post("/upstreams/u/targets", &json!({ "target": target })).await.unwrap();
        ids.insert(0, made.expect(201).json()["id"].as_str().unwrap().to_owned());
        // The times of targets are milliseconds.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (planes, ids)
}

fn checks() -> Value {
    json!({ "active": { "healthy": { "interval": 1 }, "unhealthy": { "interval": 1 } } })
}

async fn get(planes: &Planes, query: &str) -> Value {
    planes.control.admin().get(&format!("/upstreams/u/health{query}")).await.unwrap().expect(200).json()
}

/// Waits until the targets have these healths, and returns the answer.
async fn wait_health(planes: &Planes, query: &str, expected: [&str; 3]) -> Value {
    wait::eventually(DEADLINE, || async {
        let answer = get(planes, query).await;
        let shown: Vec<&Value> =
            answer["data"].as_array().unwrap().iter().map(|row| &row["health"]).collect();
        ensure!(shown == expected, "{answer}");
        Ok(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_that_of_the_best_data_plane_and_changes_at_once() {
    let (mut planes, ids) = stage(&checks()).await;
    let nobody = wait_health(&planes, "", ["UNKNOWN"; 3]).await;
    assert_eq!(nobody["data"][0]["data_planes"]["reporting"], 0);
    assert_eq!(nobody["data_planes"], json!({ "reporting": 0, "elsewhere": 0 }));

    let (one, two) = (Reporter::connect(&planes).await, Reporter::connect(&planes).await);
    one.report(FULL, vec![entry(&ids[1], Health::Unhealthy), no_address(&ids[2])]);
    wait_health(&planes, "", ["HEALTHY", "UNHEALTHY", "DNS_ERROR"]).await;
    two.report(FULL, vec![entry(&ids[1], Health::Healthy), no_address(&ids[2])]);
    let both = wait_health(&planes, "", ["HEALTHY", "HEALTHY", "DNS_ERROR"]).await;
    let [first, second, third] = [0, 1, 2].map(|at| &both["data"][at]);
    assert_eq!((&first["target"], &first["weight"]), (&json!("10.0.0.1:8000"), &json!(100)));
    let own = json!([{ "ip": "10.0.0.1", "port": 8000, "weight": 100, "health": "HEALTHY" }]);
    assert_eq!(
        first["data"],
        json!({
            "host": "10.0.0.1", "port": 8000, "dns": "A", "nodeWeight": 100,
            "weight": { "total": 100, "available": 100, "unavailable": 0 }, "addresses": own,
        })
    );
    let counts = json!({
        "reporting": 2, "healthy": 1, "unhealthy": 1, "dns_error": 0, "unchecked": 0, "unknown": 0,
    });
    assert_eq!(second["data_planes"], counts);
    assert_eq!((&second["last_error"], &second["state"]), (&json!("connection refused"), &json!("ready")));
    assert_eq!(second["since"], 1_700_000_000.5);
    assert_eq!(third["data"]["dns"], "dns server error: 3 name error");
    assert!(both["node_id"].is_string());

    let query = format!("?data_plane={}&detail=1", one.node_id);
    let only = wait_health(&planes, &query, ["HEALTHY", "UNHEALTHY", "DNS_ERROR"]).await;
    let detail = &only["data"][1]["details"];
    assert_eq!(detail.as_array().unwrap().len(), 1);
    assert_eq!(detail[0]["data_plane"], one.node_id.to_string());
    assert_eq!(detail[0]["addresses"][0]["last_error"], "connection refused");
    planes.control.admin().get("/upstreams/u/health?data_plane=x").await.unwrap().expect(400);
    planes.control.admin().get("/upstreams/none/health").await.unwrap().expect(404);

    // A change, and the numbers of a data plane.
    two.report(ReportPart::Changes, vec![entry(&ids[1], Health::Unhealthy)]);
    wait_health(&planes, "", ["HEALTHY", "UNHEALTHY", "DNS_ERROR"]).await;
    let row = format!("/clustering/data-planes/{}", two.node_id);
    let row = planes.control.admin().get(&row).await.unwrap().expect(200).json();
    assert_eq!((&row["targets"]["total"], &row["targets"]["unhealthy"]), (&json!(3), &json!(1)));
    planes.control.node.wait_metric(r#"gibbon_cluster_targets{health="unhealthy"}"#, 2.0).await;
    let unhealthy = format!("gibbon_data_plane_unhealthy_targets{{node_id=\"{}\"}}", two.node_id);
    planes.control.node.wait_metric(&unhealthy, 2.0).await;
    one.leave().await;
    two.leave().await;
    planes.control.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_the_upstream_as_a_whole_have_the_shape_of_kong() {
    let (mut planes, ids) = stage(&checks()).await;
    let unknown = get(&planes, "?balancer_health=1").await;
    assert_eq!((&unknown["data"]["health"], &unknown["next"]), (&json!("UNKNOWN"), &Value::Null));
    let reporter = Reporter::connect(&planes).await;
    reporter.report(FULL, vec![no_address(&ids[2])]);
    wait_health(&planes, "", ["HEALTHY", "HEALTHY", "DNS_ERROR"]).await;
    let first = get(&planes, "?size=2").await;
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&first["offset"], &first["next"]),
        (&json!("2"), &json!("/upstreams/u/health?size=2&offset=2"))
    );
    let rest = planes.control.admin().get(first["next"].as_str().unwrap()).await.unwrap().expect(200).json();
    assert_eq!((&rest["data"][0]["id"], &rest["next"]), (&json!(ids[2]), &Value::Null));

    let whole = get(&planes, "?balancer_health=1").await["data"].clone();
    assert_eq!((&whole["health"], &whole["balancer_health"]), (&json!("HEALTHY"), &json!("HEALTHY")));
    assert_eq!(whole["details"]["weight"], json!({ "total": 200, "available": 200, "unavailable": 0 }));
    assert_eq!(whole["details"]["hosts"][0]["addresses"][0]["healthy"], true);
    reporter.report(
        ReportPart::Changes,
        vec![entry(&ids[0], Health::Unhealthy), entry(&ids[1], Health::Ejected)],
    );
    wait_health(&planes, "", ["UNHEALTHY", "UNHEALTHY", "DNS_ERROR"]).await;
    let whole = get(&planes, "?balancer_health=1").await["data"].clone();
    assert_eq!(
        (&whole["balancer_health"], &whole["details"]["healthy"]),
        (&json!("UNHEALTHY"), &json!(false))
    );
    // An operator drains a target that is healthy again.
    reporter.report(ReportPart::Changes, vec![TargetHealth::plain(ids[0].parse().unwrap())]);
    let admin = planes.control.admin();
    let state = format!("/upstreams/u/targets/{}/state", ids[0]);
    admin.put(&state, &json!({ "state": "drain" })).await.unwrap().expect(200);
    let drained = wait_health(&planes, "", ["HEALTHY", "UNHEALTHY", "DNS_ERROR"]).await["data"][0].clone();
    assert_eq!((&drained["state"], &drained["data"]["weight"]["available"]), (&json!("drain"), &json!(0)));
    reporter.leave().await;
    planes.control.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_without_checks_says_so_with_and_without_data_planes() {
    let (mut planes, ids) = stage(&json!({})).await;
    wait_health(&planes, "", ["HEALTHCHECKS_OFF"; 3]).await;
    let reporter = Reporter::connect(&planes).await;
    reporter.report(FULL, vec![no_address(&ids[2])]);
    wait_health(&planes, "", ["HEALTHCHECKS_OFF", "HEALTHCHECKS_OFF", "DNS_ERROR"]).await;
    let whole = get(&planes, "?balancer_health=1").await["data"].clone();
    assert_eq!(
        (&whole["health"], &whole["balancer_health"]),
        (&json!("HEALTHCHECKS_OFF"), &json!("HEALTHY"))
    );
    reporter.leave().await;
    planes.control.node.stop().await;
}
