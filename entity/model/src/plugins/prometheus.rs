//! The plugin `prometheus`: which of Kong's families of metrics a request is counted in.

use model_derive::Record;

use crate::plugin::PluginConfig;
use crate::record::Check;

/// The configuration of `prometheus`.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Prometheus {
    /// Whether the label `consumer` of requests and bytes has the name of the consumer.
    #[field(default = false)]
    pub per_consumer: bool,
    /// Whether requests are counted by status.
    #[field(default = false)]
    pub status_code_metrics: bool,
    /// Kept for Kong's clients and without effect.
    #[field(default = false)]
    pub ai_metrics: bool,
    /// Whether latencies are measured.
    #[field(default = false)]
    pub latency_metrics: bool,
    /// Whether bytes are counted.
    #[field(default = false)]
    pub bandwidth_metrics: bool,
    /// Whether the health of targets is shown.
    #[field(default = false)]
    pub upstream_health_metrics: bool,
}

impl Check for Prometheus {}

impl PluginConfig for Prometheus {
    const NAME: &'static str = "prometheus";
    const PRIORITY: i32 = 13;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nested;
    use crate::record::Record;

    #[test]
    fn defaults_are_those_of_kong() {
        let shown = json!({
            "per_consumer": false, "status_code_metrics": false, "ai_metrics": false,
            "latency_metrics": false, "bandwidth_metrics": false, "upstream_health_metrics": false,
        });
        assert_eq!(nested::show(&nested::read::<Prometheus>(json!({}), false).unwrap()), shown);
    }

    #[test]
    fn fields_have_their_texts() {
        for field in Prometheus::fields() {
            let errors = nested::read::<Prometheus>(json!({ field.name: "yes" }), false).unwrap_err();
            assert_eq!(
                format!("{errors:?}"),
                format!("Nested({{\"{}\": Whole(\"expected a boolean\")}})", field.name)
            );
        }
    }
}
