//! Health reports: which targets a data plane finds healthy, and how it resolves their names.
//!
//! A *full* report names every target that is not *plain*. A target is plain when it has one address, its
//! own, which is an IP address and has been healthy for long. So a target that a full report does not name is
//! healthy. Between two full reports, a data plane sends the targets that have changed. The last state of a
//! target counts.
//!
//! A long report is several frames: each is complete in itself, at most [`MAX_HEALTH_FRAME`] bytes long, and
//! says whether it is the first and the last of a full report.

mod codec;

use std::net::IpAddr;

use uuid::Uuid;

pub use self::codec::HealthError;

/// The most bytes of a health frame that a data plane sends. It is less than [`crate::MAX_FRAME`], so that a
/// report does not delay the acknowledgement of an update.
pub const MAX_HEALTH_FRAME: usize = 64 * 1024;

/// The most addresses of a target that a report names. The sender leaves out the rest.
pub const MAX_ADDRESSES: usize = 256;

/// The most bytes of an error text in a report. The sender cuts a longer one.
pub const MAX_ERROR_TEXT: usize = 128;

/// One frame of a health report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// The part of a report that the frame holds.
    pub part: ReportPart,
    /// The revision of the live configuration.
    pub revision: u64,
    /// The number of targets in the live configuration.
    pub targets: u32,
    /// The states of targets.
    pub entries: Vec<TargetHealth>,
}

/// The part of a report that a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportPart {
    /// Targets that have changed.
    Changes,
    /// A part of a full report.
    Full {
        /// Whether it is the first part.
        first: bool,
        /// Whether it is the last part. The report counts from then on.
        last: bool,
    },
}

/// The state of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// The target's id.
    pub target: Uuid,
    /// The type of the records that gave the addresses.
    pub record_type: RecordType,
    /// The error of the last look-up, at most [`MAX_ERROR_TEXT`] bytes. Addresses of an earlier answer may
    /// still be in use.
    pub dns_error: Option<String>,
    /// The addresses, at most [`MAX_ADDRESSES`]; empty when none is known.
    pub addresses: Vec<AddressHealth>,
}

/// The type of the records that gave a target's addresses. An IPv4 address counts as [`RecordType::A`], an
/// IPv6 address as [`RecordType::Aaaa`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// No look-up has given an address, or a later version knows the type.
    #[default]
    Unknown,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Service records.
    Srv,
}

/// The state of one address of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHealth {
    /// The IP address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The weight, which service records may set.
    pub weight: u16,
    /// The state.
    pub health: Health,
    /// When the state began, in milliseconds since 1970.
    pub since: u64,
    /// The last failure of a check or a request, at most [`MAX_ERROR_TEXT`] bytes.
    pub last_error: Option<String>,
}

/// What checks, requests and operators have found of an address. A drained target has no state of its own:
/// the control plane knows which targets an operator drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// It serves.
    Healthy,
    /// Checks, or an operator, took it out.
    Unhealthy,
    /// Nothing checks it, because its upstream has no checks or its weight is 0.
    Unchecked,
    /// Outlier detection took it out for a while.
    Ejected,
    /// No check has ended yet, or a later version knows the state.
    #[default]
    Unknown,
}

impl TargetHealth {
    /// A target that has one address, its own, and is healthy. It takes an earlier entry of the target back.
    pub const fn plain(target: Uuid) -> Self {
        Self { target, record_type: RecordType::Unknown, dns_error: None, addresses: Vec::new() }
    }

    /// Whether the entry says no more than the lack of one would.
    pub const fn is_plain(&self) -> bool {
        matches!(self.record_type, RecordType::Unknown)
            && self.dns_error.is_none()
            && self.addresses.is_empty()
    }
}

impl RecordType {
    /// The type as the Admin API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::A => 1,
            Self::Aaaa => 2,
            Self::Srv => 3,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::A,
            2 => Self::Aaaa,
            3 => Self::Srv,
            _ => Self::Unknown,
        }
    }
}

impl Health {
    const fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Healthy => 1,
            Self::Unhealthy => 2,
            Self::Unchecked => 3,
            Self::Ejected => 4,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Healthy,
            2 => Self::Unhealthy,
            3 => Self::Unchecked,
            4 => Self::Ejected,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
