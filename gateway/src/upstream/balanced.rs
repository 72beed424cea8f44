//! A request that goes to one of several targets: what it keeps between its attempts.

use tokio::time::Instant;

use super::balancer::{Chosen, Outcome, RetryPermit, Tried};
use super::{Group, UpstreamFailure};

/// What a request to an upstream keeps between its attempts.
#[derive(Debug, Default)]
pub struct Balanced {
    /// The hash of its key.
    pub(crate) key: Option<u64>,
    /// The id of the address that the client had before.
    pub(crate) sticky: Option<u64>,
    /// The cookie that the answer sets.
    pub(crate) cookie: Option<Box<str>>,
    pub(crate) tried: Tried,
    /// The address of the present attempt, and when it was chosen.
    pub(crate) chosen: Option<(Chosen, Instant)>,
    /// A retry's share of the budget.
    pub(crate) permit: Option<RetryPermit>,
}

impl Balanced {
    /// The name of the target of the present attempt.
    pub(crate) fn server_name<'b>(&'b self, group: &'b Group) -> Option<(&'b str, u16)> {
        let (chosen, _) = self.chosen.as_ref()?;
        Some((group.server_name(chosen), chosen.identity().address.port()))
    }

    /// Notes the header of an answer.
    pub(crate) fn answered(&mut self, status: u16) {
        if let Some((chosen, since)) = &mut self.chosen {
            let now = Instant::now();
            chosen.report(&Outcome::Answered { status, took: now - *since }, now);
        }
        self.permit = None;
    }

    /// Notes that the attempt failed before an answer came.
    pub(crate) fn failed(&mut self, cause: &UpstreamFailure) {
        if let Some((chosen, _)) = &mut self.chosen {
            let reason = cause.to_string();
            chosen.report(&outcome(cause, &reason), Instant::now());
        }
    }
}

/// What a failure says of an address.
fn outcome<'r>(cause: &UpstreamFailure, reason: &'r str) -> Outcome<'r> {
    match cause {
        UpstreamFailure::ConnectTimedOut | UpstreamFailure::TimedOut(_) => Outcome::TimedOut,
        // The client's fault.
        UpstreamFailure::WrongLength => Outcome::Ignored,
        _ => Outcome::ConnectFailed { reason },
    }
}
