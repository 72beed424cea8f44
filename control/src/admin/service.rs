//! Services.

use entity::service::{Entity, Model};
use model::Entity as _;
use model::{Protocol, Violations, validate_tags};
use serde_json::{Map, Value, json};

use super::body::Body;
use super::fields::Fields;
use super::resource::{Identity, Resource};
use crate::published;

const TIMEOUT: i64 = 60_000;
const TIMEOUTS: std::ops::RangeInclusive<i64> = 1..=2_147_483_646;

/// The collection of services.
#[derive(Debug)]
pub(super) struct Services;

impl Resource for Services {
    type Table = Entity;

    fn identity(row: &Model) -> Identity {
        Identity { id: row.id, created_at: row.created_at, updated_at: row.updated_at }
    }

    fn expand(body: &mut Body, violations: &mut Violations) {
        let url = body.fields.remove("url").filter(|url| !url.is_null());
        match url.as_ref().map(Value::as_str) {
            None => {}
            Some(None) => violations.field("url", "expected a string"),
            Some(Some("")) => violations.field("url", "length must be at least 1"),
            // As in Kong, a text without a scheme is a path.
            Some(Some(url)) if !url.contains("://") => {
                body.fields.insert("path".into(), json!(url));
            }
            Some(Some(url)) => match split_url(url) {
                Some(parts) => body.fields.extend(parts),
                None => violations.field("url", "expected <protocol>://<host>[:<port>][/<path>]"),
            },
        }
    }

    fn read(fields: &mut Fields, identity: Identity) -> Model {
        let tags = fields.set("tags");
        validate_tags(tags.as_deref().unwrap_or_default(), fields.violations());
        Model {
            id: identity.id,
            name: fields.string("name"),
            protocol: fields
                .one_of("protocol", &Protocol::ALL.map(Protocol::as_str))
                .unwrap_or_else(|| "http".into()),
            host: fields.required_string("host").unwrap_or_default(),
            port: fields.integer("port", 0..=65_535).unwrap_or(80),
            path: fields.string("path"),
            retries: fields.integer("retries", 0..=32_767).unwrap_or(5),
            connect_timeout: fields.integer("connect_timeout", TIMEOUTS).unwrap_or(TIMEOUT),
            write_timeout: fields.integer("write_timeout", TIMEOUTS).unwrap_or(TIMEOUT),
            read_timeout: fields.integer("read_timeout", TIMEOUTS).unwrap_or(TIMEOUT),
            tags: tags.map(|tags| json!(tags)),
            client_certificate: fields.reference("client_certificate"),
            tls_verify: fields.boolean("tls_verify"),
            tls_verify_depth: fields.integer("tls_verify_depth", 0..=64),
            ca_certificates: fields.uuids("ca_certificates").map(|ids| json!(ids)),
            enabled: fields.boolean("enabled").unwrap_or(true),
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }

    fn check(row: &Model) -> Result<(), Violations> {
        published::service(row).validate_write()
    }

    fn view(row: &Model) -> Value {
        json!({
            "id": row.id,
            "name": row.name,
            "protocol": row.protocol,
            "host": row.host,
            "port": row.port,
            "path": row.path,
            "retries": row.retries,
            "connect_timeout": row.connect_timeout,
            "write_timeout": row.write_timeout,
            "read_timeout": row.read_timeout,
            "tags": row.tags,
            "client_certificate": row.client_certificate.map(|id| json!({ "id": id })),
            "tls_verify": row.tls_verify,
            "tls_verify_depth": row.tls_verify_depth,
            "ca_certificates": row.ca_certificates,
            "enabled": row.enabled,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        })
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
    use super::*;

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
