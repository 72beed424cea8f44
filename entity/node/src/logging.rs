//! The log: one subscriber on the standard error stream, text or JSON. It also takes the records of libraries
//! that use the `log` crate.
//!
//! Nothing else of a program writes to that stream. A thread that logs appends to a bounded queue, and one
//! thread writes. A pipe that nobody reads, or a full disk, therefore costs lines and no request. Lost lines
//! are counted, and the log reports them once its sink accepts lines again.

mod panics;
mod queue;
mod rate;
mod sink;

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use prometheus::{IntCounterVec, Opts};
use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use self::queue::LineQueue;
use self::rate::{RateLimit, RateLimiter};
pub use self::sink::LineWriter;
use crate::config::{ConfigError, Loaded};

pub(crate) use self::panics::log_panics;

/// The most bytes of lines that wait for the sink. Twice as many may be in memory: the sink has the others.
const CAPACITY: usize = 1 << 20;
/// The log of this process. `tracing` has one subscriber per process, and a process has one such stream.
static LOG: LazyLock<Log> = LazyLock::new(Log::start);

/// The most verbose level of a library, unless the operator names it.
const LIBRARY_LEVELS: [(&str, LevelFilter); 8] = [
    // It logs an error for each request that fails through the client or the upstream. Under a flood of those
    // nothing else would be visible. The proxy counts such requests and logs the important ones itself.
    ("pingora_proxy", LevelFilter::OFF),
    ("pingora_core", LevelFilter::WARN),
    ("pingora_pool", LevelFilter::WARN),
    ("hickory", LevelFilter::WARN),
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
    /// The format of a line.
    pub format: Format,
}

/// The format of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text, for people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The settings of the log: a checked [`RawLog`].
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
        // A lone word that is not a level would count as the name of a crate, and silence the log.
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

/// The state that every thread shares.
struct Log {
    queue: LineQueue,
    rates: RateLimiter,
    dropped: IntCounterVec,
}

/// Makes writers that append to the queue.
struct Lines;

/// Starts the log of this process. A second call changes nothing: tests in one process share the first.
pub fn init(settings: &Settings) {
    let lines = fmt::layer().with_writer(Lines).with_ansi(false).log_internal_errors(false);
    let lines = match settings.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let limit = RateLimit { limiter: &LOG.rates, on_first: || LOG.queue.wake() };
    let filter = EnvFilter::builder().parse_lossy(&settings.directives);
    // Also installs the bridge for `log` records.
    tracing_subscriber::registry().with(lines).with(limit).with(filter).try_init().ok();
}

/// Counts lines that are not in the log, by reason. `sink`: nobody read the log, or its disk was full.
/// `rate`: one place in the code logged more than 100 warnings or errors in a second.
pub fn dropped_lines() -> IntCounterVec {
    LOG.dropped.clone()
}

/// Writes a line that is not an event, such as the error that ends the program. It does not wait either.
pub fn print_line(text: &str) {
    LOG.queue.push(format!("{text}\n").as_bytes());
}

/// Waits until everything is written, but at most for `timeout`. For the end of the program.
pub fn flush(timeout: Duration) {
    LOG.queue.flush(timeout);
}

impl Log {
    fn start() -> Self {
        let dropped = dropped_counters();
        let queue = LineQueue::new(CAPACITY, dropped.with_label_values(&["sink"]));
        let rates = RateLimiter::new(dropped.with_label_values(&["rate"]));
        let writer = thread::Builder::new().name("log".to_owned());
        // Without the thread, lines are dropped and counted: there is nowhere to report it.
        writer.spawn(write_lines).ok();
        Self { queue, rates, dropped }
    }
}

fn write_lines() {
    let log = &*LOG;
    let writer = LineWriter::new(io::stderr(), log.dropped.with_label_values(&["sink"]));
    writer.run(&log.queue, &log.rates);
}

fn dropped_counters() -> IntCounterVec {
    let opts = Opts::new(
        "gibbon_log_lines_dropped_total",
        "Lines that are not in the log: nobody read it (sink), or too many came from one place (rate)",
    );
    let dropped = IntCounterVec::new(opts, &["reason"]);
    dropped.expect("the name and the label are such as Prometheus takes")
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Lines {
    /// Takes one event: the subscriber writes each as a whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match one_line(event) {
            Some(line) => LOG.queue.push(&line),
            None => LOG.queue.push(event),
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes the control characters of an event, if it has any. Text from a client, an upstream or a peer must
/// not look like a line of its own. `None` when there is nothing to escape.
fn one_line(event: &[u8]) -> Option<Vec<u8>> {
    let text = event.strip_suffix(b"\n").unwrap_or(event);
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    if !text.iter().any(is_control) {
        return None;
    }
    let mut line = Vec::with_capacity(event.len() + 16);
    for byte in text {
        match byte {
            byte if is_control(byte) => line.extend(byte.escape_ascii()),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    Some(line)
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// Puts the operator's directives after the defaults, so that they override them. The defaults only make
/// libraries quieter, never more verbose.
fn with_quiet(directives: &str) -> String {
    let general = directives.split(',').find_map(|part| Level::from_str(part.trim()).ok());
    let ours = LIBRARY_LEVELS.iter().filter(|(target, quiet)| {
        let named = directives.split(',').any(|part| part.trim().starts_with(target));
        // A level compares as greater the more it lets through.
        !named && general.is_none_or(|general| general > *quiet)
    });
    let ours = ours.map(|(target, level)| format!("{target}={level},"));
    ours.chain([directives.to_owned()]).collect()
}

#[cfg(test)]
mod sink_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_cannot_forge_a_line() {
        assert_eq!(one_line(b"a b\tc\n"), None);
        let forged = one_line(b"INFO said: x\n2026 ERROR y\r\x1b[31m\n").unwrap();
        assert_eq!(forged, b"INFO said: x\\n2026 ERROR y\\r\\x1b[31m\n");
    }

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
