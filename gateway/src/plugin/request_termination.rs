//! request-termination: answers requests in place of the upstream.

use super::{Exchange, InstanceTerms, Phases, Plugin, Reply, Step, Unusable};

/// Answers requests in place of the upstream.
#[derive(Debug)]
pub struct RequestTermination {
    status: u16,
    message: Option<String>,
}

impl Plugin for RequestTermination {
    type Config = model::plugins::RequestTermination;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        Ok(Self { status: config.status_code, message: config.message.clone() })
    }

    fn access<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::reply(match &self.message {
            Some(message) => Reply::exit(self.status, message.clone()),
            None => Reply::empty(self.status),
        })
    }
}
