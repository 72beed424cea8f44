//! What became of a request or a probe, and what that says of the address.

use std::time::Duration;

use super::machine::{Event, Failure};
use super::settings::{OtherStatuses, Outlier, Settings, Thresholds};

/// What became of an attempt to send a request to an address.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'o> {
    /// The head of an answer came.
    Answered {
        /// The upstream's own status.
        status: u16,
        /// Time from the choice to the head of the answer.
        took: Duration,
    },
    /// The connection could not be established, or broke before an answer.
    ConnectFailed {
        /// Why, for an operator.
        reason: &'o str,
    },
    /// The time to connect, to send or to answer was up.
    TimedOut,
    /// Nothing that the address is to blame for: the client left, or a limit of the gateway's own was met.
    Ignored,
}

/// What a probe found.
#[derive(Clone, Copy, Debug)]
pub enum ProbeOutcome<'o> {
    /// An HTTP status.
    Status(u16),
    /// The address serves: a connection for TCP, or gRPC's SERVING.
    Success,
    /// The address says that it does not serve.
    Failure {
        /// Why, for an operator.
        reason: &'o str,
    },
    /// The connection, the handshake or the reading failed.
    TcpFailure {
        /// Why, for an operator.
        reason: &'o str,
    },
    /// The time was up.
    Timeout,
}

impl Outcome<'_> {
    /// What a passive check makes of it.
    pub(super) fn event(&self, settings: &Settings) -> Option<Event> {
        match self {
            Self::Answered { status, .. } => {
                judge(*status, &settings.checks.passive, settings.other_statuses)
            }
            Self::ConnectFailed { .. } => Some(Event::Failure(Failure::Tcp)),
            Self::TimedOut => Some(Event::Failure(Failure::Timeout)),
            Self::Ignored => None,
        }
    }

    /// Whether it is a success for the detection of outliers; `None` is neither success nor failure.
    pub(super) fn is_good(&self, outlier: &Outlier) -> Option<bool> {
        match self {
            Self::Answered { status, .. } if outlier.statuses.contains(*status) => Some(false),
            Self::Answered { status: 400..500, .. } | Self::Ignored => None,
            Self::Answered { .. } => Some(true),
            Self::ConnectFailed { .. } | Self::TimedOut => Some(false),
        }
    }

    /// What an operator reads of a failure.
    pub(super) fn error(&self) -> String {
        match self {
            Self::Answered { status, .. } => format!("status {status}"),
            Self::ConnectFailed { reason } => (*reason).to_owned(),
            Self::TimedOut => "timed out".to_owned(),
            Self::Ignored => String::new(),
        }
    }
}

impl ProbeOutcome<'_> {
    /// What an active check makes of it.
    pub(super) fn event(&self, settings: &Settings) -> Option<Event> {
        match self {
            Self::Status(status) => judge(*status, &settings.checks.active, settings.other_statuses),
            Self::Success => Some(Event::Success),
            Self::Failure { .. } => Some(Event::Failure(Failure::Http)),
            Self::TcpFailure { .. } => Some(Event::Failure(Failure::Tcp)),
            Self::Timeout => Some(Event::Failure(Failure::Timeout)),
        }
    }

    /// What an operator reads of a failure.
    pub(super) fn error(&self) -> String {
        match self {
            Self::Status(status) => format!("the probe was answered with status {status}"),
            Self::Failure { reason } | Self::TcpFailure { reason } => format!("the probe failed: {reason}"),
            Self::Timeout => "the probe timed out".to_owned(),
            Self::Success => String::new(),
        }
    }
}

fn judge(status: u16, limits: &Thresholds, other: OtherStatuses) -> Option<Event> {
    let failure = Event::Failure(Failure::Http);
    match other {
        _ if limits.healthy.contains(status) => Some(Event::Success),
        _ if limits.unhealthy.contains(status) => Some(failure),
        OtherStatuses::Ignore => None,
        OtherStatuses::Success => Some(Event::Success),
        OtherStatuses::Failure => Some(failure),
    }
}
