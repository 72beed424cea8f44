//! tcp-log: sends an entry for each request over a TCP connection, as a line.

use std::sync::Arc;
use std::time::Duration;

use super::log::{Entries, Reporter};
use super::{Ended, InstanceTerms, Phases, Plugin, Unusable};
use crate::delivery::QueueTerms;
use crate::delivery::collector::{Stream, StreamTls};
use crate::upstream::Host;

/// Entries that are written at once, if so many are there.
const BATCH: usize = 100;

/// tcp-log, compiled.
#[derive(Debug)]
pub struct TcpLog {
    entries: Entries,
    reporter: Reporter,
}

impl Plugin for TcpLog {
    type Config = model::plugins::TcpLog;

    const PHASES: Phases = Phases::LOG;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let host = Host::new(&config.host);
        let tls = config.tls.then(|| {
            let name = config.tls_sni.as_deref().map_or_else(|| host.clone(), Host::new);
            let refused = || Unusable { field: "host", message: "cannot be verified by TLS".into() };
            StreamTls::new(&name, config.ssl_verify).ok_or_else(refused)
        });
        let collector = Stream {
            plugin: terms.name,
            tls: tls.transpose()?,
            host,
            port: config.port,
            timeout: milliseconds(config.timeout),
            keepalive: milliseconds(config.keepalive),
            separator: b"\n",
            connection: tokio::sync::Mutex::default(),
        };
        Ok(Self {
            entries: Entries::new(config.custom_fields_by_lua.as_ref(), &config.redact),
            reporter: Reporter::new(terms, config, QueueTerms::at_once(BATCH), Arc::new(collector)),
        })
    }

    fn log(&self, ended: &Ended<'_>) {
        self.reporter.report(ended, self.entries.entry(ended));
    }
}

/// A number of milliseconds.
pub(super) fn milliseconds(number: model::Number) -> Duration {
    number.seconds() / 1000
}
