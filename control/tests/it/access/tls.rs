//! The Admin API over TLS: its own certificate, and client certificates in place of tokens.

use node::tokens::TokenRole;
use testkit::certs::{self, Authority, Pair, Usage};
use testkit::plane::DEADLINE;
use testkit::{ports, wait};
use tokio::process::Command;

use super::{Stage, token};

struct Tls {
    stage: Stage,
    port: ports::Port,
    authority: Authority,
    server: Pair,
}

impl Tls {
    async fn start(change: impl FnOnce(&mut Stage)) -> Self {
        let (mut stage, port) = (Stage::new(), ports::reserve());
        let authority = Authority::new(stage.folder.path(), "people");
        let server = certs::server(stage.folder.path(), "admin", &["control.example"]);
        for (key, value) in [
            ("admin.listen_tls", port.to_string()),
            ("admin.tls_cert", server.cert.display().to_string()),
            ("admin.tls_key", server.key.display().to_string()),
            ("admin.client_ca", authority.cert.display().to_string()),
        ] {
            stage.control.node.set(key, value);
        }
        change(&mut stage);
        stage.control.node.start().await;
        Self { stage, port, authority, server }
    }

    /// Returns the status of a request by curl; 000 without an answer.
    async fn curl(&self, client: Option<&Pair>, arguments: &[&str]) -> String {
        let port = self.port.number();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "20"]);
        curl.args(["--resolve", &format!("control.example:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(&self.server.cert);
        if let Some(pair) = client {
            curl.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        }
        curl.args(arguments).arg(format!("https://control.example:{port}/services"));
        let output = curl.kill_on_drop(true).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[tokio::test]
async fn client_certificate_is_who_writes() {
    let tls = Tls::start(|_| {}).await;
    let person = tls.authority.issue("grace", &[], &[Usage::ClientAuth]);
    let node_id = "urn:gibbon:data-plane:2b0a4b6e-6f5c-4a4e-9d0f-4f5a0d1f7a11";
    let node = tls.authority.issue("node", &[node_id], &[Usage::ClientAuth]);
    let other = certs::valid(tls.stage.folder.path(), "other");
    assert_eq!(tls.curl(Some(&person), &["-d", "name=a", "-d", "host=b"]).await, "201");
    assert_eq!(tls.curl(Some(&person), &["--tlsv1.2", "--tls-max", "1.2"]).await, "200");
    assert_eq!(tls.curl(Some(&person), &["-H", "Host: evil.example"]).await, "403");
    assert_eq!(tls.curl(Some(&node), &[]).await, "401", "a node of the cluster is no administrator");
    assert_eq!(tls.curl(Some(&other), &[]).await, "000");
    assert_eq!(tls.curl(None, &[]).await, "000");
    tls.stage.control.node.wait_log("who=\"grace\"").await;
    // A listener without client certificates identifies no client.
    let plain = tls.stage.send(testkit::http::Request::new("GET", "/services")).await;
    assert_eq!(plain.status, 401);
    tls.stage.stop().await;
}

#[tokio::test]
async fn token_does_as_well_and_changed_files_count() {
    let alice = token("alice", TokenRole::Read);
    let tls = Tls::start(|stage| {
        stage.write_tokens(&[&alice]);
        stage.control.node.set("admin.tokens", stage.folder.path().join("tokens").display());
    })
    .await;
    let field = format!("Kong-Admin-Token: {}", alice.secret);
    assert_eq!(tls.curl(None, &["-H", &field]).await, "200");
    assert_eq!(tls.curl(None, &[]).await, "401");
    let before = tls.authority.issue("grace", &[], &[Usage::ClientAuth]);
    assert_eq!(tls.curl(Some(&before), &[]).await, "200");

    let folder = tempfile::tempdir().unwrap();
    let (new, next) =
        (certs::server(folder.path(), "admin", &["control.example"]), Authority::new(folder.path(), "next"));
    for (from, to) in
        [(&new.key, &tls.server.key), (&new.cert, &tls.server.cert), (&next.cert, &tls.authority.cert)]
    {
        std::fs::copy(from, to).unwrap();
    }
    let person = next.issue("heidi", &[], &[Usage::ClientAuth]);
    wait::eventually(DEADLINE, || async {
        let status = tls.curl(Some(&person), &[]).await;
        if status == "200" { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(tls.curl(Some(&before), &[]).await, "000");
    tls.stage.stop().await;
}
