//! prometheus: counts requests in Kong's families of metrics, which the status listener shows.

use std::borrow::Cow;

use uuid::Uuid;

use super::{Ended, InstanceTerms, Phases, Plugin, Unusable};
use crate::kong_metrics::{Counted, Families, Source};
use crate::section::Service;
use crate::upstream::Host;

/// Counts requests in Kong's families.
#[derive(Debug)]
pub struct Prometheus {
    families: Families,
}

impl Plugin for Prometheus {
    type Config = model::plugins::Prometheus;

    const PHASES: Phases = Phases::LOG;

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

    fn log(&self, ended: &Ended<'_>) {
        let kong = &ended.shared().kong;
        // As in Kong, a request without a route is not counted here. The gateway's own family counts it.
        let Some(route) = ended.route else { return kong.show(self.families) };
        let mut id = Uuid::encode_buffer();
        let route_name = route.name.as_deref();
        let route_name = route_name.unwrap_or_else(|| route.id.hyphenated().encode_lower(&mut id));
        let service = ended.service.map(|service| (service.id, name_of(service)));
        let consumer = ended.consumer().and_then(|consumer| Some((consumer.id, consumer.username()?)));
        let counted = Counted {
            service: service.as_ref().map(|(id, name)| (*id, &**name)),
            route: (route.id, route_name),
            consumer,
            status: ended.status(),
            source: if ended.is_from_upstream() { Source::Service } else { Source::Kong },
            ingress: ended.request_bytes(),
            egress: ended.answer_bytes(),
            total: ended.took(),
            gateway: ended.kong_latency(),
            upstream: ended.waited,
        };
        kong.count(&counted, self.families);
    }
}

/// The name of a service, else its host.
fn name_of(service: &Service) -> Cow<'_, str> {
    match (&service.name, &service.host) {
        (Some(name), _) | (None, Host::Name(name)) => Cow::Borrowed(name),
        (None, Host::Address(address)) => Cow::Owned(address.to_string()),
    }
}
