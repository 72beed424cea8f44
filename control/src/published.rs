//! Converts rows to the entities of the wire; no other module knows both.

use model::{CaCertificate, Certificate, PathHandling, PrivateKey, Protocol, Route, Service, Sni};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Converts a service.
pub fn service(row: &entity::service::Model) -> Service {
    Service {
        id: row.id,
        name: row.name.clone(),
        protocol: row.protocol.parse().unwrap_or(Protocol::Http),
        host: row.host.clone(),
        port: clamp(row.port),
        path: row.path.clone(),
        retries: clamp(row.retries),
        connect_timeout: clamp(row.connect_timeout),
        write_timeout: clamp(row.write_timeout),
        read_timeout: clamp(row.read_timeout),
        tls_verify: row.tls_verify,
        tls_verify_depth: row.tls_verify_depth.map(clamp),
        ca_certificates: list(row.ca_certificates.as_ref()),
        client_certificate: row.client_certificate,
        enabled: row.enabled,
    }
}

/// Converts a route.
pub fn route(row: &entity::route::Model) -> Route {
    Route {
        id: row.id,
        name: row.name.clone(),
        service: row.service_id,
        protocols: list(Some(&row.protocols)).unwrap_or_default(),
        methods: list(row.methods.as_ref()),
        hosts: list(row.hosts.as_ref()),
        paths: list(row.paths.as_ref()),
        headers: list(row.headers.as_ref()),
        snis: list(row.snis.as_ref()),
        sources: list(row.sources.as_ref()),
        destinations: list(row.destinations.as_ref()),
        https_redirect_status_code: clamp(row.https_redirect_status_code),
        regex_priority: row.regex_priority,
        strip_path: row.strip_path,
        path_handling: if row.path_handling == "v1" { PathHandling::V1 } else { PathHandling::V0 },
        preserve_host: row.preserve_host,
        request_buffering: row.request_buffering,
        response_buffering: row.response_buffering,
        created_at: row.created_at,
    }
}

/// Converts a certificate.
pub fn certificate(row: &entity::certificate::Model) -> Certificate {
    Certificate {
        id: row.id,
        cert: row.cert.clone(),
        key: PrivateKey::from(row.key.expose()),
        cert_alt: row.cert_alt.clone(),
        key_alt: row.key_alt.as_ref().map(|key| PrivateKey::from(key.expose())),
    }
}

/// Converts a server name.
pub fn sni(row: &entity::sni::Model) -> Sni {
    Sni { id: row.id, name: row.name.clone(), certificate: row.certificate_id }
}

/// Converts a CA certificate.
pub fn ca_certificate(row: &entity::ca_certificate::Model) -> CaCertificate {
    CaCertificate { id: row.id, cert: row.cert.clone() }
}

/// Returns the canonical bytes of a service.
pub fn service_bytes(row: &entity::service::Model) -> Vec<u8> {
    bytes(&service(row))
}

/// Returns the canonical bytes of a route.
pub fn route_bytes(row: &entity::route::Model) -> Vec<u8> {
    bytes(&route(row))
}

/// Returns the canonical bytes of a certificate.
pub fn certificate_bytes(row: &entity::certificate::Model) -> Vec<u8> {
    bytes(&certificate(row))
}

/// Returns the canonical bytes of a server name.
pub fn sni_bytes(row: &entity::sni::Model) -> Vec<u8> {
    bytes(&sni(row))
}

/// Returns the canonical bytes of a CA certificate.
pub fn ca_certificate_bytes(row: &entity::ca_certificate::Model) -> Vec<u8> {
    bytes(&ca_certificate(row))
}

fn bytes(entity: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(entity).expect("entities have string keys and no failing serialiser")
}

/// Clamps a value to its type. Values that passed the Admin API are in range and of the right type. Other
/// programs may write other values to the database: they are published as the nearest valid ones, and the
/// data plane decides.
fn clamp<T: TryFrom<N> + Bounded, N: Copy + Default + PartialOrd>(value: N) -> T {
    T::try_from(value).unwrap_or(if value < N::default() { T::LEAST } else { T::GREATEST })
}

fn list<T: DeserializeOwned>(column: Option<&Value>) -> Option<T> {
    column.and_then(|value| serde_json::from_value(value.clone()).ok())
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
