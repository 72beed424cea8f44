//! Kong's families of metrics about a control plane, under its names and with its labels. They are shown when
//! the configuration says so (`metrics.compat`).

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, Opts, Result};
use uuid::Uuid;

use crate::cluster::Registry as DataPlanes;

/// Data planes with series.
const MOST_DATA_PLANES: usize = 1000;
/// The labels of a data plane.
const LABELS: [&str; 3] = ["node_id", "hostname", "ip"];
/// The state of a data plane that gets no updates.
const INCOMPATIBLE: &str = "incompatible";

/// Computes the families whenever they are read.
#[derive(Debug)]
pub(crate) struct KongCollector {
    data_planes: DataPlanes,
    database: IntGauge,
    /// Filled again by each reader.
    families: Mutex<Families>,
    descriptions: Vec<Desc>,
}

#[derive(Debug)]
struct Families {
    last_seen: GaugeVec,
    config_hash: GaugeVec,
    compatible: GaugeVec,
    database: GaugeVec,
    info: GaugeVec,
}

impl KongCollector {
    /// Collects the families of a control plane. `database` is 1 while the database answers.
    ///
    /// # Errors
    /// Never: the names are valid.
    pub(crate) fn new(node_id: Uuid, data_planes: DataPlanes, database: IntGauge) -> Result<Self> {
        let families = Families::new()?;
        families.info.with_label_values(&[&node_id.to_string(), crate::VERSION]).set(1.0);
        let descriptions = families.each().into_iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { data_planes, database, families: Mutex::new(families), descriptions })
    }
}

impl Collector for KongCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = self.families.lock();
        families.fill(&self.data_planes);
        families.database.with_label_values::<&str>(&[]).set(if self.database.get() == 0 {
            0.0
        } else {
            1.0
        });
        families.each().into_iter().flat_map(Collector::collect).collect()
    }
}

impl Families {
    fn new() -> Result<Self> {
        let gauges = |name, help, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            last_seen: gauges(
                "kong_data_plane_last_seen",
                "When a data plane was last heard, in seconds since 1970",
                &LABELS,
            )?,
            config_hash: gauges(
                "kong_data_plane_config_hash",
                "The hash of the configuration of a data plane, as a number",
                &LABELS,
            )?,
            compatible: gauges(
                "kong_data_plane_version_compatible",
                "0 for a data plane that gets no updates because of its version",
                &[LABELS[0], LABELS[1], LABELS[2], "kong_version"],
            )?,
            database: gauges("kong_datastore_reachable", "1 while the database answers", &[])?,
            info: gauges(
                "kong_node_info",
                "Always 1; the labels are about the node",
                &["node_id", "version"],
            )?,
        })
    }

    fn each(&self) -> [&GaugeVec; 5] {
        [&self.last_seen, &self.config_hash, &self.compatible, &self.database, &self.info]
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of Prometheus has 53 bits")]
    fn fill(&self, data_planes: &DataPlanes) {
        [&self.last_seen, &self.config_hash, &self.compatible].into_iter().for_each(GaugeVec::reset);
        let mut rows = data_planes.rows();
        rows.sort_unstable_by_key(|row| row.id);
        for row in rows.iter().take(MOST_DATA_PLANES) {
            let id = row.id.to_string();
            let labels = [id.as_str(), &row.hostname, &row.ip];
            self.last_seen.with_label_values(&labels).set(row.last_seen as f64);
            self.config_hash.with_label_values(&labels).set(number_of(&row.config_hash));
            let compatible = if row.state == INCOMPATIBLE { 0.0 } else { 1.0 };
            self.compatible
                .with_label_values(&[labels[0], labels[1], labels[2], &row.version])
                .set(compatible);
        }
    }
}

/// The number that a hash of 32 hexadecimal digits is.
#[expect(clippy::cast_precision_loss, reason = "Kong's is as inexact")]
fn number_of(hash: &str) -> f64 {
    u128::from_str_radix(hash, 16).map_or(0.0, |number| number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_numbers() {
        assert!((number_of("0000000000000000000000000000000a") - 10.0).abs() < f64::EPSILON);
        assert!(number_of("").abs() < f64::EPSILON);
        assert!(number_of(&"f".repeat(32)) > 3.0e38);
    }
}
