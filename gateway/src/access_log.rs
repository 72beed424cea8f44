//! The gateway's own log of requests: one line for each, in a file or on the standard output.
//!
//! A line is written by another thread. One that the disk or a reader of the stream does not take is dropped and
//! counted.

mod line;
mod refused;

use std::net::IpAddr;
use std::sync::Arc;

use prometheus::IntGauge;
use serde::{Deserialize, Serialize};

use crate::client::{Refusals, Refused};
use crate::line_files::{LineFiles, LineTerms};
use crate::plugin::Ended;
use crate::redaction::Redaction;

/// What the metrics call it.
const WRITER: LineTerms = LineTerms { writer: "access-log", reopen: false };
/// Bytes of a usual line.
const USUAL: usize = 512;

/// The log of requests.
#[derive(Debug)]
pub struct AccessLog {
    settings: Settings,
    redaction: Redaction,
    files: Arc<LineFiles>,
    /// The revision of the configuration that is live.
    revision: IntGauge,
}

/// The settings of the log of requests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file.
    pub path: Box<str>,
    /// The format of a line.
    pub format: Format,
    /// The share of requests that are logged, from 0 to 1.
    pub sample: f64,
    /// The arguments of queries whose values are not logged.
    pub redact: Vec<String>,
}

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object.
    Json,
    /// The combined format of web servers.
    Combined,
}

impl AccessLog {
    /// Creates the log. `revision` shows the revision of the live configuration.
    pub fn new(settings: Settings, files: Arc<LineFiles>, revision: IntGauge) -> Self {
        let redaction = Redaction::new(&settings.redact);
        Self { settings, redaction, files, revision }
    }

    /// Writes the line of a request. Does not wait.
    pub fn write(&self, ended: &Ended<'_>) {
        if !self.is_sampled() {
            return;
        }
        let mut line = Vec::with_capacity(USUAL);
        let redaction = ended.redactions(&self.redaction);
        match self.settings.format {
            Format::Json => line::json(&mut line, ended, &redaction, self.revision.get()),
            Format::Combined => line::combined(&mut line, ended, &redaction),
        }
        self.put(line);
    }

    fn is_sampled(&self) -> bool {
        self.settings.sample >= 1.0 || rand::random::<f64>() < self.settings.sample
    }

    fn put(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.files.write(&self.settings.path, WRITER, &line);
    }
}

impl Refusals for AccessLog {
    fn note(&self, client: IpAddr, refused: &Refused<'_>) {
        if !self.is_sampled() {
            return;
        }
        let mut line = Vec::with_capacity(USUAL);
        match self.settings.format {
            Format::Json => refused::json(&mut line, client, refused, self.revision.get()),
            Format::Combined => refused::combined(&mut line, client, refused),
        }
        self.put(line);
    }
}
