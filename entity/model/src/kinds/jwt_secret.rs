//! A key by which the JSON web tokens of a consumer are verified.

use model_derive::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::{pem, text};
use crate::entity::{Credential, Entity};
use crate::kind;
use crate::private_key::PrivateKey;
use crate::record::Check;
use crate::schema;
use crate::types::Word;
use crate::violations::Violations;

/// A key of tokens. Its canonical bytes follow the rules of a [`crate::Service`]. The rules check only that a
/// PEM text is one; code that can parse it checks its content.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct JwtSecret {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The consumer whom the tokens identify.
    #[field(required, belongs_to(kind::CONSUMER))]
    pub consumer: Uuid,
    /// The text by which tokens name this key, in their claim `iss` or another one.
    #[field(unique, auto, longest = bounds::NAME, is = text::identifier)]
    pub key: Option<String>,
    /// The secret of the algorithms HS256, HS384 and HS512.
    #[field(secret, auto, longest = bounds::SECRET)]
    pub secret: Option<PrivateKey>,
    /// The public key of all other algorithms, in PEM.
    #[field(longest = bounds::KEY_PEM, is = pem::no_private_key)]
    pub rsa_public_key: Option<String>,
    /// The algorithm of the tokens' signatures.
    #[field(default = JwtAlgorithm::Hs256)]
    pub algorithm: JwtAlgorithm,
}

/// The algorithm of a signature (RFC 7518, section 3.1, and RFC 8037).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of the RFC")]
pub enum JwtAlgorithm {
    #[default]
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl JwtAlgorithm {
    /// Whether a credential needs a public key. Kong does not ask for that of an ES* algorithm.
    pub const fn needs_public_key(self) -> bool {
        use JwtAlgorithm::{EdDsa, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        matches!(self, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 | EdDsa)
    }
}

impl Word for JwtAlgorithm {
    const ALL: &'static [Self] = &[
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl JwtSecret {
    /// Adds the violation that the algorithm needs another public key.
    pub fn refuse_public_key(violations: &mut Violations, message: &str) {
        violations.entity("failed conditional validation given value of field 'algorithm'");
        violations.field("rsa_public_key", message);
    }
}

impl Check for JwtSecret {
    fn rules(&self, violations: &mut Violations) {
        if self.algorithm.needs_public_key() && self.rsa_public_key.is_none() {
            Self::refuse_public_key(violations, "required field missing");
        }
    }

    fn entity_checks() -> Vec<Value> {
        let algorithms = JwtAlgorithm::ALL.iter().filter(|algorithm| algorithm.needs_public_key());
        algorithms
            .map(|algorithm| {
                let matched = json!({ "eq": algorithm.as_str() });
                schema::conditional("algorithm", &matched, "rsa_public_key", &json!({ "required": true }))
            })
            .collect()
    }
}

impl Entity for JwtSecret {
    const KIND: Kind = kind::JWT_SECRET;
    const NOUN: &'static str = "JWT credential";
    const ENDPOINT_KEY: Option<&'static str> = Some("key");
    const CREDENTIAL: Option<Credential> = Some(Credential { collection: "jwts", nested: "jwt" });
}
