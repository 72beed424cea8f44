//! syslog: sends an entry for each request to the system's log.

use std::collections::BTreeMap;

use model_derive::Record;

use super::{custom_field, redact};
use crate::bounds;
use crate::check::text;
use crate::plugin::PluginConfig;
use crate::record::Check;
use crate::types::words;

words! {
    /// The severity of an entry, the greatest last.
    Severity {
        /// 7.
        Debug = "debug",
        /// 6.
        Info = "info",
        /// 5.
        Notice = "notice",
        /// 4.
        Warning = "warning",
        /// 3.
        Error = "err",
        /// 2.
        Critical = "crit",
        /// 1.
        Alert = "alert",
        /// 0.
        Emergency = "emerg",
    }

    /// The part of a system that an entry comes from.
    Facility {
        /// 4.
        Auth = "auth",
        /// 10.
        AuthPriv = "authpriv",
        /// 9.
        Cron = "cron",
        /// 3.
        Daemon = "daemon",
        /// 11.
        Ftp = "ftp",
        /// 0.
        Kern = "kern",
        /// 6.
        Lpr = "lpr",
        /// 2.
        Mail = "mail",
        /// 7.
        News = "news",
        /// 5.
        Syslog = "syslog",
        /// 1.
        User = "user",
        /// 8.
        Uucp = "uucp",
        /// 16.
        Local0 = "local0",
        /// 17.
        Local1 = "local1",
        /// 18.
        Local2 = "local2",
        /// 19.
        Local3 = "local3",
        /// 20.
        Local4 = "local4",
        /// 21.
        Local5 = "local5",
        /// 22.
        Local6 = "local6",
        /// 23.
        Local7 = "local7",
    }
}

/// The configuration of syslog.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Syslog {
    /// The least severity of entries that are sent.
    #[field(default = Severity::Info)]
    pub log_level: Severity,
    /// The severity of requests that were answered with a status below 400.
    #[field(default = Severity::Info)]
    pub successful_severity: Severity,
    /// The severity of requests that were answered with a status from 400 to 499.
    #[field(default = Severity::Info)]
    pub client_errors_severity: Severity,
    /// The severity of requests that were answered with a status from 500.
    #[field(default = Severity::Info)]
    pub server_errors_severity: Severity,
    /// Fields of the entry: programs of Lua that return a constant, a look-up, or nil to remove the field.
    #[field(
        most = custom_field::MOST,
        longest = custom_field::LONGEST,
        key = custom_field::name,
        is = custom_field::program
    )]
    pub custom_fields_by_lua: Option<BTreeMap<String, String>>,
    /// The part of the system that entries come from.
    #[field(default = Facility::User)]
    pub facility: Facility,
    /// The headers and the arguments of queries whose values entries do not show.
    #[field(
        set,
        quiet,
        default = redact::usual(),
        most = redact::MOST,
        longest = bounds::HEADER_NAME,
        is = text::not_empty
    )]
    pub redact: Vec<String>,
}

impl Severity {
    /// Its code (RFC 5424, section 6.2.1).
    pub const fn code(self) -> u8 {
        7 - self as u8
    }
}

impl Facility {
    /// Its code (RFC 5424, section 6.2.1).
    pub const fn code(self) -> u8 {
        match self {
            Self::Kern => 0,
            Self::User => 1,
            Self::Mail => 2,
            Self::Daemon => 3,
            Self::Auth => 4,
            Self::Syslog => 5,
            Self::Lpr => 6,
            Self::News => 7,
            Self::Uucp => 8,
            Self::Cron => 9,
            Self::AuthPriv => 10,
            Self::Ftp => 11,
            Self::Local0 => 16,
            Self::Local1 => 17,
            Self::Local2 => 18,
            Self::Local3 => 19,
            Self::Local4 => 20,
            Self::Local5 => 21,
            Self::Local6 => 22,
            Self::Local7 => 23,
        }
    }
}

impl Check for Syslog {}

impl PluginConfig for Syslog {
    const NAME: &'static str = "syslog";
    const PRIORITY: i32 = 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_protocol() {
        assert_eq!([Severity::Debug, Severity::Info, Severity::Emergency].map(Severity::code), [7, 6, 0]);
        assert_eq!(Facility::Local7.code(), 23);
    }
}
