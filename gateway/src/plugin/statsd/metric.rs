//! The lines of one request.

use std::fmt::Write;

use model::Number;
use model::plugins::statsd::{StatType, StatsdMetric, StatsdMetricName as Name, TagStyle};

use super::{Terms, names};
use crate::plugin::Ended;

/// Labels, where a style has any.
type Labels = Vec<(&'static str, String)>;

/// What ends a name, or the value of a set.
const ENDS: &[char] = &[':', '|'];

/// The lines of a request, one for each metric that it has.
pub(super) fn lines(terms: &Terms, ended: &Ended<'_>) -> Vec<String> {
    let metrics = terms.metrics.iter().filter(|metric| is_taken(metric));
    match terms.tags {
        None => {
            let node = terms.has_hostname.then(|| format!(".node.{}", names::node(ended)));
            let prefix = format!("{}{}", terms.prefix, node.unwrap_or_default());
            metrics.filter_map(|metric| untagged(terms, metric, ended, &prefix)).collect()
        }
        Some(style) => metrics.filter_map(|metric| tagged(terms, metric, ended, style)).collect(),
    }
}

/// Whether a request is in the sample of a metric. Kong sends every line with the rate, so that servers count too
/// many.
fn is_taken(metric: &StatsdMetric) -> bool {
    let rate = metric.sample_rate.map_or(1.0, Number::get);
    rate >= 1.0 || rand::random::<f64>() < rate
}

/// A metric whose name says what it is about.
fn untagged(terms: &Terms, metric: &StatsdMetric, ended: &Ended<'_>, prefix: &str) -> Option<String> {
    let scope = scope(terms, metric, ended);
    let consumer = || {
        let identifier = metric.consumer_identifier.unwrap_or(terms.consumer);
        Some(names::safe(&names::consumer(ended.consumer()?, identifier)?, ENDS))
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
    Some(line(&format!("{prefix}.{name}"), &value, typed(metric), &Vec::new(), None))
}

/// The type of a metric, and its rate. As in Kong, what counts statuses and users has a type of its own.
fn typed(metric: &StatsdMetric) -> (StatType, Option<Number>) {
    match metric.name {
        Name::UniqueUsers => (StatType::Set, None),
        Name::StatusCount
        | Name::RequestPerUser
        | Name::StatusCountPerUser
        | Name::StatusCountPerWorkspace
        | Name::StatusCountPerUserPerRoute => (StatType::Counter, metric.sample_rate),
        _ => (metric.stat_type, metric.sample_rate),
    }
}

/// What a metric is about: the service, or requests without one.
fn scope(terms: &Terms, metric: &StatsdMetric, ended: &Ended<'_>) -> String {
    let Some(service) = ended.service else { return "global.unmatched".to_owned() };
    let name = names::service(service, metric.service_identifier.unwrap_or(terms.service));
    let name = name.map(|name| names::safe(&names::undivided(&name), ENDS));
    format!("service.{}", name.as_deref().unwrap_or("unnamed"))
}

/// A metric with labels.
fn tagged(terms: &Terms, metric: &StatsdMetric, ended: &Ended<'_>, style: TagStyle) -> Option<String> {
    let name = match metric.name {
        Name::RequestCount => "request.count",
        Name::Latency => "latency",
        Name::RequestSize => "request.size",
        Name::ResponseSize => "response.size",
        Name::UpstreamLatency => "upstream_latency",
        Name::KongLatency => "kong_latency",
        _ => return None,
    };
    let labels = labels(terms, metric, ended, style);
    let value = value(metric.name, ended)?.to_string();
    // As in Kong, there are no labels at all without the name of a service.
    let style = labels.is_some().then_some(style);
    let name = format!("{}.{name}", terms.prefix);
    Some(line(&name, &value, typed(metric), &labels.unwrap_or_default(), style))
}

/// The labels of a metric; `None` when its service has no name.
fn labels(terms: &Terms, metric: &StatsdMetric, ended: &Ended<'_>, style: TagStyle) -> Option<Labels> {
    let safe = |text: &str| names::safe(text, ends(style));
    let service = names::service(ended.service?, metric.service_identifier.unwrap_or(terms.service))?;
    let mut labels = vec![("service", safe(&service))];
    if let Some(route) = ended.route {
        labels.push(("route", route.name.as_deref().map_or_else(|| route.id.to_string(), safe)));
    }
    if let Some(consumer) = ended.consumer() {
        let name = names::consumer(consumer, metric.consumer_identifier.unwrap_or(terms.consumer));
        labels.extend(name.map(|name| ("consumer", safe(&name))));
    }
    labels.push(("workspace", names::workspace(metric.workspace_identifier.unwrap_or(terms.workspace))));
    labels.push(("node", safe(&names::node(ended))));
    labels.push(("status", ended.status().to_string()));
    Some(labels)
}

/// What ends the value of a label.
const fn ends(style: TagStyle) -> &'static [char] {
    match style {
        TagStyle::Dogstatsd => &['|', ','],
        TagStyle::Influxdb => &[':', '|', ',', '='],
        TagStyle::Librato => &[':', '|', ',', '=', '#'],
        TagStyle::Signalfx => &[':', '|', ',', '=', ']'],
    }
}

/// The value of a metric: a number, a size, or milliseconds.
fn value(name: Name, ended: &Ended<'_>) -> Option<u128> {
    Some(match name {
        Name::Latency => ended.took().as_millis(),
        Name::UpstreamLatency => ended.waited?.as_millis(),
        Name::KongLatency => ended.kong_latency().as_millis(),
        Name::RequestSize => ended.request_bytes().into(),
        Name::ResponseSize => ended.answer_bytes().into(),
        _ => 1,
    })
}

/// A line of the protocol.
fn line(
    name: &str,
    value: &str,
    (stat_type, rate): (StatType, Option<Number>),
    labels: &Labels,
    style: Option<TagStyle>,
) -> String {
    let kind = match stat_type {
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
    if let Some(rate) = rate.filter(|rate| rate.get() < 1.0) {
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
        let typed = (StatType::Counter, Some(Number::new(0.5)));
        let labels = vec![("a", "1".to_owned()), ("b", "2".to_owned())];
        for (style, expected) in [
            (None, "n:1|c|@0.5"),
            (Some(TagStyle::Dogstatsd), "n:1|c|@0.5|#a:1,b:2"),
            (Some(TagStyle::Influxdb), "n,a=1,b=2:1|c|@0.5"),
            (Some(TagStyle::Librato), "n#a=1,b=2:1|c|@0.5"),
            (Some(TagStyle::Signalfx), "n[a=1,b=2]:1|c|@0.5"),
        ] {
            assert_eq!(line("n", "1", typed, &labels, style), expected);
        }
    }

    #[test]
    fn counts_of_statuses_and_users_have_a_type_of_their_own() {
        let typed = |name| {
            let (stat_type, sample_rate) = (StatType::Timer, Some(Number::new(0.5)));
            typed(&StatsdMetric { name, stat_type, sample_rate, ..StatsdMetric::default() })
        };
        let rate = Some(Number::new(0.5));
        assert_eq!(typed(Name::StatusCount), (StatType::Counter, rate));
        assert_eq!(typed(Name::UniqueUsers), (StatType::Set, None));
        assert_eq!(typed(Name::RequestSize), (StatType::Timer, rate));
    }
}
