//! Names of the fields that are set on every request and response.

use pingora::http::KnownName;

/// The proxies that the message passed (RFC 9110, section 7.6.3).
pub static VIA: KnownName = KnownName::new("Via", "via");
/// The request id, as in the log.
pub static REQUEST_ID: KnownName = KnownName::new("X-Kong-Request-Id", "x-kong-request-id");
/// The time of the gateway, in milliseconds.
pub static PROXY_LATENCY: KnownName = KnownName::new("X-Kong-Proxy-Latency", "x-kong-proxy-latency");
/// The time of the upstream, in milliseconds.
pub static UPSTREAM_LATENCY: KnownName = KnownName::new("X-Kong-Upstream-Latency", "x-kong-upstream-latency");

/// Options of one connection only.
pub static CONNECTION: KnownName = KnownName::new("Connection", "connection");

pub(super) static FORWARDED_FOR: KnownName = KnownName::new("X-Forwarded-For", "x-forwarded-for");
pub(super) static FORWARDED_HOST: KnownName = KnownName::new("X-Forwarded-Host", "x-forwarded-host");
pub(super) static FORWARDED_PATH: KnownName = KnownName::new("X-Forwarded-Path", "x-forwarded-path");
pub(super) static FORWARDED_PORT: KnownName = KnownName::new("X-Forwarded-Port", "x-forwarded-port");
pub(super) static FORWARDED_PREFIX: KnownName = KnownName::new("X-Forwarded-Prefix", "x-forwarded-prefix");
pub(super) static FORWARDED_PROTO: KnownName = KnownName::new("X-Forwarded-Proto", "x-forwarded-proto");
pub(super) static REAL_IP: KnownName = KnownName::new("X-Real-IP", "x-real-ip");
