//! Authentication: which requests pass, what the others are answered, and what the upstream learns.

mod acl;
mod basic_auth;
mod combined;
mod forward_auth;
mod hmac_auth;
mod jwt;
mod key_auth;
mod key_set;
mod protocols;

use std::time::{SystemTime, UNIX_EPOCH};

use model::{HashKey, KeyAuthCredential, KeyHasher, kind};
use serde_json::{Value, json};
use testkit::http::{Request, Response};
use uuid::Uuid;
use wire::Kind;

use super::{Plugged, consumer_id, entity};

/// A request and what becomes of it. Without a message it reaches the upstream.
struct Case {
    request: Request,
    status: u16,
    message: &'static str,
    /// The field WWW-Authenticate.
    challenge: Option<&'static str>,
}

/// A request that reaches the upstream.
fn passes(request: Request) -> Case {
    Case { request, status: 200, message: "", challenge: None }
}

/// A request that is answered 401.
fn refused(request: Request, message: &'static str, challenge: &'static str) -> Case {
    Case { request, status: 401, message, challenge: Some(challenge) }
}

impl Case {
    /// Sends it, and returns the answer after its checks.
    async fn run(&self, plugged: &Plugged) -> Response {
        plugged.origin.forget();
        let response = plugged.send(&self.request).await;
        let about = format!("{:?}: {response:?}", self.request);
        assert_eq!(response.status, self.status, "{about}");
        assert_eq!(response.header("www-authenticate"), self.challenge, "{about}");
        let received = plugged.received();
        if self.message.is_empty() {
            assert_eq!(received.len(), 1, "{about}");
        } else {
            assert_eq!(response.json()["message"], self.message, "{about}");
            assert!(received.is_empty(), "{about}");
        }
        response
    }
}

/// A GET of `/` with these fields.
fn get(target: &str, fields: &[(&str, &str)]) -> Request {
    with(Request::new("GET", target), fields)
}

fn with(request: Request, fields: &[(&str, &str)]) -> Request {
    fields.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// The id of the credential with this number.
fn credential_id(number: u128) -> Uuid {
    Uuid::from_u128(0x1200 + number)
}

/// Gives the consumer with this number a credential with the same number.
fn put_credential(plugged: &Plugged, kind: Kind, number: u128, body: &Value) {
    let mut body = body.clone();
    body["consumer"] = json!({ "id": consumer_id(number) });
    plugged.put([entity(kind, credential_id(number), &body)]);
}

/// Gives the consumer with this number an API key, which expires at a time in seconds since 1970.
fn put_key(plugged: &Plugged, number: u128, key: &str, expires_at: Option<i64>) {
    let hash_key = HashKey::of_bytes(&[7; 32]);
    let hasher = KeyHasher::new(&hash_key).unwrap();
    let credential = KeyAuthCredential {
        id: credential_id(number),
        consumer: consumer_id(number),
        expires_at,
        ..KeyAuthCredential::of_key(&hasher, key.as_bytes())
    };
    plugged.put([hash_key.into(), credential.into()]);
}

/// Puts two consumers. The first has a credential of every kind and is of the group `staff`, the second has an API
/// key.
pub(super) fn put_everyone(plugged: &Plugged) {
    plugged.put_consumer(1);
    plugged.put_consumer(2);
    put_key(plugged, 1, "one", None);
    put_key(plugged, 2, "two", None);
    let login = json!({ "username": "u", "password": basic_auth::ARGON2 });
    put_credential(plugged, kind::BASICAUTH_CREDENTIAL, 1, &login);
    put_credential(plugged, kind::JWT_SECRET, 1, &json!({ "key": "a", "secret": "secret" }));
    put_credential(plugged, kind::HMACAUTH_CREDENTIAL, 1, &json!({ "username": "u", "secret": "secret" }));
    put_group(plugged, 1, "staff");
}

/// Puts the consumer with this number into a group.
fn put_group(plugged: &Plugged, number: u128, group: &str) {
    let id = Uuid::from_u128(number << 32 | u128::from(group.as_bytes()[0]));
    plugged.put([entity(
        kind::ACL,
        id,
        &json!({ "consumer": { "id": consumer_id(number) }, "group": group }),
    )]);
}

/// Removes an entity.
fn remove(plugged: &Plugged, kind: Kind, id: Uuid) {
    plugged.gateway.apply(vec![gateway::table::Change::remove(wire::Key { kind, id })]);
}

/// Seconds since 1970.
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}
