//! Turns failures of exchanges into results of probes, and those into labels.

use std::io;

use super::probe::ProbeOutcome;
use crate::metrics::ProbeResult;
use crate::upstream::UpstreamFailure;
use crate::upstream::failure::text;

impl From<&UpstreamFailure> for ProbeOutcome {
    fn from(failure: &UpstreamFailure) -> Self {
        use UpstreamFailure as F;
        let text = || failure.to_string().into_boxed_str();
        match failure {
            F::Connect(_) | F::Tls(_) | F::Closed { .. } | F::Broken(_) | F::NotProcessed(_) => {
                Self::TcpFailure(text())
            }
            F::ConnectTimedOut | F::TimedOut(_) => Self::Timeout,
            F::Invalid(_) | F::HeaderTooLarge | F::WrongLength | F::Status(_) => Self::HttpFailure(text()),
        }
    }
}

impl From<&ProbeOutcome> for ProbeResult {
    fn from(outcome: &ProbeOutcome) -> Self {
        match outcome {
            ProbeOutcome::Success => Self::Success,
            ProbeOutcome::Status(status) => Self::of_status(*status),
            ProbeOutcome::HttpFailure(_) => Self::HttpFailure,
            ProbeOutcome::TcpFailure(_) => Self::TcpFailure,
            ProbeOutcome::Timeout => Self::Timeout,
        }
    }
}

/// The result of a connection that cannot be made.
pub(super) fn tcp_failure(error: &io::Error) -> ProbeOutcome {
    match error.kind() {
        io::ErrorKind::TimedOut => ProbeOutcome::Timeout,
        _ => ProbeOutcome::TcpFailure(text(format_args!("cannot connect: {error}"))),
    }
}
