//! syslog: sends an entry for each request to the system's log.

use std::sync::Arc;
use std::time::Duration;

use model::plugins::syslog::{Facility, Severity};
use time::OffsetDateTime;

use super::log::{Entries, Reporter};
use super::{Ended, InstanceTerms, Phases, Plugin, Unusable};
use crate::delivery::QueueTerms;
use crate::delivery::collector::LocalSocket;

/// Where the system's log is.
const SOCKET: &str = "/dev/log";
/// The name under which entries appear; Kong's.
const IDENTITY: &str = "kong";
/// Entries that are sent over one connection, if so many are there.
const BATCH: usize = 100;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// syslog, compiled.
#[derive(Debug)]
pub struct Syslog {
    entries: Entries,
    reporter: Reporter,
    facility: Facility,
    least: Severity,
    successful: Severity,
    client_errors: Severity,
    server_errors: Severity,
}

impl Plugin for Syslog {
    type Config = model::plugins::Syslog;

    const PHASES: Phases = Phases::LOG;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let collector = LocalSocket { plugin: terms.name, path: SOCKET.into() };
        Ok(Self {
            entries: Entries::new(config.custom_fields_by_lua.as_ref(), &config.redact),
            reporter: Reporter::new(terms, config, QueueTerms::at_once(BATCH), Arc::new(collector)),
            facility: config.facility,
            least: config.log_level,
            successful: config.successful_severity,
            client_errors: config.client_errors_severity,
            server_errors: config.server_errors_severity,
        })
    }

    fn log(&self, ended: &Ended<'_>) {
        let severity = self.severity(ended.status());
        // The lower the code, the more severe.
        if severity.code() <= self.least.code() {
            let mut line = head(self.facility, severity, ended.now_at);
            line.extend_from_slice(&self.entries.entry(ended));
            self.reporter.report(ended, line);
        }
    }
}

impl Syslog {
    fn severity(&self, status: u16) -> Severity {
        match status {
            500.. => self.server_errors,
            400..=499 => self.client_errors,
            _ => self.successful,
        }
    }
}

/// What stands before an entry (RFC 3164, section 4.1, without the name of the machine, which the system adds).
fn head(facility: Facility, severity: Severity, since_1970: Duration) -> Vec<u8> {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let month = MONTHS[usize::from(u8::from(time.month()) - 1) % 12];
    let priority = facility.code() * 8 + severity.code();
    let (day, hour, minute, second) = (time.day(), time.hour(), time.minute(), time.second());
    format!("<{priority}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {IDENTITY}: ").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_has_the_priority_and_the_time() {
        let time = Duration::from_secs(1_704_412_800);
        assert_eq!(head(Facility::User, Severity::Info, time), b"<14>Jan  5 00:00:00 kong: ");
        assert_eq!(head(Facility::Local7, Severity::Emergency, time), b"<184>Jan  5 00:00:00 kong: ");
    }
}
