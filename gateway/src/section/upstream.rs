//! An upstream as the data plane uses it.

mod terms;

use std::borrow::Cow;
use std::sync::Arc;

use model::kind;
use uuid::Uuid;
use wire::Kind;

use super::{Parts, References, Refusal, Section};
use crate::upstream::GroupTerms;

/// An upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// What a group takes of it.
    pub terms: Arc<GroupTerms>,
    references: References,
}

impl Section for Upstream {
    type Entity = model::Upstream;

    /// It has the certificate that targets are shown.
    const HOLDS: &'static [Kind] = &[kind::CERTIFICATE];

    fn compile(upstream: &model::Upstream, references: References) -> Result<Self, Refusal> {
        let terms = terms::of(upstream).map_err(|(field, problem)| {
            Refusal::new(model::Upstream::key(upstream.id), Some(field), problem)
        })?;
        Ok(Self { terms: Arc::new(terms), references })
    }

    fn id(&self) -> &Uuid {
        &self.terms.id
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }

    fn label(&self) -> String {
        self.terms.name.to_string()
    }

    fn link(batch: &mut [&mut Arc<Self>], parts: &Parts<'_>) -> Result<(), Refusal> {
        for upstream in batch.iter_mut().filter(|upstream| upstream.terms.certificate.is_some()) {
            let upstream = Arc::make_mut(upstream);
            let terms = Arc::make_mut(&mut upstream.terms);
            terms.shown = terms.certificate.and_then(|id| parts.certificates.get(&id)).cloned();
        }
        Ok(())
    }
}
