//! Certificates, parsed for handshakes.

use model::{Certificate, Entity};
use uuid::Uuid;
use wire::Key;

use super::{References, Refusal, Section};
use crate::certified_keys::CertifiedKeys;

impl Section for CertifiedKeys {
    type Entity = Certificate;

    fn compile(certificate: &Certificate, _: References) -> Result<Self, Refusal> {
        let key = Key { kind: Certificate::KIND, id: certificate.id };
        Self::parse(certificate).map_err(|(field, error)| Refusal::new(key, Some(field), error))
    }

    fn id(&self) -> &Uuid {
        &self.id
    }
}
