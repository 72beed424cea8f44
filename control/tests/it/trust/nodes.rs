//! The `pki` mode: the certificate of a node proves its id.

use node::identity::{Authorities, Identity, Trust, server_config};
use node::link::{self, Closing};
use testkit::certs::{Authority, Usage};
use testkit::plane::{DEADLINE, Database};
use testkit::{certs, wait};
use time::Duration;
use tokio::net::TcpListener;
use uuid::Uuid;
use wire::{CloseCode, Frame};

use super::stage::{Stage, wait_closed, wait_metric};

#[tokio::test]
async fn a_node_takes_its_id_from_its_certificate() {
    let stage = Stage::serving(Database::Sqlite).await;
    let id = stage.leaf("data").node_id().unwrap().to_string();
    let kept = std::fs::read_to_string(stage.planes.gateway.state().join("node_id")).unwrap();
    assert_eq!(kept.trim(), id);
    let admin = stage.planes.control.admin();
    let row = admin.get(&format!("/clustering/data-planes/{id}")).await.unwrap().expect(200).json();
    assert_eq!(row["cert_details"]["expiry_timestamp"], stage.leaf("data").not_after, "{row}");
    let own = admin.get("/").await.unwrap().json();
    assert_eq!(own["node_id"], stage.leaf("control").node_id().unwrap().to_string());
}

#[tokio::test]
async fn a_program_does_not_start_as_what_its_certificate_does_not_name() {
    let mut stage = Stage::new(Database::Sqlite);
    let (control, data) = (stage.pair("control"), stage.pair("data"));
    stage.planes.control.node.set_pair(&data);
    stage.planes.gateway.node.set_pair(&control);
    for (node, says) in [
        (&mut stage.planes.control.node, "it is that of a data plane, this is a control plane"),
        (&mut stage.planes.gateway.node, "it is that of a control plane, this is a data plane"),
    ] {
        node.spawn();
        assert_eq!(node.process_mut().wait_exit(DEADLINE).await.code(), Some(69));
        let said = node.process_mut().stderr();
        assert!(said.contains(says) && said.contains("gibbon-control pki issue"), "{said}");
    }
}

#[tokio::test]
async fn another_nodes_id_is_refused_by_both_names() {
    let stage = Stage::serving(Database::Sqlite).await;
    let other = stage.issue("data-plane", "other");
    let own = stage.leaf("other").node_id().unwrap();
    let mut good = stage.greet(&other, own).await.unwrap();
    assert!(matches!(Frame::decode(&good.recv().await.unwrap().unwrap()), Ok(Frame::Welcome(_))));

    let victim = stage.leaf("data").node_id().unwrap();
    let mut posing = stage.greet(&other, victim).await.unwrap();
    let Closing::Code(code, reason) = wait_closed(&mut posing).await else { panic!("no code") };
    assert_eq!(code, CloseCode::Forbidden.number());
    assert!(reason.contains(&own.to_string()) && reason.contains(&victim.to_string()), "{reason}");
    let control = &stage.planes.control.node;
    wait_metric(control, r#"gibbon_cluster_handshakes_refused_total{reason="node_id"}"#, |n| n == 1.0).await;
    // The data plane with that id has not noticed.
    assert_eq!(stage.planes.gateway.node.metric("gibbon_cluster_reconnects_total").await, 0.0);
}

#[tokio::test]
async fn who_is_no_data_plane_of_the_authority_is_refused_in_the_handshake() {
    let mut stage = Stage::new(Database::Sqlite);
    stage.planes.control.node.start().await;
    let folder = tempfile::tempdir().unwrap();
    let stranger = Authority::new(folder.path(), "stranger");
    let name = format!("urn:gibbon:data-plane:{}", Uuid::new_v4());
    for (pair, reason) in [
        (stage.pair("control"), "wrong_role"),
        (stranger.issue("other", &[&name], &[Usage::ClientAuth]), "unknown_certificate"),
        (certs::valid(folder.path(), "self-signed"), "unknown_certificate"),
    ] {
        let series = format!(r#"gibbon_cluster_handshakes_refused_total{{reason="{reason}"}}"#);
        let before = stage.planes.control.node.metric(&series).await;
        // The server's refusal may come after the client's side of the handshake, but before any answer.
        if let Ok(mut link) = stage.greet(&pair, Uuid::new_v4()).await {
            link.recv().await.unwrap_err();
        }
        wait_metric(&stage.planes.control.node, &series, |now| now == before + 1.0).await;
    }
}

#[tokio::test]
async fn a_data_plane_does_not_speak_to_another_that_poses_as_a_control_plane() {
    let stage = Stage::serving(Database::Sqlite).await;
    let pair = stage.issue("data-plane", "rogue");
    let identity = Identity::load(&pair.cert, &pair.key).unwrap();
    let trust = Trust::Authorities(Authorities::load(&stage.file("ca.crt")).unwrap());
    let config = server_config(&identity, &trust).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();

    let mut planes = stage.planes;
    planes.gateway.node.stop().await;
    planes.gateway.node.set("cluster.control_planes", listener.local_addr().unwrap());
    planes.gateway.node.spawn();
    // The handshake fails: the data plane has not even shown its certificate.
    let refused = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            assert_eq!(link::accept(stream, config.clone()).await.unwrap_err().reason(), "tls");
        }
    };
    let told = planes.gateway.node.wait_status("told why", |view| {
        let error = view["sync"]["last_error"].as_str().unwrap_or_default();
        error.contains("not made for its end of the connection")
    });
    tokio::select! {
        never = refused => never,
        () = told => {}
    }
    // It serves its last configuration.
    planes.gateway.wait_for("/a", 200).await;
}

#[tokio::test]
async fn a_connection_does_not_outlast_its_certificate() {
    let mut stage = Stage::new(Database::Sqlite);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "other-ca");
    let bundle = stage.file("bundle.crt");
    let both = [stage.file("ca.crt"), authority.cert.clone()].map(|path| std::fs::read(path).unwrap());
    std::fs::write(&bundle, both.concat()).unwrap();
    stage.planes.control.node.set("cluster.ca", bundle.display());
    // The data plane of this test is silent, and must not be disconnected for that.
    stage.planes.control.node.set("cluster.heartbeat_interval", "60s");
    stage.planes.control.node.start().await;

    let id = Uuid::new_v4();
    let name = format!("urn:gibbon:data-plane:{id}");
    let pair = authority.issue_until("brief", &[&name], &[Usage::ClientAuth], Duration::seconds(4));
    let mut link = stage.greet(&pair, id).await.unwrap();
    let Closing::Code(code, reason) = wait_closed(&mut link).await else { panic!("no code") };
    assert_eq!((code, reason.as_str()), (CloseCode::Forbidden.number(), "the certificate has expired"));
    let error =
        wait::eventually(DEADLINE, || async { stage.greet(&pair, id).await.err().ok_or("let in") }).await;
    assert!(error.to_string().contains("expired"), "{error}");
}
