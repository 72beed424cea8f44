//! Names of the fields that the gateway sets, and the values that name the program.

use http::HeaderName;

/// A name as it is written in HTTP/1, and in lower case.
#[derive(Debug)]
pub struct Name {
    /// As it is written in HTTP/1.
    pub written: &'static str,
    /// In lower case, for HTTP/2 and look-ups.
    pub lower: HeaderName,
}

const fn name(written: &'static str, lower: &'static str) -> Name {
    Name { written, lower: HeaderName::from_static(lower) }
}

/// Value of `Via` in requests and responses.
pub const VIA_VALUE: &str = concat!("1.1 gibbon/", env!("CARGO_PKG_VERSION"));
/// Value of `Server` in the gateway's own answers.
pub const SERVER_VALUE: &str = concat!("gibbon/", env!("CARGO_PKG_VERSION"));

/// The proxies that the message passed (RFC 9110, section 7.6.3).
pub static VIA: Name = name("Via", "via");
/// The request id, as in the log.
pub static REQUEST_ID: Name = name("X-Kong-Request-Id", "x-kong-request-id");
/// The time of the gateway, in milliseconds.
pub static PROXY_LATENCY: Name = name("X-Kong-Proxy-Latency", "x-kong-proxy-latency");
/// The time of the upstream, in milliseconds.
pub static UPSTREAM_LATENCY: Name = name("X-Kong-Upstream-Latency", "x-kong-upstream-latency");
/// The time of the gateway for an answer of its own, in milliseconds.
pub static RESPONSE_LATENCY: Name = name("X-Kong-Response-Latency", "x-kong-response-latency");

/// How old the answer of a cache is, in seconds.
pub static AGE: Name = name("Age", "age");
/// The key of the answer in the cache.
pub static CACHE_KEY: Name = name("X-Cache-Key", "x-cache-key");
/// What the cache has done.
pub static CACHE_STATUS: Name = name("X-Cache-Status", "x-cache-status");
/// The methods that are allowed.
pub static ALLOW: Name = name("Allow", "allow");
/// The length of the body.
pub static CONTENT_LENGTH: Name = name("Content-Length", "content-length");
/// The media type of the body.
pub static CONTENT_TYPE: Name = name("Content-Type", "content-type");
/// When the answer was made.
pub static DATE: Name = name("Date", "date");
/// The outcome of gRPC.
pub static GRPC_MESSAGE: Name = name("Grpc-Message", "grpc-message");
/// The code of gRPC.
pub static GRPC_STATUS: Name = name("Grpc-Status", "grpc-status");
/// Where else to ask.
pub static LOCATION: Name = name("Location", "location");
/// How long an answer may be kept.
pub static CACHE_CONTROL: Name = name("Cache-Control", "cache-control");
/// When to ask again.
pub static RETRY_AFTER: Name = name("Retry-After", "retry-after");
/// A cookie for the client.
pub static SET_COOKIE: Name = name("Set-Cookie", "set-cookie");
/// How a client may authenticate.
pub static WWW_AUTHENTICATE: Name = name("WWW-Authenticate", "www-authenticate");
/// The program that answered.
pub static SERVER: Name = name("Server", "server");
/// That the client takes trailers.
pub static TE: Name = name("TE", "te");
/// The protocol that is offered.
pub static UPGRADE: Name = name("Upgrade", "upgrade");

/// The addresses of the client and of the proxies on the way.
pub static FORWARDED_FOR: Name = name("X-Forwarded-For", "x-forwarded-for");
/// The host that the client asked for.
pub static FORWARDED_HOST: Name = name("X-Forwarded-Host", "x-forwarded-host");
/// The path that the client asked for.
pub static FORWARDED_PATH: Name = name("X-Forwarded-Path", "x-forwarded-path");
/// The port that the client asked.
pub static FORWARDED_PORT: Name = name("X-Forwarded-Port", "x-forwarded-port");
/// The part of the path that the route strips.
pub static FORWARDED_PREFIX: Name = name("X-Forwarded-Prefix", "x-forwarded-prefix");
/// The scheme that the client used.
pub static FORWARDED_PROTO: Name = name("X-Forwarded-Proto", "x-forwarded-proto");
/// The client's address.
pub static REAL_IP: Name = name("X-Real-IP", "x-real-ip");

/// The id of the consumer.
pub static CONSUMER_ID: Name = name("X-Consumer-ID", "x-consumer-id");
/// The consumer's id in a system of the operator's.
pub static CONSUMER_CUSTOM_ID: Name = name("X-Consumer-Custom-ID", "x-consumer-custom-id");
/// The consumer's name.
pub static CONSUMER_USERNAME: Name = name("X-Consumer-Username", "x-consumer-username");
/// The groups of the consumer.
pub static CONSUMER_GROUPS: Name = name("X-Consumer-Groups", "x-consumer-groups");
/// The groups that an authentication gave the request.
pub static AUTHENTICATED_GROUPS: Name = name("X-Authenticated-Groups", "x-authenticated-groups");
/// The name of the credential.
pub static CREDENTIAL_IDENTIFIER: Name = name("X-Credential-Identifier", "x-credential-identifier");
/// That the consumer is the one for requests without a credential.
pub static ANONYMOUS_CONSUMER: Name = name("X-Anonymous-Consumer", "x-anonymous-consumer");
