//! A server name of TLS, and the certificate for it.

use model_derive::Record;
use uuid::Uuid;
use wire::Kind;

use crate::kind;
use crate::check::host;
use crate::entity::Entity;
use crate::record::Check;

/// A server name. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Sni {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The name of the handshake, in lower case. Its first or last label may be `*`; the whole name may be
    /// `*`.
    #[field(required, unique, clean = Sni::canonical_name, is = Sni::check_name)]
    pub name: String,
    /// The certificate that data planes show for the name.
    #[field(required, belongs_to(kind::CERTIFICATE))]
    pub certificate: Uuid,
}

impl Sni {
    /// The name that matches every name without an entry of its own, and clients that send no name.
    pub const ANY: &str = "*";

    /// The name in lower case and without a final dot: a handshake treats these forms as the same name.
    pub fn canonical_name(name: &str) -> String {
        // `*.` is no form of [`Sni::ANY`].
        let name = name.strip_suffix('.').filter(|name| *name != Self::ANY).unwrap_or(name);
        name.to_ascii_lowercase()
    }

    /// Checks a server name.
    ///
    /// # Errors
    /// The reason why it is invalid.
    pub fn check_name(name: &str) -> Result<(), String> {
        if name == Self::ANY { Ok(()) } else { host::sni(name) }
    }
}

impl Check for Sni {}

impl Entity for Sni {
    const KIND: Kind = kind::SNI;
    const NOUN: &'static str = "server name";
    const ENDPOINT_KEY: Option<&'static str> = Some("name");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_with_a_final_dot_is_not_the_name_of_all() {
        let checked = |name| Sni::check_name(&Sni::canonical_name(name));
        assert!(checked("*").is_ok() && checked("*.A.").is_ok());
        assert!(checked("*.").is_err());
    }
}
