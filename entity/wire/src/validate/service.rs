//! The rules of a service.

use std::ops::RangeInclusive;

use super::{host, path, text};
use crate::{Protocol, Service, Violations};

/// Bounds of retries: the column of Kong's database is a `smallint`.
const RETRIES: RangeInclusive<u32> = 0..=32_767;
/// Bounds of timeouts, in milliseconds: the range of a C `int`, less one.
const TIMEOUT: RangeInclusive<u32> = 1..=2_147_483_646;
/// Bounds of the depth of a certificate chain.
const DEPTH: RangeInclusive<u32> = 0..=64;

impl Service {
    /// Checks every rule.
    ///
    /// # Errors
    /// All rules that the service breaks.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        self.check_fields(&mut violations);
        self.check_protocol(&mut violations);
        violations.into_result()
    }

    fn check_fields(&self, violations: &mut Violations) {
        let mut check = |name: &str, result: Result<(), String>| {
            if let Err(message) = result {
                violations.field(name, message);
            }
        };
        if let Some(name) = &self.name {
            check("name", text::name(name));
        }
        if self.host.is_empty() {
            check("host", Err("required field missing".into()));
        } else {
            check("host", host::host(&self.host));
        }
        if let Some(path) = &self.path {
            check("path", path::service_path(path));
        }
        check("retries", within(u32::from(self.retries), &RETRIES));
        check("connect_timeout", within(self.connect_timeout, &TIMEOUT));
        check("write_timeout", within(self.write_timeout, &TIMEOUT));
        check("read_timeout", within(self.read_timeout, &TIMEOUT));
        if let Some(depth) = self.tls_verify_depth {
            check("tls_verify_depth", within(u32::from(depth), &DEPTH));
        }
        if self.protocol == Protocol::TlsPassthrough {
            check("protocol", Err(format!("expected one of: {}", protocols())));
        }
    }

    fn check_protocol(&self, violations: &mut Violations) {
        let mut must_be_null = |name: &str| {
            violations.entity("failed conditional validation given value of field 'protocol'");
            violations.field(name, "value must be null");
        };
        if self.path.is_some() && !matches!(self.protocol, Protocol::Http | Protocol::Https) {
            must_be_null("path");
        }
        if matches!(self.protocol, Protocol::Https | Protocol::Tls) {
            return;
        }
        let set = [
            ("client_certificate", self.client_certificate.is_some()),
            ("tls_verify", self.tls_verify.is_some()),
            ("tls_verify_depth", self.tls_verify_depth.is_some()),
            ("ca_certificates", self.ca_certificates.is_some()),
        ];
        for (name, _) in set.into_iter().filter(|(_, set)| *set) {
            must_be_null(name);
        }
    }
}

fn within(value: u32, range: &RangeInclusive<u32>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("value should be between {} and {}", range.start(), range.end()))
}

/// The protocols of a service. A stream that is passed through has no protocol of its own.
fn protocols() -> String {
    let names = Protocol::ALL.iter().filter(|protocol| **protocol != Protocol::TlsPassthrough);
    names.map(|protocol| protocol.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn broken(change: impl FnOnce(&mut Service)) -> Vec<String> {
        let mut service = Service { host: "example.com".into(), ..Service::default() };
        change(&mut service);
        let violations = service.validate().err().unwrap_or_default();
        violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
    }

    #[test]
    fn fields() {
        assert!(broken(|_| {}).is_empty());
        assert_eq!(broken(|s| s.host.clear()), ["host: required field missing"]);
        assert_eq!(broken(|s| s.host = "a:1".into()), ["host: must not have a port"]);
        assert_eq!(broken(|s| s.retries = 32_768), ["retries: value should be between 0 and 32767"]);
        let timeout = "value should be between 1 and 2147483646";
        assert_eq!(broken(|s| s.connect_timeout = 0), [format!("connect_timeout: {timeout}")]);
        assert_eq!(broken(|s| s.read_timeout = 2_147_483_647), [format!("read_timeout: {timeout}")]);
        assert_eq!(broken(|s| s.write_timeout = 0), [format!("write_timeout: {timeout}")]);
        assert_eq!(
            broken(|s| s.protocol = Protocol::TlsPassthrough),
            ["protocol: expected one of: grpc, grpcs, http, https, tcp, tls, udp"]
        );
        assert_eq!(broken(|s| (s.host.clear(), s.path = Some("a".into())).0).len(), 2);
    }

    #[test]
    fn what_the_protocol_forbids() {
        let entity = "@entity: failed conditional validation given value of field 'protocol'";
        let path = |protocol| {
            broken(|service| {
                service.protocol = protocol;
                service.path = Some("/a".into());
            })
        };
        assert!(path(Protocol::Http).is_empty() && path(Protocol::Https).is_empty());
        for protocol in [Protocol::Tcp, Protocol::Tls, Protocol::Udp, Protocol::Grpc, Protocol::Grpcs] {
            assert_eq!(path(protocol), [entity, "path: value must be null"], "{protocol}");
        }
        let verify = |protocol| {
            broken(|service| {
                service.protocol = protocol;
                service.tls_verify = Some(true);
            })
        };
        assert!(verify(Protocol::Https).is_empty() && verify(Protocol::Tls).is_empty());
        assert_eq!(verify(Protocol::Http), [entity, "tls_verify: value must be null"]);
        assert_eq!(
            broken(|s| s.client_certificate = Some(Uuid::nil())),
            [entity, "client_certificate: value must be null"]
        );
        assert_eq!(
            broken(|s| (s.protocol, s.tls_verify_depth) = (Protocol::Https, Some(65))),
            ["tls_verify_depth: value should be between 0 and 64"]
        );
    }
}
