//! Entries of logs: what plugins that log say of a request, in the form that Kong's users know.

mod custom;
mod entities;
mod entry;
mod fixed;
mod json;
mod member;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use self::custom::Fields;
pub(super) use self::entities::{route as route_entity, service as service_entity};
pub(super) use self::entry::LogMember;
pub(super) use self::queue::terms as queue_terms;
use super::ended::Ended;
use super::{Exchange, InstanceTerms};
use crate::delivery::{Collector, QueueKey, QueueTerms};
use crate::redaction::Redaction;

/// Bytes of a usual entry.
const USUAL: usize = 2048;

/// Makes the entries of one plugin.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    custom: Fields,
    redaction: Redaction,
}

/// A queue of one plugin, with where its entries go.
#[derive(Debug)]
pub(super) struct Reporter {
    key: QueueKey,
    terms: QueueTerms,
    collector: Arc<dyn Collector>,
}

/// Adds a value to the entry of a request.
pub(super) fn add_member(exchange: &mut Exchange<'_>, member: LogMember) {
    let mut members = exchange.kept::<Vec<LogMember>>().cloned().unwrap_or_default();
    members.push(member);
    exchange.keep(members);
}

impl Entries {
    /// Of a plugin with these programs of custom fields, and these names of secrets.
    pub(super) fn new(programs: Option<&BTreeMap<String, String>>, secrets: &[String]) -> Self {
        Self { custom: Fields::new(programs), redaction: Redaction::new(secrets) }
    }

    /// The entry of a request: one JSON object without line breaks.
    pub(super) fn entry(&self, ended: &Ended<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL);
        entry::write(ended, &self.custom, &ended.redactions(&self.redaction), &mut out);
        out
    }
}

impl Reporter {
    /// Of a plugin with this configuration. The same configuration keeps its queue, whatever is applied.
    pub(super) fn new(
        terms: &InstanceTerms,
        configuration: &impl Serialize,
        queue: QueueTerms,
        collector: Arc<dyn Collector>,
    ) -> Self {
        // Such a configuration has been serialized before.
        let bytes = serde_json::to_vec(configuration).unwrap_or_default();
        Self { key: QueueKey::new(terms.id, &bytes), terms: queue, collector }
    }

    /// Appends an entry. Never waits for the collector.
    pub(super) fn report(&self, ended: &Ended<'_>, entry: impl Into<Bytes>) {
        ended.shared().reports.queues.push(self.key, &self.terms, &self.collector, entry.into());
    }
}
