//! A service: the upstream of requests, and how they are sent to it.

use model_derive::Record;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wire::Kind;

use crate::kind;
use crate::bounds;
use crate::check::{host, path, text};
use crate::entity::Entity;
use crate::protocol::Protocol;
use crate::record::Check;
use crate::schema;
use crate::violations::Violations;

/// The greatest timeout in milliseconds: that of a C `int`, less one.
const TIMEOUT: i64 = 2_147_483_646;

/// A service. Its canonical bytes are this struct as JSON, in this order of fields, without those that hold
/// their default. The id is not among them: the record's key has it. A default is part of the wire and never
/// changes.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Service {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// Unique name.
    #[field(unique, longest = bounds::NAME, is = text::name)]
    pub name: Option<String>,
    /// Protocol of the upstream.
    #[field(default = Protocol::Http)]
    pub protocol: Protocol,
    /// Host name or address of the upstream, without a port.
    #[field(required, longest = bounds::HOST, is = host::host)]
    pub host: String,
    /// Port of the upstream.
    #[field(default = 80, between(0, 65_535))]
    pub port: u16,
    /// Path that precedes the request's path.
    #[field(starts_with("/"), is = path::service_path)]
    pub path: Option<String>,
    /// Further attempts after the first has failed. The column of Kong's database is a `smallint`.
    #[field(default = 5, between(0, 32_767))]
    pub retries: u16,
    /// Time to establish a connection, in milliseconds.
    #[field(default = 60_000, between(1, TIMEOUT))]
    pub connect_timeout: u32,
    /// Time between two writes of a request, in milliseconds.
    #[field(default = 60_000, between(1, TIMEOUT))]
    pub write_timeout: u32,
    /// Time between two reads of a response, in milliseconds.
    #[field(default = 60_000, between(1, TIMEOUT))]
    pub read_timeout: u32,
    /// Whether the upstream's certificate is verified; null: the data plane's own default.
    pub tls_verify: Option<bool>,
    /// Greatest length of the upstream's certificate chain.
    #[field(between(0, 64))]
    pub tls_verify_depth: Option<u8>,
    /// CA certificates that the upstream's certificate is verified against.
    #[field(most = bounds::CA_CERTIFICATES, names(kind::CA_CERTIFICATE))]
    pub ca_certificates: Option<Vec<Uuid>>,
    /// Certificate shown to the upstream.
    #[field(names(kind::CERTIFICATE))]
    pub client_certificate: Option<Uuid>,
    /// Whether its routes match at all.
    #[field(default = true)]
    pub enabled: bool,
}

impl Service {
    /// Whether data planes proxy requests to the service: it is enabled, and they support its protocol.
    /// Otherwise its routes match nothing.
    pub fn is_served(&self) -> bool {
        self.enabled && self.protocol.is_http()
    }
}

impl Check for Service {
    fn rules(&self, violations: &mut Violations) {
        // A stream that is passed through has no protocol of its own.
        if self.protocol == Protocol::TlsPassthrough {
            let names = Protocol::ALL.iter().filter(|protocol| **protocol != Protocol::TlsPassthrough);
            let names: Vec<_> = names.map(|protocol| protocol.as_str()).collect();
            violations.field("protocol", format!("expected one of: {}", names.join(", ")));
        }
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

    fn entity_checks() -> Vec<Value> {
        let null = json!({ "eq": null });
        let without_path = json!({ "one_of": ["tcp", "tls", "udp", "grpc", "grpcs"] });
        let without_tls = json!({ "not_one_of": ["https", "tls"] });
        let of_tls = ["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"];
        let of_tls = of_tls.map(|name| schema::conditional("protocol", &without_tls, name, &null));
        [schema::conditional("protocol", &without_path, "path", &null)].into_iter().chain(of_tls).collect()
    }
}

impl Entity for Service {
    const KIND: Kind = kind::SERVICE;
    const NOUN: &'static str = "service";
    const ENDPOINT_KEY: Option<&'static str> = Some("name");

    /// `url` stands for protocol, host, port and path.
    fn expand(fields: &mut Map<String, Value>, violations: &mut Violations) {
        let url = fields.remove("url").filter(|url| !url.is_null());
        match url.as_ref().map(Value::as_str) {
            None => {}
            Some(None) => violations.field("url", "expected a string"),
            Some(Some("")) => violations.field("url", "length must be at least 1"),
            // As in Kong, a text without a scheme is a path.
            Some(Some(url)) if !url.contains("://") => {
                fields.insert("path".into(), json!(url));
            }
            Some(Some(url)) => match split_url(url) {
                Some(parts) => fields.extend(parts),
                None => violations.field("url", "expected <protocol>://<host>[:<port>][/<path>]"),
            },
        }
    }

    fn shorthands() -> Vec<(&'static str, Map<String, Value>)> {
        vec![("url", Map::from_iter([("type".to_owned(), "string".into())]))]
    }
}

/// Splits a URL into fields. A URL without a path still replaces the path, so that the whole URL changes.
/// Parts that a service cannot hold (a user, a query, a fragment) are an error.
fn split_url(url: &str) -> Option<Map<String, Value>> {
    let (protocol, rest) = url.split_once("://")?;
    if rest.contains(['?', '#', '@']) {
        return None;
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return None;
    }
    let protocol = protocol.to_ascii_lowercase();
    let port = port.unwrap_or(if protocol == "https" { 443 } else { 80 });
    let fields = json!({ "protocol": protocol, "host": host, "port": port, "path": path });
    fields.as_object().cloned()
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

    #[test]
    fn urls() {
        for (url, protocol, host, port, path) in [
            ("http://a", "http", "a", 80, None),
            ("https://a/", "https", "a", 443, Some("/")),
            ("HTTP://a:8080/b/c", "http", "a", 8080, Some("/b/c")),
            ("http://[::1]:1/x", "http", "[::1]", 1, Some("/x")),
            ("http://[::1]", "http", "[::1]", 80, None),
            ("tcp://a:9000", "tcp", "a", 9000, None),
        ] {
            let expected = json!({ "protocol": protocol, "host": host, "port": port, "path": path });
            assert_eq!(split_url(url).map(Value::Object), Some(expected), "{url}");
        }
        for url in
            ["", "a", "http://", "http:///a", "http://a:b", "http://a:65536", "http://a?b", "http://u@a"]
        {
            assert_eq!(split_url(url), None, "{url}");
        }
    }
}
