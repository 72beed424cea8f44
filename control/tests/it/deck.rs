//! decK, the declarative client that Kong's users have, against the Admin API.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::certs::{self, Authority};
use testkit::http::Client;
use testkit::plane::{Control, DEADLINE, Database};
use testkit::wait;
use tokio::process::Command;

#[tokio::test]
async fn a_file_is_synced_dumped_and_reset_on_sqlite() {
    tell(Database::Sqlite).await;
}

#[tokio::test]
async fn a_file_is_synced_dumped_and_reset_on_postgresql() {
    tell(Database::Postgres).await;
}

async fn tell(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(database, &certs::valid(folder.path(), "cluster"));
    control.node.start().await;
    let (admin, file) = (control.admin(), state_file(folder.path()));
    let deck = Deck { url: format!("http://{}", admin.address()), folder: folder.path(), headers: None };

    assert!(deck.run(&["ping"]).await.contains("Successfully connected"));
    let state = file.to_str().unwrap();
    assert!(deck.run(&["sync", "--state", state]).await.contains("Created: 8"));
    // Each creation is a revision, and the last ones may not be published yet.
    let synced = 8;
    wait::eventually(DEADLINE, || async {
        let published = revision(&admin).await;
        if published == synced { Ok(()) } else { Err(published) }
    })
    .await;
    assert_eq!(names(&admin, "/services/orders/routes").await, ["list", "orders"]);
    assert_eq!(names(&admin, "/snis").await, ["*.a.example", "a.example"]);

    // The key is hidden, so decK writes the certificate again: that makes no revision.
    let again = deck.run(&["sync", "--state", state]).await;
    assert!(again.contains("Created: 0") && again.contains("Deleted: 0"), "{again}");
    assert_eq!(revision(&admin).await, synced);

    let dumped = folder.path().join("dumped.yaml");
    let dump = dumped.to_str().unwrap();
    deck.run(&["dump", "--output-file", dump]).await;
    assert!(!fs::read_to_string(&dumped).unwrap().contains("PRIVATE KEY"));
    let nothing = "Created: 0\n  Updated: 0\n  Deleted: 0";
    let diff = deck.run(&["diff", "--non-zero-exit-code", "--state", dump]).await;
    assert!(diff.contains(nothing), "{diff}");
    let sync = deck.run(&["sync", "--state", dump]).await;
    assert!(sync.contains(nothing) && revision(&admin).await == synced, "{sync}");

    deck.run(&["reset", "--force"]).await;
    for collection in ["/services", "/routes", "/certificates", "/snis", "/ca_certificates"] {
        let left = admin.get(collection).await.unwrap().expect(200).json();
        assert_eq!(left["data"], serde_json::json!([]), "{collection}");
    }
    control.node.stop().await;
}

#[tokio::test]
async fn upstreams_keep_what_is_not_in_the_file_on_sqlite() {
    upstreams(Database::Sqlite).await;
}

#[tokio::test]
async fn upstreams_keep_what_is_not_in_the_file_on_postgresql() {
    upstreams(Database::Postgres).await;
}

/// Upstreams with targets: a file is synced, changed and dumped, while an operator has set a policy and the
/// state of a target.
async fn upstreams(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(database, &certs::valid(folder.path(), "cluster"));
    control.node.start().await;
    let admin = control.admin();
    let deck = Deck { url: format!("http://{}", admin.address()), folder: folder.path(), headers: None };
    let file = folder.path().join("upstreams.yaml");
    let state = file.to_str().unwrap();
    let write = |slots| fs::write(&file, upstreams_file(slots).to_string()).unwrap();
    let nothing = "Created: 0\n  Updated: 0\n  Deleted: 0";

    write(10);
    assert!(deck.run(&["sync", "--state", state]).await.contains("Created: 5"));
    let diff = deck.run(&["diff", "--non-zero-exit-code", "--state", state]).await;
    assert!(diff.contains(nothing), "{diff}");
    let policy = serde_json::json!({ "recover_after": 5 });
    let policy = admin.put("/upstreams/a/policy", &policy).await.unwrap().expect(200).json();
    let at = "/upstreams/a/targets/x.example:8000";
    let drain = serde_json::json!({ "state": "drain" });
    let drained = admin.put(&format!("{at}/state"), &drain).await.unwrap().expect(200).json();
    let before = admin.get(at).await.unwrap().expect(200).json();

    // decK replaces the upstream. A target that changes it would delete and create: newer ones replace it.
    write(20);
    let sync = deck.run(&["sync", "--state", state]).await;
    assert!(sync.contains("Created: 0\n  Updated: 1\n  Deleted: 0"), "{sync}");
    assert_eq!(admin.get(at).await.unwrap().expect(200).json(), before);
    let get = async |path: &str| admin.get(path).await.unwrap().expect(200).json();
    assert_eq!(get("/upstreams/a/policy").await, policy);
    assert_eq!(get(&format!("{at}/state")).await, drained);
    assert_eq!(get("/upstreams/a").await["slots"], 20);

    let dumped = folder.path().join("dumped.yaml");
    deck.run(&["dump", "--output-file", dumped.to_str().unwrap()]).await;
    let text = fs::read_to_string(&dumped).unwrap();
    assert!(text.contains("x.example:8000") && !text.contains("policy"), "{text}");
    let diff = deck.run(&["diff", "--non-zero-exit-code", "--state", dumped.to_str().unwrap()]).await;
    assert!(diff.contains(nothing), "{diff}");
    deck.run(&["reset", "--force"]).await;
    assert_eq!(get("/upstreams").await["data"], serde_json::json!([]));
    control.node.stop().await;
}

