//! The answers to requests without a valid token.

use std::borrow::Cow;

use http::HeaderValue;
use serde_json::{Map, Value};

use super::claims::Broken;
use super::key::Unverified;
use crate::names;
use crate::plugin::auth::{self, Denied};
use crate::plugin::{Reply, Unusable};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The answers to requests without a valid token, with their challenges.
#[derive(Debug)]
pub(super) struct Refusals {
    without_token: HeaderValue,
    with_token: HeaderValue,
}

impl Refusals {
    /// Those of a configuration.
    pub(super) fn new(realm: Option<&str>) -> Result<Self, Unusable> {
        let without_token = auth::challenge("Bearer", realm)?;
        // Kong has no comma behind the realm.
        let with_token = [without_token.as_bytes(), b" error=\"invalid_token\""].concat();
        let message = "cannot stand in a header".into();
        let with_token =
            HeaderValue::from_bytes(&with_token).map_err(|_| Unusable { field: "realm", message })?;
        Ok(Self { without_token, with_token })
    }

    /// Of a request without a token.
    pub(super) fn without_token(&self) -> Denied {
        let challenge = self.without_token.clone();
        Denied::refused(Reply::exit(401, "Unauthorized").with(&names::WWW_AUTHENTICATE, challenge))
    }

    /// Of a token that is not valid.
    pub(super) fn invalid(&self, text: impl Into<Cow<'static, str>>) -> Denied {
        Denied::refused(Reply::exit(401, text).with(&names::WWW_AUTHENTICATE, self.with_token.clone()))
    }

    /// Of a token with a signature that does not verify.
    pub(super) fn unverified(&self, why: Unverified) -> Denied {
        self.invalid(match why {
            Unverified::Key => "Invalid key/secret",
            Unverified::Signature => "Invalid signature",
        })
    }

    /// Of a token with claims that do not hold.
    pub(super) fn broken(&self, broken: &Broken) -> Denied {
        let mut text = Map::new();
        for (claim, reason) in broken {
            text.entry(*claim).or_insert_with(|| (*reason).into());
        }
        let reply = Reply::raw(401, Some(JSON), Value::Object(text).to_string());
        Denied::refused(reply.with(&names::WWW_AUTHENTICATE, self.with_token.clone()))
    }
}
