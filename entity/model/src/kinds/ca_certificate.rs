//! A certificate authority that verifies the certificates of peers.

use model_derive::Record;
use serde::Deserialize;
use uuid::Uuid;
use wire::Kind;

use super::kind;
use crate::check::pem;
use crate::entity::Entity;
use crate::record::Check;

/// A CA certificate. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Record)]
#[serde(default)]
pub struct CaCertificate {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    #[field(skip)]
    pub id: Uuid,
    /// The certificate in PEM.
    #[field(required, is = pem::certificate)]
    pub cert: String,
}

impl Check for CaCertificate {}

impl Entity for CaCertificate {
    const KIND: Kind = kind::CA_CERTIFICATE;
    const COLLECTION: &'static str = "ca_certificates";

    fn set_id(&mut self, id: Uuid) {
        self.id = id;
    }
}
