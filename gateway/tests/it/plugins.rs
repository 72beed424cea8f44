//! Plugins over real sockets: what each does with requests, and what the upstream receives.
//!
//! Configurations are written as the Admin API takes them, and go the way of its bodies.

mod auth;
mod bot_detection;
mod chain;
mod correlation_id;
mod cors;
mod ip_restriction;
mod limiting;
mod logs;
mod prometheus;
mod protocols;
mod proxy_cache;
mod redirect;
mod request_termination;
mod request_transformer;
mod response_transformer;
mod traces;

use gateway::table::Change;
use model::{AnyEntity, Common, Input, KeyAuthCredential, Violations, kind};
use serde_json::{Value, json};
use testkit::http::{Request, Response};
use testkit::origin::{Origin, Received};
use uuid::Uuid;
use wire::Kind;

use crate::support::{Gateway, route, service};

/// A gateway with one service, one route `/` and plugins, before an origin that echoes.
pub(crate) struct Plugged {
    pub(crate) gateway: Gateway,
    pub(crate) origin: Origin,
}

impl Plugged {
    /// Starts it with these plugins, each with the fields of an Admin API's body.
    pub(crate) fn start(plugins: &[Value]) -> Self {
        Self::with(&[], plugins)
    }

    /// Starts the same with these keys of the gateway's configuration set.
    pub(crate) fn with(keys: &[(&str, &str)], plugins: &[Value]) -> Self {
        let (gateway, origin) = (Gateway::with(keys), Origin::start());
        gateway.apply(vec![]);
        gateway.serve(service(1, &origin), route(1, "/"));
        let plugged = Self { gateway, origin };
        plugged.put_plugins(plugins);
        plugged
    }

    /// Puts plugins with the ids 1, 2, 3 … in place of those that there were.
    pub(crate) fn put_plugins(&self, plugins: &[Value]) {
        self.put((1..).zip(plugins).map(|(id, body)| entity(kind::PLUGIN, plugin_id(id), body)));
    }

    /// Removes a plugin.
    pub(crate) fn remove_plugin(&self, id: u128) {
        self.gateway.apply(vec![Change::remove(wire::Key { kind: kind::PLUGIN, id: plugin_id(id) })]);
    }

    /// Puts entities.
    pub(crate) fn put(&self, entities: impl IntoIterator<Item = AnyEntity>) {
        self.gateway.apply(entities.into_iter().map(Change::put).collect());
    }

    /// Puts a consumer, whose name is `c` and its number.
    pub(crate) fn put_consumer(&self, number: u128) {
        let body = json!({ "username": format!("c{number}"), "custom_id": format!("custom-{number}") });
        self.put([entity(kind::CONSUMER, consumer_id(number), &body)]);
    }

    /// Puts API keys of consumers, by their numbers.
    pub(crate) fn put_keys(&self, keys: &[(u128, &str)]) {
        let hash_key = model::HashKey::of_bytes(&[7; 32]);
        let hasher = model::KeyHasher::new(&hash_key).unwrap();
        self.put([hash_key.into()]);
        self.put(keys.iter().map(|(number, key)| {
            let (id, consumer) = (key_id(*number), consumer_id(*number));
            KeyAuthCredential { id, consumer, ..KeyAuthCredential::of_key(&hasher, key.as_bytes()) }.into()
        }));
    }

    pub(crate) async fn send(&self, request: &Request) -> Response {
        self.gateway.client.send(request).await.unwrap()
    }

    pub(crate) async fn get(&self, target: &str) -> Response {
        self.gateway.get(target).await
    }

    /// What the origin has received since the last call; nothing if the gateway answered by itself.
    pub(crate) fn received(&self) -> Vec<Received> {
        let received = self.origin.requests();
        self.origin.forget();
        received
    }
}

/// The body of a plugin for all requests.
pub(crate) fn plugin(name: &str, config: Value) -> Value {
    json!({ "name": name, "config": config })
}

/// The id of the plugin with this number.
pub(crate) fn plugin_id(number: u128) -> Uuid {
    Uuid::from_u128(0x1700 + number)
}

/// The id of the consumer with this number.
pub(crate) fn consumer_id(number: u128) -> Uuid {
    Uuid::from_u128(0x1100 + number)
}

/// The id of the API key of the consumer with this number.
pub(crate) fn key_id(number: u128) -> Uuid {
    Uuid::from_u128(0x1200 + number)
}

/// The entity that a body of the Admin API describes.
///
/// # Panics
/// When the body breaks a rule.
#[track_caller]
pub(crate) fn entity(kind: Kind, id: Uuid, body: &Value) -> AnyEntity {
    let described = model::described(kind).unwrap();
    let Value::Object(fields) = body.clone() else { panic!("a body is an object: {body}") };
    let (mut input, mut violations) = (Input { fields, form: false }, Violations::default());
    described.imply(None, &mut input, &mut violations);
    described.expand(&mut input.fields, &mut violations);
    let common = Common { id, created_at: 1, updated_at: 1, tags: None };
    let content = described.read(input, &common, violations);
    let content = content.unwrap_or_else(|violations| panic!("{body}: {violations}"));
    described.parse(id, &content.bytes).unwrap_or_else(|error| panic!("{body}: {error:?}"))
}
