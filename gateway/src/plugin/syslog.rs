//! syslog: sends an entry for each request to the system's log.

use std::sync::Arc;

use model::plugins::syslog::{Facility, Severity};

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
/// The most bytes of an entry. The socket takes none of more than its buffer for sending, 208 KiB by default.
const LONGEST_ENTRY: usize = 128 << 10;

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
        let queue = QueueTerms { entry: LONGEST_ENTRY, ..QueueTerms::at_once(BATCH) };
        Ok(Self {
            entries: Entries::new(config.custom_fields_by_lua.as_ref(), &config.redact),
            reporter: Reporter::new(terms, config, queue, Arc::new(collector)),
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
            let mut line = head(self.facility, severity);
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

/// What stands before an entry (RFC 3164, section 4.1). The system adds the name of the machine, and the time: a
/// stamp would have to be in the zone of the machine.
fn head(facility: Facility, severity: Severity) -> Vec<u8> {
    let priority = facility.code() * 8 + severity.code();
    format!("<{priority}>{IDENTITY}: ").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_has_the_priority_and_no_time() {
        assert_eq!(head(Facility::User, Severity::Info), b"<14>kong: ");
        assert_eq!(head(Facility::Local7, Severity::Emergency), b"<184>kong: ");
    }
}