#[tokio::test]
async fn consumers_are_synced_and_dumped_on_sqlite() {
    consumers(Database::Sqlite).await;
}

#[tokio::test]
async fn consumers_are_synced_and_dumped_on_postgresql() {
    consumers(Database::Postgres).await;
}

/// Consumers with credentials and groups: a file with secrets in clear is synced, and where the operator wants
/// secrets to be shown, a dump has no difference, here and on another system.
async fn consumers(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(database, &certs::valid(folder.path(), "cluster"));
    control.node.start().await;
    let admin = control.admin();
    let deck = Deck { url: format!("http://{}", admin.address()), folder: folder.path(), headers: None };
    let file = folder.path().join("consumers.yaml");
    let state = file.to_str().unwrap();
    fs::write(&file, consumers_file().to_string()).unwrap();
    assert!(deck.run(&["sync", "--state", state]).await.contains("Created: 9"));
    admin.get("/key-auths/first-key").await.unwrap().expect(200);
    let before = admin.get("/config?ids=true").await.unwrap().expect(200).text();
    // Secrets are hidden, so decK writes them again: that changes nothing.
    let again = deck.run(&["sync", "--state", state]).await;
    assert!(again.contains("Created: 0") && again.contains("Deleted: 0"), "{again}");
    assert_eq!(admin.get("/config?ids=true").await.unwrap().expect(200).text(), before);
    let dumped = folder.path().join("dumped.yaml");
    let dump = dumped.to_str().unwrap();
    deck.run(&["dump", "--output-file", dump]).await;
    let text = fs::read_to_string(&dumped).unwrap();
    assert!(!text.contains("first-key") && !text.contains("hunter2") && !text.contains("argon2"), "{text}");
    let nothing = "Created: 0\n  Updated: 0\n  Deleted: 0";
    let diff = deck.run(&["diff", "--non-zero-exit-code", "--state", dump]).await;
    assert!(diff.contains(nothing), "{diff}");

    control.node.stop().await;
    control.node.set("admin.show_secrets", true);
    control.node.start().await;
    deck.run(&["sync", "--state", state]).await;
    fs::remove_file(&dumped).unwrap();
    deck.run(&["dump", "--output-file", dump]).await;
    assert!(fs::read_to_string(&dumped).unwrap().contains("first-key"));
    let diff = deck.run(&["diff", "--non-zero-exit-code", "--state", dump]).await;
    assert!(diff.contains(nothing), "{diff}");
    deck.run(&["reset", "--force"]).await;
    assert_eq!(admin.get("/consumers").await.unwrap().expect(200).json()["data"], serde_json::json!([]));
    deck.run(&["sync", "--state", dump]).await;
    admin.get("/key-auths/first-key").await.unwrap().expect(200);
    control.node.stop().await;
}

