//! The section `status` of both programs: the address of the status listener, its readers, and its bounds.
//!
//! `/status/ready` needs no token: load balancers and service managers request it. Its answer says only
//! whether the program can take requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Loaded};
use crate::http::Limits;

/// The section, unchecked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStatus {
    /// The address of `/metrics`, `/status` and `/status/ready`.
    pub listen: SocketAddr,
    /// A file of tokens for all paths but `/status/ready`; without it, anybody may read them.
    pub tokens: Option<PathBuf>,
    /// The most open connections; one address may hold three quarters of them.
    pub max_connections: usize,
    /// The timeout of a whole request header.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// The timeout of a connection between two requests.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
}

/// The section, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address of the listener.
    pub listen: SocketAddr,
    /// The file of tokens.
    pub tokens: Option<PathBuf>,
    /// The bounds of the listener.
    pub limits: Limits,
}

/// Descriptors that a status listener reserves for itself.
pub const RESERVED_DESCRIPTORS: usize = 8;

/// The most bytes of a header: a scraper sends a request line and few fields.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The timeout of a body; requests to a status listener have none.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of an answer: metrics have some hundred kilobytes with a thousand data planes.
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
    /// The first fault.
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

/// Rejects a number below `least`, and one that exceeds any machine's descriptors.
///
/// # Errors
/// The number is out of bounds.
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

/// Rejects a timeout of zero, and one that is longer than a day.
///
/// # Errors
/// The timeout is out of bounds.
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
