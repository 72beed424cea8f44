//! udp-log: sends an entry for each request as a datagram.

use std::sync::Arc;

use super::log::{Entries, Reporter};
use super::tcp_log::milliseconds;
use super::{Ended, InstanceTerms, Phases, Plugin, Unusable};
use crate::delivery::QueueTerms;
use crate::delivery::collector::{Datagrams, MOST_BYTES_OF_DATAGRAM};
use crate::upstream::Host;

/// Entries that are sent with one look at the name, if so many are there.
const BATCH: usize = 100;

/// udp-log, compiled.
#[derive(Debug)]
pub struct UdpLog {
    entries: Entries,
    reporter: Reporter,
}

impl Plugin for UdpLog {
    type Config = model::plugins::UdpLog;

    const PHASES: Phases = Phases::LOG;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let collector = Datagrams {
            plugin: terms.name,
            host: Host::new(&config.host),
            port: config.port,
            timeout: milliseconds(config.timeout),
            joined: 0,
        };
        let queue = QueueTerms { entry: MOST_BYTES_OF_DATAGRAM, ..QueueTerms::at_once(BATCH) };
        Ok(Self {
            entries: Entries::new(config.custom_fields_by_lua.as_ref(), &config.redact),
            reporter: Reporter::new(terms, config, queue, Arc::new(collector)),
        })
    }

    fn log(&self, ended: &Ended<'_>) {
        self.reporter.report(ended, self.entries.entry(ended));
    }
}
