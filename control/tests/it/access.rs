//! Access to the Admin API, and the resources that one client can take from the others.

mod bounds;
mod browser;
mod socket;
mod status;
mod tls;
mod tokens;

use std::path::Path;

use node::tokens::{NewToken, TokenRole, create};
use tempfile::TempDir;
use testkit::certs;
use testkit::http::{Request, Response};
use testkit::plane::{Control, DEADLINE, Database};
use testkit::wait;

/// A control plane and a folder for its files.
struct Stage {
    control: Control,
    folder: TempDir,
}

impl Stage {
    /// Starts it with these keys set.
    async fn start(keys: &[(&str, &str)]) -> Self {
        let mut stage = Self::new();
        keys.iter().for_each(|(key, value)| stage.control.node.set(key, value));
        stage.control.node.start().await;
        stage
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::new(Database::Sqlite, &certs::valid(folder.path(), "cluster"));
        Self { control, folder }
    }

    /// Writes these lines to the token file.
    fn write_tokens(&self, tokens: &[&NewToken]) {
        let lines: Vec<_> = tokens.iter().map(|token| token.line.as_str()).collect();
        replace(&self.folder.path().join("tokens"), &lines.join("\n"));
    }

    async fn send(&self, request: Request) -> Response {
        self.control.admin().send(&request).await.unwrap()
    }

    /// Waits until a request has this status.
    async fn wait_for(&self, request: &Request, status: u16) {
        let admin = self.control.admin();
        wait::eventually(DEADLINE, || async {
            let answer = admin.send(request).await.map_err(|error| format!("{error:#}"))?;
            if answer.status == status {
                Ok(())
            } else {
                Err(format!("{}: {}", answer.status, answer.text()))
            }
        })
        .await;
    }

    async fn stop(mut self) {
        self.control.node.stop().await;
    }
}

fn token(name: &str, role: TokenRole) -> NewToken {
    create(name, role).unwrap()
}

/// Replaces a file as `mv` does: a reader sees the old file or the new one.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("temporary");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(temporary, path).unwrap();
}

fn post(name: &str) -> Request {
    let service = serde_json::json!({ "name": name, "host": "a.example" });
    Request::new("POST", "/services").json(&service)
}