/// Two consumers, one with credentials of every kind. API keys have ids: decK identifies others by their texts,
/// which are hidden.
fn consumers_file() -> serde_json::Value {
    let id = |number: u8| format!("00000000-0000-4000-8000-0000000000{number:02}");
    serde_json::json!({
        "_format_version": "1.1",
        "consumers": [
            {
                "id": id(1),
                "username": "alice",
                "custom_id": "42",
                "tags": ["team-a"],
                "keyauth_credentials": [
                    { "id": id(3), "key": "first-key" },
                    { "id": id(4), "key": "second-key" },
                ],
                "basicauth_credentials": [{ "username": "alice", "password": "hunter2-password" }],
                "hmacauth_credentials": [{ "username": "alice", "secret": "hunter2-secret" }],
                "jwt_secrets": [{ "key": "issuer", "secret": "hunter2", "algorithm": "HS256" }],
                "acls": [{ "group": "staff" }, { "group": "admins" }],
            },
            { "id": id(2), "username": "bob" },
        ],
    })
}

/// Two upstreams, one with health checks and targets of every form. decK 1.4 has no defaults of some fields, and
/// finds a difference in each that the file does not give.
fn upstreams_file(slots: u16) -> serde_json::Value {
    serde_json::json!({
        "_format_version": "1.1",
        "upstreams": [
            {
                "name": "a",
                "algorithm": "consistent-hashing",
                "hash_on": "header",
                "hash_on_header": "x-user",
                "slots": slots,
                "tags": ["team-a"],
                "healthchecks": {
                    "active": {
                        "http_path": "/health",
                        "https_verify_certificate": true,
                        "healthy": { "interval": 5, "successes": 2 },
                        "unhealthy": { "interval": 1, "http_failures": 3 },
                    },
                    "passive": { "type": "http", "unhealthy": { "tcp_failures": 2 } },
                    "threshold": 12.5,
                },
                "targets": [
                    { "target": "x.example:8000", "weight": 10 },
                    { "target": "10.0.0.1:80", "tags": ["zone:eu"] },
                    { "target": "10.0.0.2:80", "weight": 0 },
                ],
            },
            {
                "name": "b.internal",
                "algorithm": "least-connections",
                "healthchecks": {
                    "active": { "https_verify_certificate": true },
                    "passive": { "type": "http" },
                    "threshold": 0,
                },
            },
        ],
    })
}

#[tokio::test]
async fn plugins_of_every_scope_on_sqlite() {
    plugins(Database::Sqlite).await;
}

#[tokio::test]
async fn plugins_of_every_scope_on_postgresql() {
    plugins(Database::Postgres).await;
}

/// Plugins of a service, of a route, of a consumer and of everything: a file is synced, dumped and found
/// unchanged, also where a field has an earlier name or a secret.
async fn plugins(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(database, &certs::valid(folder.path(), "cluster"));
    control.node.start().await;
    let admin = control.admin();
    let deck = Deck { url: format!("http://{}", admin.address()), folder: folder.path(), headers: None };
    let file = folder.path().join("plugins.yaml");
    fs::write(&file, plugins_file().to_string()).unwrap();
    let synced = deck.run(&["sync", "--state", file.to_str().unwrap()]).await;
    assert!(synced.contains("Created: 9"), "{synced}");
    let made = admin.get("/plugins").await.unwrap().expect(200).json();
    assert_eq!(made["data"].as_array().map(Vec::len), Some(6), "{made}");

    let dumped = folder.path().join("dumped.yaml");
    let dump = dumped.to_str().unwrap();
    deck.run(&["dump", "--output-file", dump]).await;
    let diff = deck.run(&["diff", "--non-zero-exit-code", "--state", dump]).await;
    assert!(diff.contains("Created: 0\n  Updated: 0\n  Deleted: 0"), "{diff}");
    let text = fs::read_to_string(&dumped).unwrap();
    assert!(text.contains("redis_host: redis.internal") && !text.contains("a secret"), "{text}");
    fs::write(&dumped, text.replace("status_code: 418", "status_code: 410")).unwrap();
    let sync = deck.run(&["sync", "--state", dump]).await;
    assert!(sync.contains("Created: 0\n  Updated: 1\n  Deleted: 0"), "{sync}");
    let routed = admin.get("/routes/orders/plugins").await.unwrap().expect(200).json();
    assert_eq!(routed["data"][0]["config"]["status_code"], 410, "{routed}");
    deck.run(&["reset", "--force"]).await;
    let left = admin.get("/plugins").await.unwrap().expect(200).json();
    assert_eq!(left["data"], serde_json::json!([]));
    control.node.stop().await;
}

