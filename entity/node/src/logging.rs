//! The log: one subscriber on the standard error stream, text or JSON, which also takes the records of
//! libraries that use the `log` crate.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{ConfigError, Loaded};

/// The most that a library may say, unless the operator names it.
const QUIET: [(&str, LevelFilter); 7] = [
    // An error for each request that fails, through a fault of the client or of the upstream, so that under
    // a flood of those nothing else would be seen; who answers the request counts it and logs what matters.
    ("pingora_proxy", LevelFilter::OFF),
    ("pingora_core", LevelFilter::WARN),
    ("pingora_pool", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("tungstenite", LevelFilter::WARN),
    ("sqlx", LevelFilter::WARN),
    ("sea_orm_migration", LevelFilter::WARN),
];

/// The section `log` of both programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a list of directives such as `info,gateway=debug`.
    pub level: String,
    /// What a line looks like.
    pub format: Format,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line, for machines.
    Json,
}

/// How to log: a [`RawLog`] that has been checked.
#[derive(Clone, Debug)]
pub struct Settings {
    directives: String,
    format: Format,
}

impl Settings {
    /// Checks the section `log` of a configuration.
    ///
    /// # Errors
    ///
    /// The level is neither one of the five nor a list of directives.
    pub fn parse<Raw>(loaded: &Loaded<Raw>, raw: &RawLog) -> Result<Self, ConfigError> {
        Self::from_raw(raw).map_err(|reason| loaded.violation("log.level", &raw.level, reason))
    }

    fn from_raw(raw: &RawLog) -> Result<Self, String> {
        let refusal = "must be error, warn, info, debug or trace, or a list such as info,gateway=debug";
        // A lone word that is no level would be taken for the name of a crate, and everything be silent.
        if raw
            .level
            .split(',')
            .any(|part| !part.contains(['=', '[']) && Level::from_str(part.trim()).is_err())
        {
            return Err(refusal.to_owned());
        }
        let directives = with_quiet(&raw.level);
        EnvFilter::builder().parse(&directives).map_err(|error| format!("{refusal}: {error}"))?;
        Ok(Self { directives, format: raw.format })
    }
}

/// Starts the log of this process. A second call changes nothing: tests in one process share the first.
pub fn init(settings: &Settings) {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(&settings.directives))
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // Also installs the bridge for `log` records.
    let result = match settings.format {
        Format::Text => subscriber.finish().try_init(),
        Format::Json => subscriber.json().flatten_event(true).finish().try_init(),
    };
    result.ok();
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// The directives of the operator after ours, so that theirs win; ours only raise, never lower, a level.
fn with_quiet(directives: &str) -> String {
    let general = directives.split(',').find_map(|part| Level::from_str(part.trim()).ok());
    let ours = QUIET.iter().filter(|(target, quiet)| {
        let named = directives.split(',').any(|part| part.trim().starts_with(target));
        // A level compares as greater the more it lets through.
        !named && general.is_none_or(|general| general > *quiet)
    });
    let ours = ours.map(|(target, level)| format!("{target}={level},"));
    ours.chain([directives.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(level: &str) -> Result<String, String> {
        Settings::from_raw(&RawLog { level: level.into(), format: Format::Text }).map(|s| s.directives)
    }

    #[test]
    fn libraries_are_quiet_unless_named() {
        assert!(parse("info").unwrap().contains("pingora_proxy=off,"));
        assert!(parse("info").unwrap().ends_with(",info"));
        assert!(!parse("info,pingora_proxy=debug").unwrap().contains("pingora_proxy=off"));
        assert_eq!(parse("error").unwrap(), "pingora_proxy=off,error");
    }

    #[test]
    fn a_bad_level_is_refused() {
        for level in ["", "inof", "info,gatewy", "info,gateway=loud"] {
            assert!(parse(level).unwrap_err().starts_with("must be error, warn"), "{level}");
        }
    }
}
