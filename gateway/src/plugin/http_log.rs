//! http-log: sends an entry for each request to a server of HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use model::Word;
use model::plugins::http_log::LogMethod;

use super::log::{Entries, Reporter, queue_terms};
use super::{Ended, InstanceTerms, Phases, Plugin, Unusable};
use crate::delivery::collector::{HttpCollector, JsonBody};
use crate::outbound::{CallTimeouts, Destination};
use crate::redaction::decoded_octets;

/// http-log, compiled.
#[derive(Debug)]
pub struct HttpLog {
    entries: Entries,
    reporter: Reporter,
}

impl Plugin for HttpLog {
    type Config = model::plugins::HttpLog;

    const PHASES: Phases = Phases::LOG;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let refuse = |error: crate::outbound::UnusableUrl| Unusable {
            field: "http_endpoint",
            message: error.to_string().into(),
        };
        let destination = Destination::parse(&config.http_endpoint, config.ssl_verify).map_err(refuse)?;
        let destination = destination.without_query();
        let mut fields = vec![(CONTENT_TYPE, HeaderValue::from_static(config.content_type.as_str()))];
        fields.extend(basic(destination.user_info()).map(|value| (AUTHORIZATION, value)));
        fields.extend(typed(config.headers.as_ref()));
        let queue = queue_terms(&config.queue, config.batch());
        let limit = std::time::Duration::from_secs_f64((config.timeout.get() / 1000.0).clamp(0.001, 3600.0));
        let collector = HttpCollector {
            plugin: terms.name,
            method: match config.method {
                LogMethod::Post => Method::POST,
                LogMethod::Put => Method::PUT,
                LogMethod::Patch => Method::PATCH,
            },
            destination,
            fields: fields.into(),
            timeouts: CallTimeouts { total: limit * 3, ..CallTimeouts::all(limit) },
            body: Box::new(if queue.batch == 1 { JsonBody::One } else { JsonBody::Array }),
        };
        Ok(Self {
            entries: Entries::new(config.custom_fields_by_lua.as_ref(), &config.redact),
            reporter: Reporter::new(terms, config, queue, Arc::new(collector)),
        })
    }

    fn log(&self, ended: &Ended<'_>) {
        self.reporter.report(ended, self.entries.entry(ended));
    }
}

/// The field that authenticates a user of a URL.
fn basic(user_info: Option<&str>) -> Option<HeaderValue> {
    let (user, password) = user_info.map(|text| text.split_once(':').unwrap_or((text, "")))?;
    let [user, password] = [user, password].map(|text| decoded_octets(text.as_bytes()));
    let mut value =
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode([&*user, b":", &*password].concat())))
            .ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The further fields of a configuration. Values that no field may have are left out: an older version may have
/// accepted them.
pub(super) fn typed(
    headers: Option<&BTreeMap<String, String>>,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers.into_iter().flatten().filter_map(|(name, value)| {
        let mut value = HeaderValue::try_from(value.as_str()).ok()?;
        value.set_sensitive(true);
        Some((name.parse().ok()?, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_of_a_url_is_basic_authentication() {
        for (user_info, value) in [
            ("u:p", "Basic dTpw"),
            ("u", "Basic dTo="),
            ("u:p%40", "Basic dTpwQA=="),
            ("u:a+b", "Basic dTphK2I="),
        ] {
            assert_eq!(basic(Some(user_info)).unwrap(), value);
        }
        assert_eq!(basic(None), None);
    }
}
