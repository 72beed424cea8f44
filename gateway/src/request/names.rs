//! The names of the fields that are set on every request and response.

use pingora::http::KnownName;

/// What the request and its answer came through (RFC 9110, section 7.6.3).
pub static VIA: KnownName = KnownName::new("Via", "via");
/// The id that the log has.
pub static REQUEST_ID: KnownName = KnownName::new("X-Kong-Request-Id", "x-kong-request-id");
/// What the gateway took, in milliseconds.
pub static PROXY_LATENCY: KnownName = KnownName::new("X-Kong-Proxy-Latency", "x-kong-proxy-latency");
/// What the upstream took, in milliseconds.
pub static UPSTREAM_LATENCY: KnownName = KnownName::new("X-Kong-Upstream-Latency", "x-kong-upstream-latency");

/// What concerns one connection only.
pub static CONNECTION: KnownName = KnownName::new("Connection", "connection");

pub(super) static FORWARDED_FOR: KnownName = KnownName::new("X-Forwarded-For", "x-forwarded-for");
pub(super) static FORWARDED_HOST: KnownName = KnownName::new("X-Forwarded-Host", "x-forwarded-host");
pub(super) static FORWARDED_PATH: KnownName = KnownName::new("X-Forwarded-Path", "x-forwarded-path");
pub(super) static FORWARDED_PORT: KnownName = KnownName::new("X-Forwarded-Port", "x-forwarded-port");
pub(super) static FORWARDED_PREFIX: KnownName = KnownName::new("X-Forwarded-Prefix", "x-forwarded-prefix");
pub(super) static FORWARDED_PROTO: KnownName = KnownName::new("X-Forwarded-Proto", "x-forwarded-proto");
pub(super) static REAL_IP: KnownName = KnownName::new("X-Real-IP", "x-real-ip");
