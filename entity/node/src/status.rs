//! The section `status` of both programs: where their status listener is, who may read it, and its bounds.
//!
//! `/status/ready` needs no token: load balancers and service managers ask for it, and its answer says no more
//! than whether requests should come here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Loaded};
use crate::http::Limits;

/// The section as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStatus {
    /// Where `/metrics`, `/status` and `/status/ready` are served.
    pub listen: SocketAddr,
    /// A file of tokens, by which all but `/status/ready` are read; if not set, anybody may read them.
    pub tokens: Option<PathBuf>,
    /// The most open connections; one address may have three quarters of them.
    pub max_connections: usize,
    /// How long a whole request header may take.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
}

/// The section, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file of tokens.
    pub tokens: Option<PathBuf>,
    /// The bounds of the listener.
    pub limits: Limits,
}

/// Descriptors that a status listener keeps back for itself.
pub const RESERVED_DESCRIPTORS: usize = 8;

/// A request to a status listener has a line and the header fields of a scraper.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// It has no body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// For metrics, some hundred kilobytes with a thousand data planes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl RawStatus {
    /// The defaults, at this port of loopback.
    pub fn at(port: u16) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, port).into(),
            tokens: None,
            max_connections: 64,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }

    /// Checks the section.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn parse<Raw>(&self, loaded: &Loaded<Raw>) -> Result<Settings, ConfigError> {
        check_count(loaded, "status.max_connections", self.max_connections, 4)?;
        check_timeout(loaded, "status.header_timeout", self.header_timeout)?;
        check_timeout(loaded, "status.idle_timeout", self.idle_timeout)?;
        Ok(Settings {
            listen: self.listen,
            tokens: self.tokens.clone(),
            limits: Limits {
                max_connections: self.max_connections,
                max_connections_per_address: self.max_connections * 3 / 4,
                max_in_flight: self.max_connections,
                max_header_bytes: MAX_HEADER_BYTES,
                header_timeout: self.header_timeout,
                idle_timeout: self.idle_timeout,
                body_timeout: BODY_TIMEOUT,
                write_timeout: WRITE_TIMEOUT,
            },
        })
    }
}

/// Refuses a number below `least`, and one that no machine has descriptors for.
///
/// # Errors
/// It is out of these bounds.
pub fn check_count<Raw>(
    loaded: &Loaded<Raw>,
    key: &str,
    value: usize,
    least: usize,
) -> Result<(), ConfigError> {
    const MOST: usize = 1_000_000;
    match (least..=MOST).contains(&value) {
        true => Ok(()),
        false => Err(loaded.violation(key, value, format!("must be from {least} to {MOST}"))),
    }
}

/// Refuses a timeout of nothing, and one that is longer than a day.
///
/// # Errors
/// It is out of these bounds.
pub fn check_timeout<Raw>(loaded: &Loaded<Raw>, key: &str, value: Duration) -> Result<(), ConfigError> {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(86_400));
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => {
            let value = humantime_serde::re::humantime::format_duration(value);
            Err(loaded.violation(key, value, "must be from 100ms to 1day"))
        }
    }
}
