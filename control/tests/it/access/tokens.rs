//! Tokens: a holder has the rights of the token's role, as long as its hash is in the file.

use node::tokens::TokenRole;
use std::os::unix::fs::PermissionsExt;
use testkit::http::Request;
use testkit::plane::DEADLINE;
use testkit::wait;

use super::{Stage, post, replace, token};

fn with(request: Request, secret: &str) -> Request {
    request.header("Kong-Admin-Token", secret)
}

fn list() -> Request {
    Request::new("GET", "/services")
}

#[tokio::test]
async fn role_decides_and_every_write_is_logged() {
    let mut stage = Stage::new();
    let (alice, bob) = (token("alice", TokenRole::Admin), token("bob", TokenRole::Read));
    stage.write_tokens(&[&alice, &bob]);
    stage.control.node.set("admin.tokens", stage.folder.path().join("tokens").display());
    stage.control.node.start().await;

    let none = stage.send(list()).await.expect(401);
    assert!(none.header("www-authenticate").unwrap().starts_with("Bearer"));
    stage.send(with(list(), "gibbon_guess")).await.expect(401);
    stage.send(list().header("Authorization", "Basic YTpi")).await.expect(401);
    stage.send(with(list(), &alice.secret).header("Authorization", "Bearer other")).await.expect(401);
    stage.send(with(list(), &bob.secret)).await.expect(200);
    stage.send(list().header("Authorization", &format!("Bearer {}", bob.secret))).await.expect(200);
    let question = Request::new("POST", "/routes/match").form(&[("url", "http://a.example/")]);
    stage.send(with(question, &bob.secret)).await.expect(200);
    let check = Request::new("POST", "/schemas/services/validate").form(&[("host", "a")]);
    stage.send(with(check, &bob.secret)).await.expect(200);
    for target in ["/config", "/config/", "//config", "//config//"] {
        let document = Request::new("POST", &format!("{target}?dry_run=true"));
        let document = document.json(&serde_json::json!({ "_format_version": "3.0" }));
        stage.send(with(document, &bob.secret)).await.expect(200);
    }
    for request in [
        Request::new("POST", "/config/?dry_run=false").form(&[("config", "_format_version: '3.0'")]),
        post("b"),
        Request::new("PUT", "/services/b").form(&[("host", "a")]),
        Request::new("PATCH", "/services/b").form(&[("host", "a")]),
        Request::new("DELETE", "/services/b"),
        Request::new("POST", "/services/../routes/match").form(&[("host", "a")]),
        Request::new("POST", "/services/validate").form(&[("host", "a")]),
        Request::new("FOO", "/services"),
    ] {
        let refused = stage.send(with(request, &bob.secret)).await.expect(403);
        assert!(refused.json()["message"].as_str().unwrap().contains("read"));
    }
    let made = stage.send(with(post("c"), &alice.secret)).await.expect(201);
    stage.send(with(Request::new("DELETE", "/services/%0Ax%1B[31m?y=%0A"), &alice.secret)).await;

    let audit = stage.send(with(Request::new("GET", "/audit"), &bob.secret)).await.expect(200).json();
    assert_eq!(audit["data"][0]["author"], "alice");

    let log = stage.control.node.wait_log("status=201").await;
    let line = log
        .lines()
        .find(|line| line.contains("audit") && line.contains("status=201"))
        .expect("a line of audit");
    let (id, revision) =
        (made.json()["id"].as_str().unwrap().to_owned(), made.header("gibbon-revision").unwrap());
    for part in ["alice", "127.0.0.1:", "POST", "/services", &id, &format!("revision=\"{revision}\"")] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(!log.contains(&alice.secret) && !log.contains(&bob.secret) && !log.contains('\u{1b}'));
    for (reason, least) in [("no_credential", 2.0), ("bad_credential", 2.0), ("read_only", 5.0)] {
        let series = format!("gibbon_admin_refused_total{{reason=\"{reason}\"}}");
        assert!(stage.control.node.metric(&series).await >= least, "{reason}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn changed_file_counts_at_once_and_a_bad_one_changes_nothing() {
    let mut stage = Stage::new();
    let (alice, carol) = (token("alice", TokenRole::Admin), token("carol", TokenRole::Admin));
    let file = stage.folder.path().join("tokens");
    stage.write_tokens(&[&alice]);
    stage.control.node.set("admin.tokens", file.display());
    stage.control.node.start().await;
    stage.send(with(list(), &carol.secret)).await.expect(401);
    stage.write_tokens(&[&carol]);
    stage.wait_for(&with(list(), &carol.secret), 200).await;
    stage.send(with(list(), &alice.secret)).await.expect(401);

    replace(&file, "half a li");
    let refused = "gibbon_token_reloads_total{result=\"refused\"}";
    wait::eventually(DEADLINE, || async {
        if stage.control.node.metric(refused).await >= 1.0 { Ok(()) } else { Err("not read") }
    })
    .await;
    stage.send(with(list(), &carol.secret)).await.expect(200);
    stage.control.node.wait_log("stay active").await;
    stage.stop().await;
}

#[tokio::test]
async fn unusable_file_ends_the_start() {
    let mut stage = Stage::new();
    stage.control.node.set("admin.tokens", stage.folder.path().join("nowhere").display());
    stage.control.node.spawn();
    let process = stage.control.node.process_mut();
    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(69));
    assert!(process.stderr().contains("token create"), "{}", process.stderr());
}

#[tokio::test]
async fn command_makes_a_token_that_works() {
    let mut stage = Stage::new();
    let file = stage.folder.path().join("made");
    let create = |name: &str, role: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gibbon-control"));
        command.args(["token", "create", "--role", role, "--name", name, "--file"]).arg(&file);
        command.output().unwrap()
    };
    let secret = String::from_utf8(create("dave", "admin").stdout).unwrap().trim().to_owned();
    assert!(create("erin", "read").status.success());
    assert_eq!(create("dave", "read").status.code(), Some(64), "the name is taken");
    assert_eq!(create("a b", "read").status.code(), Some(64));
    assert_eq!(create("frank", "owner").status.code(), Some(64));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().count() == 2 && !text.contains(&secret), "{text}");

    stage.control.node.set("admin.tokens", file.display());
    stage.control.node.start().await;
    stage.send(with(post("a"), &secret)).await.expect(201);
    stage.stop().await;
}
