//! The five tables as they were, and the canonical bytes that their rows were published in. Frozen: it does
//! not follow the code.

use std::collections::BTreeMap;

use sea_orm_migration::prelude::DbErr;
use sea_orm_migration::sea_orm::QueryResult;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// One of the tables.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The number of the kind.
    pub(super) kind: i16,
    pub(super) read: fn(&QueryResult) -> Result<Moved, DbErr>,
}

/// What a row becomes.
pub(super) struct Moved {
    pub(super) body: String,
    /// Field and value.
    pub(super) unique: Vec<(&'static str, String)>,
    /// Field, kind and id.
    pub(super) references: Vec<(&'static str, i16, Uuid)>,
}

const SERVICE: i16 = 1;
const ROUTE: i16 = 2;
const CERTIFICATE: i16 = 3;
const SNI: i16 = 4;
const CA_CERTIFICATE: i16 = 5;

/// Each after those whose rows it names.
pub(super) const TABLES: &[Table] = &[
    Table { name: "certificate", kind: CERTIFICATE, read: certificate },
    Table { name: "ca_certificate", kind: CA_CERTIFICATE, read: ca_certificate },
    Table { name: "service", kind: SERVICE, read: service },
    Table { name: "route", kind: ROUTE, read: route },
    Table { name: "sni", kind: SNI, read: sni },
];

/// The fields of a service that are not at their default.
#[derive(Serialize)]
struct Service {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_verify: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_verify_depth: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_certificates: Option<Vec<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

/// The fields of a route that are not at their default.
#[derive(Serialize)]
struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocols: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snis: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<Vec<Endpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destinations: Option<Vec<Endpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    https_redirect_status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex_priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_path: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_handling: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preserve_host: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_buffering: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_buffering: Option<bool>,
    created_at: i64,
}

#[derive(Serialize, Deserialize)]
struct Endpoint {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Serialize)]
struct Certificate {
    cert: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_alt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_alt: Option<String>,
}

#[derive(Serialize)]
struct Sni {
    name: String,
    certificate: Uuid,
}

#[derive(Serialize)]
struct CaCertificate {
    cert: String,
}

fn service(row: &QueryResult) -> Result<Moved, DbErr> {
    let name: Option<String> = row.try_get("", "name")?;
    let protocol: String = row.try_get("", "protocol")?;
    let client_certificate: Option<Uuid> = row.try_get("", "client_certificate")?;
    let ca_certificates: Option<Vec<Uuid>> = list(row, "ca_certificates")?;
    let depth: Option<i32> = row.try_get("", "tls_verify_depth")?;
    let service = Service {
        name: name.clone(),
        protocol: Some(protocol)
            .filter(|protocol| protocol != "http" && PROTOCOLS.contains(&protocol.as_str())),
        host: row.try_get("", "host")?,
        port: other(clamped(row.try_get::<i32>("", "port")?), 80),
        path: row.try_get("", "path")?,
        retries: other(clamped(row.try_get::<i32>("", "retries")?), 5),
        connect_timeout: other(clamped(row.try_get::<i64>("", "connect_timeout")?), 60_000),
        write_timeout: other(clamped(row.try_get::<i64>("", "write_timeout")?), 60_000),
        read_timeout: other(clamped(row.try_get::<i64>("", "read_timeout")?), 60_000),
        tls_verify: row.try_get("", "tls_verify")?,
        tls_verify_depth: depth.map(clamped),
        ca_certificates: ca_certificates.clone(),
        client_certificate,
        enabled: other(row.try_get("", "enabled")?, true),
    };
    let mut named: Vec<Uuid> = ca_certificates.unwrap_or_default();
    named.sort_unstable();
    named.dedup();
    let mut references: Vec<_> =
        named.into_iter().map(|id| ("ca_certificates", CA_CERTIFICATE, id)).collect();
    references.extend(client_certificate.map(|id| ("client_certificate", CERTIFICATE, id)));
    moved(&service, named_by("name", name), references)
}

fn route(row: &QueryResult) -> Result<Moved, DbErr> {
    let name: Option<String> = row.try_get("", "name")?;
    let service: Option<Uuid> = row.try_get("", "service_id")?;
    let protocols: Vec<String> = list(row, "protocols")?.unwrap_or_default();
    let known = protocols.iter().all(|protocol| PROTOCOLS.contains(&protocol.as_str()));
    let protocols = if known { protocols } else { Vec::new() };
    let path_handling: String = row.try_get("", "path_handling")?;
    let route = Route {
        name: name.clone(),
        service,
        protocols: Some(protocols).filter(|protocols| protocols[..] != ["http", "https"]),
        methods: list(row, "methods")?,
        hosts: list(row, "hosts")?,
        paths: list(row, "paths")?,
        headers: list(row, "headers")?,
        snis: list(row, "snis")?,
        sources: list(row, "sources")?,
        destinations: list(row, "destinations")?,
        https_redirect_status_code: other(
            clamped(row.try_get::<i32>("", "https_redirect_status_code")?),
            426,
        ),
        regex_priority: other(row.try_get("", "regex_priority")?, 0),
        strip_path: other(row.try_get("", "strip_path")?, true),
        path_handling: (path_handling == "v1").then_some("v1"),
        preserve_host: other(row.try_get("", "preserve_host")?, false),
        request_buffering: other(row.try_get("", "request_buffering")?, true),
        response_buffering: other(row.try_get("", "response_buffering")?, true),
        created_at: row.try_get("", "created_at")?,
    };
    let references = service.map(|id| ("service", SERVICE, id)).into_iter().collect();
    moved(&route, named_by("name", name), references)
}

fn certificate(row: &QueryResult) -> Result<Moved, DbErr> {
    let certificate = Certificate {
        cert: row.try_get("", "cert")?,
        key: row.try_get("", "key")?,
        cert_alt: row.try_get("", "cert_alt")?,
        key_alt: row.try_get("", "key_alt")?,
    };
    moved(&certificate, Vec::new(), Vec::new())
}

fn sni(row: &QueryResult) -> Result<Moved, DbErr> {
    let name: String = row.try_get("", "name")?;
    let certificate: Uuid = row.try_get("", "certificate_id")?;
    let references = vec![("certificate", CERTIFICATE, certificate)];
    moved(&Sni { name: name.clone(), certificate }, named_by("name", Some(name)), references)
}

fn ca_certificate(row: &QueryResult) -> Result<Moved, DbErr> {
    let digest: String = row.try_get("", "cert_digest")?;
    let certificate = CaCertificate { cert: row.try_get("", "cert")? };
    moved(&certificate, named_by("cert_digest", Some(digest)), Vec::new())
}

/// A column with a list of texts.
pub(super) fn texts(row: &QueryResult, column: &str) -> Result<Option<Vec<String>>, DbErr> {
    list(row, column)
}

const PROTOCOLS: &[&str] = &["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"];

fn moved(
    entity: &impl Serialize,
    unique: Vec<(&'static str, String)>,
    references: Vec<(&'static str, i16, Uuid)>,
) -> Result<Moved, DbErr> {
    let body = serde_json::to_string(entity).map_err(|error| DbErr::Json(error.to_string()))?;
    Ok(Moved { body, unique, references })
}

fn named_by(field: &'static str, value: Option<String>) -> Vec<(&'static str, String)> {
    value.map(|value| (field, value)).into_iter().collect()
}

/// A column of JSON; a value of another shape counts as none.
fn list<T: DeserializeOwned>(row: &QueryResult, column: &str) -> Result<Option<T>, DbErr> {
    let value: Option<Value> = row.try_get("", column)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// The value, unless it is the default.
fn other<T: PartialEq>(value: T, default: T) -> Option<T> {
    (value != default).then_some(value)
}

/// The nearest value of the type: other programs may have written any.
fn clamped<T: TryFrom<i64> + Bounded>(value: impl Into<i64>) -> T {
    let value = value.into();
    T::try_from(value).unwrap_or(if value < 0 { T::LEAST } else { T::GREATEST })
}

trait Bounded {
    const LEAST: Self;
    const GREATEST: Self;
}

macro_rules! bounded {
    ($($integer:ty),*) => {
        $(impl Bounded for $integer {
            const LEAST: Self = <$integer>::MIN;
            const GREATEST: Self = <$integer>::MAX;
        })*
    };
}

bounded!(u8, u16, u32);
