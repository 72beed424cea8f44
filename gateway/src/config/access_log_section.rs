//! The section `access_log`.

use node::config::{ConfigError, Loaded};
use serde::{Deserialize, Serialize};

use super::RawConfig;
use crate::access_log::{Format, Settings};

/// The most names of secrets.
const MOST_NAMES: usize = 100;

/// The section `access_log`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAccessLog {
    /// The file; `-`: the standard output; empty: there is no such log.
    pub path: String,
    /// The format of a line.
    pub format: Format,
    /// The share of requests that are logged, from 0 to 1.
    pub sample: f64,
    /// The arguments of queries whose values are not logged.
    pub redact: Vec<String>,
}

impl Default for RawAccessLog {
    fn default() -> Self {
        let redact = ["apikey", "api_key", "access_token", "jwt", "token", "key", "signature"];
        Self {
            path: String::new(),
            format: Format::Json,
            sample: 1.0,
            redact: redact.map(str::to_owned).into(),
        }
    }
}

impl RawAccessLog {
    /// Checks the section; `None`: there is no such log.
    pub(super) fn parse(&self, loaded: &Loaded<RawConfig>) -> Result<Option<Settings>, ConfigError> {
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(loaded.violation("access_log.sample", self.sample, "must be between 0 and 1"));
        }
        if self.redact.len() > MOST_NAMES {
            let count = format!("{} names", self.redact.len());
            return Err(loaded.violation("access_log.redact", count, "must have at most 100 names"));
        }
        let path = match &*self.path {
            "" => return Ok(None),
            "-" => "/dev/stdout",
            path => path,
        };
        Ok(Some(Settings {
            path: path.into(),
            format: self.format,
            sample: self.sample,
            redact: self.redact.clone(),
        }))
    }
}
