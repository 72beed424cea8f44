//! Routes with and without plugins, and the consumers that ask for them.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// The routes without and with plugins.
pub(crate) const ROUTES: [&str; 2] = ["plain", "guarded"];
pub(crate) const CONSUMERS: usize = 100_000;

/// The path of a route.
pub(crate) fn path(route: &str) -> String {
    format!("/{route}")
}

/// The API key of a consumer.
pub(crate) fn key(number: usize) -> String {
    format!("key-of-a-consumer-{number:014}")
}

/// A document with both routes to `origin`, and all consumers.
pub(crate) fn configuration(origin: SocketAddr) -> Value {
    let limit = json!({ "name": "rate-limiting", "config": { "hour": 1_000_000_000 } });
    let plugins = [json!([]), json!([{ "name": "key-auth" }, limit])];
    let routes = ROUTES
        .into_iter()
        .zip(plugins)
        .map(|(name, plugins)| json!({ "name": name, "paths": [path(name)], "plugins": plugins }));
    let consumers = (0..CONSUMERS).map(|number| {
        json!({ "username": format!("consumer-{number:06}"), "keyauth_credentials": [{ "key": key(number) }] })
    });
    let service = json!({
        "name": "bulk", "url": format!("http://{origin}"), "routes": routes.collect::<Value>(),
    });
    json!({ "_format_version": "3.0", "services": [service], "consumers": consumers.collect::<Value>() })
}
