//! One of our programs as a node of an installation.

use std::collections::BTreeMap;
use std::fmt::Display;

use anyhow::ensure;
use serde_json::Value;

use super::DEADLINE;
use crate::certs::Pair;
use crate::http::Client;
use crate::ports::{self, Port};
use crate::process::{Process, Program};
use crate::wait;

/// A program that can be started, stopped, killed and started again, each time with the same settings.
#[derive(Debug)]
pub struct Node {
    name: &'static str,
    program: fn() -> Program,
    settings: BTreeMap<String, String>,
    status: Port,
    process: Option<Process>,
}

impl Node {
    pub(super) fn new(name: &'static str, program: fn() -> Program) -> Self {
        let status = ports::reserve();
        let mut node = Self { name, program, settings: BTreeMap::new(), status, process: None };
        let address = node.status.to_string();
        node.set("status.listen", address);
        // The tests that wait for a heartbeat should not wait for long.
        node.set("cluster.heartbeat_interval", "1s");
        node.set("log.level", "debug");
        node
    }

    /// Sets a key, such as `cluster.listen`, from the next start on.
    pub fn set(&mut self, key: &str, value: impl Display) {
        self.settings.insert(key.to_owned(), value.to_string());
    }

    /// Sets the cluster's key pair.
    pub fn set_pair(&mut self, pair: &Pair) {
        self.set("cluster.cert", pair.cert.display());
        self.set("cluster.key", pair.key.display());
    }

    /// Starts the program and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it runs already, ends, or does not become ready: with its log.
    pub async fn start(&mut self) {
        self.spawn();
        self.wait_ready().await;
    }

    /// Starts the program.
    ///
    /// # Panics
    ///
    /// When it runs already.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let mut program = (self.program)().arg("run");
        for (key, value) in &self.settings {
            let variable = key.to_ascii_uppercase().replace('.', "__");
            program = program.env(&format!("GIBBON_{variable}"), value);
        }
        self.process = Some(program.spawn());
    }

    /// Waits until the program is ready.
    ///
    /// # Panics
    ///
    /// When it does not run, ends, or does not become ready: with its log.
    pub async fn wait_ready(&mut self) {
        let client = self.status();
        self.process_mut().wait_ready(&client, "/status/ready", DEADLINE).await;
    }

    /// Stops the program as a service manager does.
    ///
    /// # Panics
    ///
    /// When it does not run, or does not end well and in time.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().expect("the program runs");
        process.terminate();
        let status = process.wait_exit(DEADLINE).await;
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Kills the program (SIGKILL).
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn kill9(&mut self) {
        self.process.take().expect("the program runs").kill9();
    }

    /// The running program.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the program runs")
    }

    /// The id of its process.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the program runs").pid()
    }

    /// The log of the program so far.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn log(&self) -> String {
        self.process.as_ref().expect("the program runs").stderr()
    }

    /// Waits until the log contains this text, and returns the log. The program writes its log on a thread of
    /// its own, so a line may come after what it is about.
    ///
    /// # Panics
    ///
    /// When the program does not run, or the deadline passes: with the log.
    pub async fn wait_log(&self, text: &str) -> String {
        wait::eventually(DEADLINE, || {
            let log = self.log();
            std::future::ready(if log.contains(text) {
                Ok(log)
            } else {
                Err(format!("no {text:?} in {log}"))
            })
        })
        .await
    }

    /// Waits until the metric with this name and these labels has this value.
    ///
    /// # Panics
    ///
    /// When the program does not answer, has no such metric, or the deadline passes.
    pub async fn wait_metric(&self, series: &str, expected: f64) {
        wait::eventually(DEADLINE, || async {
            let value = self.metric(series).await;
            ensure!((value - expected).abs() < f64::EPSILON, "{series} is {value}, not {expected}");
            Ok(())
        })
        .await;
    }

    /// A client of the status listener.
    pub fn status(&self) -> Client {
        Client::new(self.status.address())
    }

    /// The answer to `GET /status`.
    ///
    /// # Panics
    ///
    /// When the program does not answer.
    pub async fn status_view(&self) -> Value {
        let response = self.status().get("/status").await;
        response.unwrap_or_else(|error| panic!("{}: {error:#}", self.name)).expect(200).json()
    }

    /// The value of the metric with this name and, with braces as in the exposition, these labels.
    ///
    /// # Panics
    ///
    /// When the program does not answer, or has no such metric.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.metrics().await;
        value(&text, series).unwrap_or_else(|| panic!("{} has no metric {series}:\n{text}", self.name))
    }

    /// The value of a metric that exists only once it was counted; 0 before.
    ///
    /// # Panics
    ///
    /// When the program does not answer.
    pub async fn count(&self, series: &str) -> f64 {
        value(&self.metrics().await, series).unwrap_or(0.0)
    }

    /// Waits until `GET /status` shows this.
    ///
    /// # Panics
    ///
    /// When the deadline passes.
    pub async fn wait_status(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let client = self.status();
        wait::eventually(DEADLINE, || async {
            let view = client.get("/status").await?.json();
            ensure!(holds(&view), "{} is not {what}: {view}", self.name);
            Ok(())
        })
        .await;
    }

    async fn metrics(&self) -> String {
        let response = self.status().get("/metrics").await;
        response.unwrap_or_else(|error| panic!("{}: {error:#}", self.name)).expect(200).text()
    }
}

fn value(exposition: &str, series: &str) -> Option<f64> {
    let value = exposition.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value?.parse().ok()
}
