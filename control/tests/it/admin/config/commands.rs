//! The commands `gibbon-control config …`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use node::tokens::{TokenRole, create};
use serde_json::{Value, json};
use testkit::certs;
use testkit::plane::{Control, Database};
use testkit::ports;
use tokio::process::Command;

use super::{Admin, document};
use crate::admin::on_both_databases;

on_both_databases!(files_are_checked_compared_and_applied, several_files_are_one_configuration);

/// The end of a command.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    error: String,
}

/// Runs `gibbon-control config` with these arguments.
async fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
        .arg("config")
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code().expect("it ends by itself"),
        out: text(&output.stdout),
        error: text(&output.stderr),
    }
}

impl Ended {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

fn written(folder: &Path, name: &str, document: &Value) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, document.to_string()).unwrap();
    file
}

async fn files_are_checked_compared_and_applied(admin: &Admin) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", admin.client.address());
    let file = written(folder.path(), "good.yaml", &document());
    let run = async |command: &str, more: &[&str]| {
        let arguments = [&[command, "--admin", &url], more].concat();
        config(&arguments, &[]).await
    };
    let good = file.to_str().unwrap();
    assert!(run("validate", &[good]).await.expect(0).out.contains("valid: 8 created"));
    let diff = run("diff", &[good]).await.expect(2);
    assert!(
        diff.out.contains("create service orders\n") && diff.out.contains("create route list\n"),
        "{diff:?}"
    );
    assert_eq!(admin.head().await, 0);
    assert!(run("sync", &[good]).await.expect(0).out.starts_with("revision 1: 8 created"));
    run("diff", &[good]).await.expect(0);
    assert!(run("sync", &[good]).await.expect(0).out.starts_with("nothing to change"));

    for (name, ids) in [("a.yaml", false), ("a.json", false), ("b.yaml", true)] {
        let dumped = folder.path().join(name);
        let dumped = dumped.to_str().unwrap();
        run("dump", &[&["-o", dumped][..], if ids { &["--with-ids"] } else { &[] }].concat()).await.expect(0);
        assert!(run("diff", &[dumped]).await.expect(0).out.contains("8 unchanged"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no unfinished file is left");
    let dumped = run("dump", &[]).await.expect(0).out;
    assert_eq!(dumped, fs::read_to_string(folder.path().join("a.yaml")).unwrap());

    let bad =
        json!({ "_format_version": "3.0", "services": [{ "name": "x", "host": "a:1" }, {}], "more": 1 });
    let bad = written(folder.path(), "bad.json", &bad);
    for command in ["validate", "diff", "sync"] {
        let ended = run(command, &[bad.to_str().unwrap()]).await.expect(1);
        for line in ["service x, services.1: host: must not have a port", "more: unknown field", "services.2"]
        {
            assert!(ended.error.contains(line), "{ended:?}");
        }
    }
    let json: Value = serde_json::from_str(&run("diff", &[good, "--json"]).await.expect(0).out).unwrap();
    assert_eq!(json["unchanged"], 8);
    let tagged = run("dump", &["--select-tag", "a", "--select-tag", "b"]).await.expect(0).out;
    assert!(tagged.contains("orders") && !tagged.contains("bare"), "{tagged}");
    run("diff", &["/nonexistent"]).await.expect(64);
    run("diff", &[]).await.expect(64);
}

async fn several_files_are_one_configuration(admin: &Admin) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", admin.client.address());
    let variables = [("GIBBONCTL_ADMIN", address.as_str())];
    let services = json!({ "_format_version": "3.0", "services": [{ "name": "a", "host": "a" }] });
    let routes = "_format_version: \"3.0\"\nroutes:\n- name: r\n  paths: [/r]\n  service: a\nservices:\n- name: b\n  host: b\n";
    let first = written(folder.path(), "services.json", &services);
    let second = folder.path().join("routes.yml");
    fs::write(&second, routes).unwrap();
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let synced = config(&["sync", first, second], &variables).await.expect(0);
    assert!(synced.out.contains("3 created"), "{synced:?}");
    assert!(
        config(&["diff", second], &variables).await.expect(1).error.contains("no such entry in 'services'")
    );
    let other = written(folder.path(), "other.json", &json!({ "_format_version": "1.1" }));
    let refused = config(&["diff", first, other.to_str().unwrap()], &variables).await.expect(1);
    assert!(refused.error.contains("other.json") && refused.error.contains("_format_version"), "{refused:?}");
}

#[tokio::test]
async fn clients_are_identified_by_token_socket_and_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(Database::Sqlite, &certs::valid(folder.path(), "cluster"));
    let (write, read) = (create("w", TokenRole::Admin).unwrap(), create("r", TokenRole::Read).unwrap());
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, format!("{}\n{}\n", write.line, read.line)).unwrap();
    let authority = certs::Authority::new(folder.path(), "authority");
    let server = authority.issue_server("server", &["localhost"]);
    let (socket, tls) = (folder.path().join("admin.sock"), ports::reserve());
    control.node.set("admin.tokens", tokens.display());
    control.node.set("admin.socket", socket.display());
    control.node.set("admin.listen_tls", &tls);
    control.node.set("admin.tls_cert", server.cert.display());
    control.node.set("admin.tls_key", server.key.display());
    control.node.start().await;

    let file =
        written(folder.path(), "a.json", &json!({ "_format_version": "3.0", "services": [{ "host": "a" }] }));
    let file = file.to_str().unwrap();
    let url = format!("http://{}", control.admin().address());
    config(&["diff", "--admin", &url, file], &[]).await.expect(69);
    config(&["diff", "--admin", &url, "--token", "wrong", file], &[]).await.expect(69);
    // A reader may ask what would change, and change nothing.
    config(&["diff", "--admin", &url, file], &[("GIBBONCTL_TOKEN", &read.secret)]).await.expect(2);
    config(&["sync", "--admin", &url, file], &[("GIBBONCTL_TOKEN", &read.secret)]).await.expect(69);
    config(&["sync", "--admin", &url, "--token", &write.secret, file], &[]).await.expect(0);
    let secret = folder.path().join("secret");
    fs::write(&secret, format!("{}\n", write.secret)).unwrap();
    config(&["diff", "--admin", &url, "--token-file", secret.to_str().unwrap(), file], &[]).await.expect(0);

    let unix = format!("unix://{}", socket.display());
    config(&["diff", "--admin", &unix, file], &[]).await.expect(0);
    let https = format!("https://localhost:{}", tls.address().port());
    let authority = folder.path().join("authority.crt");
    let token = [("GIBBONCTL_TOKEN", write.secret.as_str())];
    let trusted = ["diff", "--admin", &https, "--ca-cert", authority.to_str().unwrap(), file];
    config(&trusted, &token).await.expect(0);
    let untrusted = config(&["diff", "--admin", &https, file], &token).await.expect(69);
    assert!(untrusted.error.contains("certificate"), "{untrusted:?}");

    control.node.stop().await;
    let gone = config(&["diff", "--admin", &url, file], &[]).await.expect(69);
    assert!(gone.error.contains(&url), "{gone:?}");
}