fn plugins_file() -> serde_json::Value {
    let redis = serde_json::json!({ "host": "redis.internal", "password": "a secret" });
    serde_json::json!({
        "_format_version": "1.1",
        "services": [{
            "name": "orders",
            "host": "orders.internal",
            "plugins": [
                { "name": "key-auth", "config": { "key_names": ["x-key"] }, "tags": ["team-a"] },
                { "name": "rate-limiting", "config": { "hour": 100, "policy": "redis", "redis": redis } },
            ],
            "routes": [{
                "name": "orders",
                "paths": ["/orders"],
                "plugins": [{ "name": "request-termination", "config": { "status_code": 418 } }],
            }],
        }],
        "consumers": [{
            "username": "jane",
            "plugins": [{ "name": "rate-limiting", "config": { "minute": 5 } }],
        }],
        "plugins": [
            { "name": "key-auth", "enabled": false },
            { "name": "request-termination", "config": { "message": "closed" }, "protocols": ["https"] },
        ],
    })
}

#[tokio::test]
async fn token_is_needed_and_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(Database::Sqlite, &certs::valid(folder.path(), "cluster"));
    let token = node::tokens::create("deck", node::tokens::TokenRole::Admin).unwrap();
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, token.line).unwrap();
    control.node.set("admin.tokens", tokens.display());
    control.node.start().await;
    let (admin, file) = (control.admin(), state_file(folder.path()));
    let headers = Some(format!("Kong-Admin-Token:{}", token.secret));
    let deck = Deck { url: format!("http://{}", admin.address()), folder: folder.path(), headers };

    assert!(deck.run(&["ping"]).await.contains("Successfully connected"));
    let state = file.to_str().unwrap();
    assert!(deck.run(&["sync", "--state", state]).await.contains("Created: 8"));
    let dumped = folder.path().join("dumped.yaml");
    deck.run(&["dump", "--output-file", dumped.to_str().unwrap()]).await;
    deck.run(&["reset", "--force"]).await;

    let without = Deck { headers: None, ..deck };
    assert!(!without.output(&["ping"]).await.status.success());
    control.node.stop().await;
}

/// Two routes of a service and one without, a certificate for two names, an authority.
fn state_file(folder: &Path) -> PathBuf {
    let (pair, authority) =
        (certs::server(folder, "a", &["a.example", "*.a.example"]), Authority::new(folder, "authority"));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let state = serde_json::json!({
        "_format_version": "1.1",
        "services": [{
            "name": "orders",
            "host": "orders.internal",
            "port": 8080,
            "tags": ["team-a"],
            "routes": [
                { "name": "orders", "paths": ["/orders"], "hosts": ["*.a.example"] },
                { "name": "list", "paths": ["/list"], "methods": ["GET"], "strip_path": false },
            ],
        }],
        "routes": [{ "name": "bare", "paths": ["/bare"], "protocols": ["https"] }],
        "certificates": [{
            "id": "00000000-0000-4000-8000-000000000001",
            "cert": text(&pair.cert),
            "key": text(&pair.key),
            "snis": [{ "name": "a.example" }, { "name": "*.a.example" }],
        }],
        "ca_certificates": [{
            "id": "00000000-0000-4000-8000-000000000002",
            "cert": text(&authority.cert),
        }],
    });
    let file = folder.join("state.yaml");
    // JSON is YAML.
    fs::write(&file, state.to_string()).unwrap();
    file
}

struct Deck<'a> {
    url: String,
    folder: &'a Path,
    /// Sent with each request.
    headers: Option<String>,
}

impl Deck<'_> {
    /// Returns its output; it must succeed.
    async fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "deck {arguments:?}: {said}");
        said
    }

    async fn output(&self, arguments: &[&str]) -> std::process::Output {
        let mut deck = Command::new("deck");
        // decK looks there for a configuration of its own.
        deck.env("HOME", self.folder).args(["--kong-addr", &self.url]).args(arguments).kill_on_drop(true);
        if let Some(headers) = &self.headers {
            deck.args(["--headers", headers]);
        }
        deck.output().await.expect("deck is installed")
    }
}

async fn revision(admin: &Client) -> u64 {
    let config = admin.get("/clustering/config").await.unwrap().expect(200).json();
    config["revision"].as_u64().unwrap()
}

async fn names(admin: &Client, collection: &str) -> Vec<String> {
    let rows = admin.get(collection).await.unwrap().expect(200).json();
    let name = |row: &serde_json::Value| row["name"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = rows["data"].as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}
