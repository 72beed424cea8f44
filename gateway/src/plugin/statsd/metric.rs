//! The lines of one request.

use std::fmt::Write;

use model::plugins::statsd::{StatType, StatsdMetric, StatsdMetricName as Name, TagStyle};

use super::{Terms, names};
use crate::plugin::Ended;

/// Labels, where a style has any.
type Labels = Vec<(&'static str, String)>;

/// The lines of a request, one for each metric that it has.
pub(super) fn lines(terms: &Terms, ended: &Ended<'_>) -> Vec<String> {
    let prefix = names::prefix(&terms.prefix, terms.has_hostname, ended);
    let metrics = terms.metrics.iter().filter(|metric| is_taken(metric));
    match terms.tags {
        None => metrics.filter_map(|metric| untagged(terms, metric, ended, &prefix)).collect(),
        Some(style) => metrics.filter_map(|metric| tagged(terms, metric, ended, &prefix, style)).collect(),
    }
}

/// Whether a request is in the sample of a metric.
fn is_taken(metric: &StatsdMetric) -> bool {
    let rate = metric.sample_rate.map_or(1.0, model::Number::get);
    rate >= 1.0 || rand::random::<f64>() < rate
}

/// A metric whose name says what it is about.
fn untagged(terms: &Terms, metric: &StatsdMetric, ended: &Ended<'_>, prefix: &str) -> Option<String> {
    let scope = scope(terms, metric, ended)?;
    let consumer = || {
        let identifier = metric.consumer_identifier.unwrap_or(terms.consumer);
        names::consumer(ended.consumer()?, identifier)
    };
    let status = ended.status();
    let name = match metric.name {
        Name::RequestCount => format!("{scope}.request.count"),
        Name::Latency => format!("{scope}.latency"),
        Name::RequestSize => format!("{scope}.request.size"),
        Name::ResponseSize => format!("{scope}.response.size"),
        Name::UpstreamLatency => format!("{scope}.upstream_latency"),
        Name::KongLatency => format!("{scope}.kong_latency"),
        Name::StatusCount => format!("{scope}.status.{status}"),
        Name::UniqueUsers => format!("{scope}.user.uniques"),
        Name::RequestPerUser => format!("{scope}.user.{}.request.count", consumer()?),
        Name::StatusCountPerUser => format!("{scope}.user.{}.status.{status}", consumer()?),
        Name::StatusCountPerWorkspace => {
            let identifier = metric.workspace_identifier.unwrap_or(terms.workspace);
            format!("{scope}.workspace.{}.status.{status}", names::workspace(identifier))
        }
        Name::StatusCountPerUserPerRoute => {
            format!("route.{}.user.{}.status.{status}", ended.route?.id, consumer()?)
        }
        Name::ShdictUsage => return None,
    };
    let value = match metric.name {
        Name::UniqueUsers => consumer()?,
        _ => value(metric.name, ended)?.to_string(),
    };
    Some(line(&format!("{prefix}.{name}"), &value, metric, &Vec::new(), None))
}

/// What a metric is about: the service, or requests without one.
fn scope(terms: &Terms, metric: &StatsdMetric, ended: &Ended<'_>) -> Option<String> {
    match ended.service {
        Some(service) => {
            let identifier = metric.service_identifier.unwrap_or(terms.service);
            Some(format!("service.{}", names::service(service, identifier)?))
        }
        None => Some("global.unmatched".to_owned()),
    }
}

/// A metric with labels.
fn tagged(
    terms: &Terms,
    metric: &StatsdMetric,
    ended: &Ended<'_>,
    prefix: &str,
    style: TagStyle,
) -> Option<String> {
    let name = match metric.name {
        Name::RequestCount => "request.count",
        Name::Latency => "latency",
        Name::RequestSize => "request.size",
        Name::ResponseSize => "response.size",
        Name::UpstreamLatency => "upstream_latency",
        Name::KongLatency => "kong_latency",
        _ => return None,
    };
    let mut labels = Labels::new();
    if let Some(service) = ended.service {
        let identifier = metric.service_identifier.unwrap_or(terms.service);
        labels.extend(names::service(service, identifier).map(|service| ("service", service)));
    }
    if let Some(route) = ended.route {
        let name = route.name.as_deref().map_or_else(|| route.id.to_string(), names::part);
        labels.push(("route", name));
    }
    if let Some(consumer) = ended.consumer() {
        let identifier = metric.consumer_identifier.unwrap_or(terms.consumer);
        labels.extend(names::consumer(consumer, identifier).map(|consumer| ("consumer", consumer)));
    }
    labels.push(("workspace", names::workspace(metric.workspace_identifier.unwrap_or(terms.workspace))));
    labels.push(("node", names::part(&ended.reports().hostname)));
    labels.push(("status", ended.status().to_string()));
    let value = value(metric.name, ended)?.to_string();
    Some(line(&format!("{prefix}.{name}"), &value, metric, &labels, Some(style)))
}

/// The value of a metric: a number, a size, or milliseconds.
fn value(name: Name, ended: &Ended<'_>) -> Option<u128> {
    Some(match name {
        Name::Latency => ended.took().as_millis(),
        Name::UpstreamLatency => ended.waited?.as_millis(),
        Name::KongLatency => ended.before_upstream.as_millis(),
        Name::RequestSize => ended.request_bytes().into(),
        Name::ResponseSize => ended.answer_bytes().into(),
        _ => 1,
    })
}

/// A line of the protocol.
fn line(name: &str, value: &str, metric: &StatsdMetric, labels: &Labels, style: Option<TagStyle>) -> String {
    let kind = match metric.stat_type {
        StatType::Counter => "c",
        StatType::Gauge => "g",
        StatType::Histogram => "h",
        StatType::Meter => "m",
        StatType::Set => "s",
        StatType::Timer => "ms",
    };
    let joined = |between: &str, sign: &str| {
        let labels = labels.iter().map(|(name, value)| format!("{name}{sign}{value}"));
        labels.collect::<Vec<_>>().join(between)
    };
    let named = match style {
        Some(TagStyle::Influxdb) => format!("{name},{}", joined(",", "=")),
        Some(TagStyle::Librato) => format!("{name}#{}", joined(",", "=")),
        Some(TagStyle::Signalfx) => format!("{name}[{}]", joined(",", "=")),
        Some(TagStyle::Dogstatsd) | None => name.to_owned(),
    };
    let mut line = format!("{named}:{value}|{kind}");
    if let Some(rate) = metric.sample_rate.filter(|rate| rate.get() < 1.0) {
        // A text takes everything.
        write!(line, "|@{rate}").ok();
    }
    if style == Some(TagStyle::Dogstatsd) {
        write!(line, "|#{}", joined(",", ":")).ok();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_has_its_place_for_labels() {
        let metric = StatsdMetric {
            stat_type: StatType::Counter,
            sample_rate: Some(model::Number::new(0.5)),
            ..StatsdMetric::default()
        };
        let labels = vec![("a", "1".to_owned()), ("b", "2".to_owned())];
        for (style, expected) in [
            (None, "n:1|c|@0.5"),
            (Some(TagStyle::Dogstatsd), "n:1|c|@0.5|#a:1,b:2"),
            (Some(TagStyle::Influxdb), "n,a=1,b=2:1|c|@0.5"),
            (Some(TagStyle::Librato), "n#a=1,b=2:1|c|@0.5"),
            (Some(TagStyle::Signalfx), "n[a=1,b=2]:1|c|@0.5"),
        ] {
            assert_eq!(line("n", "1", &metric, &labels, style), expected);
        }
    }
}
