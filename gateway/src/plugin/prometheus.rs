//! prometheus: counts requests in Kong's families of metrics, which the status listener shows.

use super::{Exchange, InstanceTerms, Phases, Plugin, Step, Unusable};
use crate::kong_metrics::Families;

/// Counts requests in Kong's families.
#[derive(Debug)]
pub struct Prometheus {
    families: Families,
}

impl Plugin for Prometheus {
    type Config = model::plugins::Prometheus;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        Ok(Self {
            families: Families {
                statuses: config.status_code_metrics,
                latencies: config.latency_metrics,
                bytes: config.bandwidth_metrics,
                consumers: config.per_consumer,
                targets: config.upstream_health_metrics,
            },
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        exchange.shared().kong.show(self.families);
        Step::GO_ON
    }
}
