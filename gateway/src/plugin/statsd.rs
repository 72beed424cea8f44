//! statsd: counts and times requests at a server of StatsD.

mod metric;
mod names;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::plugins::statsd::{
    ConsumerIdentifier, ServiceIdentifier, StatsdMetric, TagStyle, WorkspaceIdentifier,
};

use self::metric::lines;
use super::log::{Reporter, queue_terms};
use super::{Ended, InstanceTerms, Phases, Plugin, Unusable};
use crate::delivery::Collector;
use crate::delivery::collector::{Datagrams, Stream};
use crate::upstream::Host;

/// Bounds the time of a batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The most bytes of the lines of one request.
const LONGEST_ENTRY: usize = 1 << 20;

/// statsd, compiled.
#[derive(Debug)]
pub struct Statsd {
    terms: Terms,
    reporter: Reporter,
}

/// What is measured, and how it is named.
#[derive(Debug)]
struct Terms {
    prefix: String,
    has_hostname: bool,
    metrics: Vec<StatsdMetric>,
    statuses: Option<Vec<(u16, u16)>>,
    consumer: ConsumerIdentifier,
    service: ServiceIdentifier,
    workspace: WorkspaceIdentifier,
    tags: Option<TagStyle>,
}

impl Plugin for Statsd {
    type Config = model::plugins::Statsd;

    const PHASES: Phases = Phases::LOG;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let (host, plugin) = (Host::new(&config.host), terms.name);
        let collector: Arc<dyn Collector> = if config.use_tcp {
            Arc::new(Stream {
                plugin,
                host,
                port: config.port,
                tls: None,
                timeout: TIMEOUT,
                keepalive: KEEPALIVE,
                separator: b"\n",
                connection: tokio::sync::Mutex::default(),
            })
        } else {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 65,507")]
            let joined = config.udp_packet_size.get() as usize;
            Arc::new(Datagrams { plugin, host, port: config.port, timeout: TIMEOUT, joined })
        };
        let mut queue = queue_terms(&config.queue, config.batch());
        queue.entry = LONGEST_ENTRY;
        Ok(Self {
            terms: Terms {
                prefix: config.prefix.clone(),
                has_hostname: config.hostname_in_prefix,
                metrics: config.metrics.clone(),
                statuses: config.statuses(),
                consumer: config.consumer_identifier_default,
                service: config.service_identifier_default,
                workspace: config.workspace_identifier_default,
                tags: config.tag_style,
            },
            reporter: Reporter::new(terms, config, queue, collector),
        })
    }

    fn log(&self, ended: &Ended<'_>) {
        if !self.terms.measures(ended.status()) {
            return;
        }
        // One entry, as in Kong: the bounds of the queue count requests.
        let lines = lines(&self.terms, ended);
        if !lines.is_empty() {
            self.reporter.report(ended, Bytes::from(lines.join("\n")));
        }
    }
}

impl Terms {
    /// Whether requests with this status are measured.
    fn measures(&self, status: u16) -> bool {
        let ranges = self.statuses.as_ref();
        ranges.is_none_or(|ranges| ranges.iter().any(|(first, last)| (*first..=*last).contains(&status)))
    }
}
