//! A real Prometheus that scrapes an installation.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use testkit::http::Client;
use testkit::ports::{self, Port};
use testkit::wait;

use crate::installation::{DEADLINE, Installation, root};

/// A running Prometheus. Killed on drop.
#[derive(Debug)]
pub(crate) struct Prometheus {
    process: Child,
    port: Port,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts Prometheus with the configuration of `deploy/`, at the installation's ports and with a scrape a
    /// second.
    pub(crate) async fn start(installation: &Installation) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let deploy = root().join("deploy/prometheus");
        let config =
            fs::read_to_string(deploy.join("prometheus.yml")).expect("the configuration can be read");
        let config = config
            .replace("127.0.0.1:8008", &installation.control_status.to_string())
            .replace("127.0.0.1:8007", &installation.gateway_status.to_string())
            .replace("15s", "1s");
        fs::write(folder.path().join("prometheus.yml"), config).expect("a configuration can be written");
        fs::copy(deploy.join("alerts.yml"), folder.path().join("alerts.yml"))
            .expect("the rules can be copied");

        let port = ports::reserve();
        let process = Command::new(tool("prometheus"))
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus can be started; `make tools` installs it");
        let prometheus = Self { process, port, _folder: folder };
        wait::eventually(DEADLINE, || prometheus.query("up == 1 and on () (count(up == 1) == 2)")).await;
        prometheus
    }

    /// Evaluates an expression now; an empty result is an error.
    pub(crate) async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let result = self.ask(expression).await?;
        if result.is_empty() { Err(format!("{expression}: no result")) } else { Ok(result) }
    }

    /// Evaluates an expression now; the result may be empty.
    pub(crate) async fn ask(&self, expression: &str) -> Result<Vec<Value>, String> {
        let client = Client::new(self.port.address());
        let response = client
            .post_form("/api/v1/query", &[("query", expression)])
            .await
            .map_err(|error| format!("{expression}: {error:#}"))?;
        let answer: Value = serde_json::from_slice(&response.body)
            .map_err(|_| format!("{expression}: {} {}", response.status, response.text()))?;
        match answer["data"]["result"].as_array() {
            Some(result) if answer["status"] == "success" => Ok(result.clone()),
            _ => Err(format!("{expression}: {answer}")),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().expect("an own child can be killed");
        self.process.wait().expect("an own child can be waited for");
    }
}

/// The program that `make tools` installed, else that of the machine.
pub(crate) fn tool(name: &str) -> PathBuf {
    let installed = root().join("target/tools/bin").join(name);
    if installed.exists() { installed } else { name.into() }
}
