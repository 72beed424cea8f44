//! key-auth: a request must present the API key of a consumer.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue};

use super::{Authenticated, Credential, Exchange, InstanceTerms, Phases, Plugin, Reply, Step, Unusable};

/// Lets requests with the API key of a consumer pass.
#[derive(Debug)]
pub struct KeyAuth {
    names: Vec<HeaderName>,
}

impl Plugin for KeyAuth {
    type Config = model::plugins::KeyAuth;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        let names = config.key_names.iter().filter_map(|name| HeaderName::try_from(name.as_str()).ok());
        Ok(Self { names: names.collect() })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let refuse = |text: &'static str| {
            let challenge = HeaderValue::from_static("Key");
            Step::reply(Reply::message(401, text).with(http::header::WWW_AUTHENTICATE, challenge))
        };
        let Some(key) = self.names.iter().find_map(|name| exchange.headers().get(name)) else {
            return refuse("No API key found in request");
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let Some(found) = exchange.directory().key_auth(key.as_bytes(), now).cloned() else {
            return refuse("Unauthorized");
        };
        let consumer = exchange.directory().consumer(&found.consumer()).cloned();
        let (id, consumer_id) = (*crate::section::Section::id(&*found), found.consumer());
        let identifier = id.to_string().into();
        let credential = Credential { id, identifier, consumer: Some(consumer_id) };
        exchange.authenticate(Authenticated { consumer, credential: Some(credential) });
        Step::GO_ON
    }
}
