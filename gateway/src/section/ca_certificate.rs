//! CA certificates, parsed for verifying upstreams.

use model::CaCertificate;
use uuid::Uuid;

use super::{References, Refusal, Section};
use crate::upstream::Authority;

impl Section for Authority {
    type Entity = CaCertificate;

    fn compile(authority: &CaCertificate, _: References) -> Result<Self, Refusal> {
        Ok(Self::parse(authority)?)
    }

    fn id(&self) -> &Uuid {
        self.id()
    }
}
