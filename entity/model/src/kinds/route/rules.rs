//! The rules of a route that do not involve other entities.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Route;
use crate::bounds;
use crate::check::{path, text};
use crate::protocol::{Protocol, quoted};
use crate::schema;
use crate::violations::{FieldErrors, Violations};
use Protocol::{Grpc, Grpcs, Http, Https, Tcp, Tls, TlsPassthrough, Udp};

const HTTP: &[Protocol] = &[Http, Https];
const GRPC: &[Protocol] = &[Grpc, Grpcs];
const STREAM: &[Protocol] = &[Tcp, Tls, Udp];
const PASSTHROUGH: &[Protocol] = &[TlsPassthrough];
/// Protocols that begin with a TLS handshake, and so have a server name.
const WITH_SNI: &[Protocol] = &[Grpcs, Https, Tls, TlsPassthrough];

impl Route {
    pub(super) fn check_fields(&self, violations: &mut Violations) {
        if let Some(headers) = &self.headers {
            check_headers(headers, violations);
        }
        if let Err(message) = self.check_places(bounds::HELD_PLACES) {
            violations.field("paths", message);
        }
    }

    /// Whether all protocols are of one family, so that the rules of that family apply.
    pub(super) fn check_protocols(&self, violations: &mut Violations) -> bool {
        if self.protocols.is_empty() {
            violations.field("protocols", "length must be at least 1");
            return false;
        }
        let has = |family: &&&[Protocol]| family.iter().any(|protocol| self.protocols.contains(protocol));
        let families: Vec<_> = [HTTP, STREAM, PASSTHROUGH, GRPC].iter().filter(has).copied().collect();
        if families.len() > 1 {
            let families: Vec<String> = families.into_iter().map(named).collect();
            let message = format!("these sets are mutually exclusive: {}", families.join(", "));
            violations.field("protocols", message);
            return false;
        }
        true
    }

    /// Rejects a route without criteria: it would match every request.
    pub(super) fn check_needed(&self, violations: &mut Violations) {
        const NEEDS: &[(Protocol, &[&str], &str)] = &[
            (Https, &["methods", "hosts", "headers", "paths", "snis"], "'https'"),
            (Http, &["methods", "hosts", "headers", "paths"], "'http'"),
            (Grpcs, &["hosts", "headers", "paths", "snis"], "'grpcs'"),
            (Grpc, &["hosts", "headers", "paths"], "'grpc'"),
            (Tcp, &["sources", "destinations", "snis"], "'tcp', 'tls' or 'udp'"),
            (Tls, &["sources", "destinations", "snis"], "'tcp', 'tls' or 'udp'"),
            (Udp, &["sources", "destinations", "snis"], "'tcp', 'tls' or 'udp'"),
            (TlsPassthrough, &["snis"], "'tls_passthrough'"),
        ];
        let Some((_, needed, given)) = NEEDS.iter().find(|(protocol, ..)| self.protocols.contains(protocol))
        else {
            return;
        };
        if needed.iter().any(|name| self.asks_for(name)) {
            return;
        }
        match needed {
            [only] => violations.entity(format!("must set '{only}' when 'protocols' is {given}")),
            _ => {
                let names: Vec<String> = needed.iter().map(|name| format!("'{name}'")).collect();
                let names = names.join(", ");
                violations.entity(format!("must set one of {names} when 'protocols' is {given}"));
            }
        }
    }

    pub(super) fn check_forbidden(&self, violations: &mut Violations) {
        const STREAMS: &[Protocol] = &[Tcp, Tls, TlsPassthrough, Udp];
        const FORBIDDEN: &[(&[Protocol], &[&str])] = &[
            (HTTP, &["sources", "destinations"]),
            (GRPC, &["methods", "sources", "destinations", "strip_path"]),
            (STREAMS, &["methods", "hosts", "headers", "paths"]),
            (PASSTHROUGH, &["sources", "destinations"]),
        ];
        for (family, names) in FORBIDDEN {
            if !family.iter().any(|protocol| self.protocols.contains(protocol)) {
                continue;
            }
            for name in names.iter().filter(|name| self.asks_for(name)) {
                let message = format!("cannot set '{name}' when 'protocols' is {}", quoted(family));
                violations.field(name, message);
            }
        }
        if self.asks_for("snis") && !self.protocols.iter().any(|protocol| WITH_SNI.contains(protocol)) {
            violations.entity(needs_a_handshake());
            violations.field("snis", "length must be 0");
        }
    }

    /// The rules that concern all protocols, in the words of a schema.
    pub(super) fn described_rules() -> Vec<Value> {
        let others = json!({ "type": "string", "not_one_of": WITH_SNI });
        let mut snis =
            schema::conditional("protocols", &json!({ "elements": others }), "snis", &json!({ "len_eq": 0 }));
        snis["conditional"]["then_err"] = needs_a_handshake().into();
        vec![snis]
    }

    /// Checks the names of headers by the rule for new writes.
    pub(super) fn check_written_headers(&self, violations: &mut Violations) {
        let mut names = self.headers.iter().flat_map(|headers| headers.keys());
        if let Some(message) = names.find_map(|name| text::written_header_name(name).err()) {
            violations.field("headers", message);
        }
    }

    /// Checks the regular expressions of paths by the rules for what is written now.
    pub(super) fn check_written_paths(&self, violations: &mut Violations) {
        if violations.fields.contains_key("paths") {
            return;
        }
        for (index, path) in self.paths.iter().flatten().enumerate() {
            if let Err(message) = path::written_route_path(path) {
                violations.element("paths", index, message);
            }
        }
    }

    /// Whether the field is set to something; an empty list asks for nothing.
    fn asks_for(&self, name: &str) -> bool {
        fn some<T>(list: Option<&Vec<T>>) -> bool {
            list.is_some_and(|list| !list.is_empty())
        }
        match name {
            "methods" => some(self.methods.as_ref()),
            "hosts" => some(self.hosts.as_ref()),
            "paths" => some(self.paths.as_ref()),
            "snis" => some(self.snis.as_ref()),
            "sources" => some(self.sources.as_ref()),
            "destinations" => some(self.destinations.as_ref()),
            "headers" => self.headers.as_ref().is_some_and(|headers| !headers.is_empty()),
            "strip_path" => self.strip_path,
            _ => false,
        }
    }
}

fn needs_a_handshake() -> String {
    format!("'snis' can only be set when 'protocols' is {}", quoted(WITH_SNI))
}

/// `('http', 'https')`.
fn named(family: &[Protocol]) -> String {
    let names: Vec<String> = family.iter().map(|protocol| format!("'{protocol}'")).collect();
    format!("({})", names.join(", "))
}

fn check_headers(headers: &BTreeMap<String, Vec<String>>, violations: &mut Violations) {
    if let Some(message) = headers.keys().find_map(|name| text::header_name(name).err()) {
        return violations.field("headers", message);
    }
    let mut broken = BTreeMap::new();
    for (name, values) in headers {
        let bad: BTreeMap<usize, FieldErrors> = (values.iter().enumerate())
            .filter_map(|(index, value)| {
                text::header_value(value).err().map(|message| (index, message.into()))
            })
            .collect();
        if !bad.is_empty() {
            broken.insert(name.clone(), FieldErrors::Elements(bad));
        }
    }
    if !broken.is_empty() {
        violations.fields.insert("headers".into(), FieldErrors::Nested(broken));
    }
}

#[cfg(test)]
mod tests;
