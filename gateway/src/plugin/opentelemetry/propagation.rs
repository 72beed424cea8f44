//! Which forms of the context of a trace are read, removed and written.

use http::{HeaderMap, HeaderName};
use model::plugins::opentelemetry::{TraceExtractor, TraceFormat, TraceHeaderType, TraceInjector};

use super::context::Received;
use super::forms::Form;

/// How the context of a trace is read and written.
#[derive(Debug)]
pub(super) struct Propagation {
    read: Box<[Form]>,
    cleared: Box<[HeaderName]>,
    written: Box<[Written]>,
    default: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// The form that was read, or the default.
    Preserved,
    As(Form),
}

impl Propagation {
    /// That of a configuration.
    pub(super) fn new(config: &model::plugins::Opentelemetry) -> Self {
        let given = &config.propagation;
        let mut read: Vec<_> = given.extract.iter().flatten().map(|form| extractor(*form)).collect();
        let mut written: Vec<_> = given.inject.iter().flatten().map(|form| injector(*form)).collect();
        // Kong's earlier setting, which counts in place of the later ones.
        match config.header_type {
            TraceHeaderType::Preserve => {}
            TraceHeaderType::Ignore => {
                read.clear();
                written = vec![Written::Preserved];
            }
            other => written = vec![Written::Preserved, Written::As(earlier(other))],
        }
        Self {
            read: read.into(),
            cleared: given.clear.iter().flatten().filter_map(|name| name.parse().ok()).collect(),
            written: written.into(),
            default: format(given.default_format),
        }
    }

    /// Reads the first of the forms that a request has.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<(Form, Received)> {
        self.read.iter().find_map(|form| form.read(headers))
    }

    /// Whether a request without any of the forms says that its trace is sampled.
    pub(super) fn decision(&self, headers: &HeaderMap) -> Option<bool> {
        self.read.iter().find_map(|form| form.decision(headers))
    }

    /// The fields that are removed.
    pub(super) fn cleared(&self) -> impl Iterator<Item = &HeaderName> {
        self.cleared.iter()
    }

    /// The forms that are written, each once, for a request with this form.
    pub(super) fn written(&self, found: Option<Form>) -> impl Iterator<Item = Form> {
        let form = move |written: &Written| match written {
            Written::Preserved => found.unwrap_or(self.default),
            Written::As(form) => *form,
        };
        let before = move |at: usize| self.written[..at].iter().map(form);
        let all = self.written.iter().map(form).enumerate();
        all.filter(move |(at, form)| before(*at).all(|other| other != *form)).map(|(_, form)| form)
    }
}

fn extractor(form: TraceExtractor) -> Form {
    match form {
        TraceExtractor::Ot => Form::Ot,
        TraceExtractor::W3c => Form::W3c,
        TraceExtractor::Datadog => Form::Datadog,
        TraceExtractor::B3 => Form::B3,
        TraceExtractor::Gcp => Form::Gcp,
        TraceExtractor::Jaeger => Form::Jaeger,
        TraceExtractor::Aws => Form::Aws,
        TraceExtractor::Instana => Form::Instana,
    }
}

fn injector(form: TraceInjector) -> Written {
    Written::As(match form {
        TraceInjector::Preserve => return Written::Preserved,
        TraceInjector::Ot => Form::Ot,
        TraceInjector::W3c => Form::W3c,
        TraceInjector::Datadog => Form::Datadog,
        TraceInjector::B3 => Form::B3,
        TraceInjector::B3Single => Form::B3Single,
        TraceInjector::Gcp => Form::Gcp,
        TraceInjector::Jaeger => Form::Jaeger,
        TraceInjector::Aws => Form::Aws,
        TraceInjector::Instana => Form::Instana,
    })
}

fn format(form: TraceFormat) -> Form {
    match form {
        TraceFormat::Ot => Form::Ot,
        TraceFormat::W3c => Form::W3c,
        TraceFormat::Datadog => Form::Datadog,
        TraceFormat::B3 => Form::B3,
        TraceFormat::B3Single => Form::B3Single,
        TraceFormat::Gcp => Form::Gcp,
        TraceFormat::Jaeger => Form::Jaeger,
        TraceFormat::Aws => Form::Aws,
        TraceFormat::Instana => Form::Instana,
    }
}

fn earlier(form: TraceHeaderType) -> Form {
    match form {
        TraceHeaderType::B3 => Form::B3,
        TraceHeaderType::B3Single => Form::B3Single,
        TraceHeaderType::Preserve | TraceHeaderType::Ignore | TraceHeaderType::W3c => Form::W3c,
        TraceHeaderType::Jaeger => Form::Jaeger,
        TraceHeaderType::Ot => Form::Ot,
        TraceHeaderType::Aws => Form::Aws,
        TraceHeaderType::Gcp => Form::Gcp,
        TraceHeaderType::Datadog => Form::Datadog,
        TraceHeaderType::Instana => Form::Instana,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(config: &model::plugins::Opentelemetry, found: Option<Form>) -> Vec<Form> {
        Propagation::new(config).written(found).collect()
    }

    #[test]
    fn form_that_was_read_is_written_unless_others_are_wanted() {
        let usual = model::plugins::Opentelemetry::default();
        assert_eq!(written(&usual, None), [Form::W3c]);
        assert_eq!(written(&usual, Some(Form::Jaeger)), [Form::Jaeger]);

        let mut several = usual.clone();
        several.propagation.inject =
            Some(vec![TraceInjector::Preserve, TraceInjector::W3c, TraceInjector::B3Single]);
        several.propagation.default_format = TraceFormat::Gcp;
        assert_eq!(written(&several, None), [Form::Gcp, Form::W3c, Form::B3Single]);
        assert_eq!(written(&several, Some(Form::W3c)), [Form::W3c, Form::B3Single]);

        let mut none = usual.clone();
        none.propagation.inject = None;
        assert_eq!(written(&none, Some(Form::W3c)), []);

        let earlier = model::plugins::Opentelemetry { header_type: TraceHeaderType::B3, ..usual.clone() };
        assert_eq!(written(&earlier, Some(Form::W3c)), [Form::W3c, Form::B3]);
        let ignored = model::plugins::Opentelemetry { header_type: TraceHeaderType::Ignore, ..usual };
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("traceparent"), traceparent.parse().unwrap())]);
        assert_eq!(Propagation::new(&ignored).read(&headers), None);
    }
}
