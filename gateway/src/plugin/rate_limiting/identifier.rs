//! By what requests are counted apart.

use std::net::IpAddr;

use model::plugins::rate_limiting::LimitBy;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::message::NamedHeader;
use crate::plugin::Exchange;

/// By what the requests of a limit are counted apart. A request that does not have it is counted by its
/// client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum By {
    /// The consumer, or the credential without one.
    Consumer,
    /// The credential.
    Credential,
    /// The client's address.
    Address,
    /// The service.
    Service,
    /// The first value of this field.
    Header(NamedHeader),
    /// The path, if it is this one, in its canonical form.
    Path(Box<str>),
}

/// What a request is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Identifier<'a> {
    /// The id of an entity.
    Id(Uuid),
    /// A client's address.
    Address(IpAddr),
    /// The value of a field, or a path.
    Text(&'a [u8]),
}

/// The bytes of identifiers, in which each says what it is and how long.
pub(in crate::plugin) type Name = SmallVec<[u8; 64]>;

/// The longest text within a key of redis. Of a longer one, the hash stands there.
const LONGEST: usize = 256;

impl By {
    /// What a configuration says; `None` when it lacks the name of the field, or the path.
    pub(in crate::plugin) fn new(by: LimitBy, header: Option<&str>, path: Option<&str>) -> Option<Self> {
        Some(match by {
            LimitBy::Consumer => Self::Consumer,
            LimitBy::Credential => Self::Credential,
            LimitBy::Ip => Self::Address,
            LimitBy::Service => Self::Service,
            LimitBy::Header => Self::Header(NamedHeader::new(header?)?),
            LimitBy::Path => {
                let path = path?;
                Self::Path(model::canonical_path(path.as_bytes()).unwrap_or(path.into()).into())
            }
        })
    }

    /// What a request is counted by.
    pub(in crate::plugin) fn identify<'a>(&self, exchange: &'a Exchange<'_>) -> Identifier<'a> {
        let credential = || exchange.credential().map(|credential| credential.id);
        let found = match self {
            Self::Consumer => {
                exchange.consumer().map(|consumer| consumer.id).or_else(credential).map(Identifier::Id)
            }
            Self::Credential => credential().map(Identifier::Id),
            Self::Address => None,
            Self::Service => exchange.service().map(|service| Identifier::Id(service.id)),
            Self::Header(header) => {
                header.first(exchange.headers()).map(|value| Identifier::Text(value.as_bytes()))
            }
            Self::Path(path) => {
                let own = exchange.path();
                (own == &**path).then_some(Identifier::Text(own.as_bytes()))
            }
        };
        found.unwrap_or_else(|| Identifier::Address(exchange.client_address().to_canonical()))
    }

    /// Adds what tells a request from those that are counted apart.
    pub(in crate::plugin) fn name(&self, exchange: &Exchange<'_>, name: &mut Name) {
        let identifier = self.identify(exchange);
        if let (Self::Header(header), Identifier::Text(_)) = (self, identifier) {
            Identifier::Text(header.configured().as_str().as_bytes()).add_to(name);
        }
        identifier.add_to(name);
    }
}

impl Identifier<'_> {
    /// Adds what tells it from every other identifier.
    fn add_to(&self, name: &mut Name) {
        let mut part = |kind: u8, bytes: &[u8]| {
            name.push(kind);
            name.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            name.extend_from_slice(bytes);
        };
        match self {
            Self::Id(id) => part(0, id.as_bytes()),
            Self::Address(IpAddr::V4(address)) => part(1, &address.octets()),
            Self::Address(IpAddr::V6(address)) => part(1, &address.octets()),
            Self::Text(text) => part(2, text),
        }
    }

    /// Writes it as Kong does in keys of redis.
    pub(in crate::plugin) fn write(&self, key: &mut Vec<u8>) {
        match self {
            Self::Id(id) => key.extend(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).bytes()),
            Self::Address(address) => key.extend(address.to_string().bytes()),
            Self::Text(text) if text.len() > LONGEST => {
                key.extend(blake3::hash(text).to_hex().as_bytes());
            }
            Self::Text(text) => key.extend_from_slice(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(identifiers: &[Identifier<'_>]) -> Name {
        let mut name = Name::new();
        identifiers.iter().for_each(|identifier| identifier.add_to(&mut name));
        name
    }

    #[test]
    fn no_two_identifiers_have_one_name() {
        let address = |text: &str| Identifier::Address(text.parse().unwrap());
        let all = [
            name(&[Identifier::Id(Uuid::nil())]),
            name(&[Identifier::Text(&[0; 16])]),
            name(&[Identifier::Text(b"")]),
            name(&[Identifier::Text(b"ab"), Identifier::Text(b"c")]),
            name(&[Identifier::Text(b"a"), Identifier::Text(b"bc")]),
            name(&[address("10.0.0.1")]),
            name(&[address("::")]),
            name(&[Identifier::Text(b"10.0.0.1")]),
            name(&[]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
    }

    #[test]
    fn path_is_that_of_requests_in_every_spelling() {
        for (path, canonical) in
            [("/a", "/a"), ("/%61~%7e", "/a~~"), ("/\u{fc} b", "/%C3%BC%20b"), ("/a//../b", "/b")]
        {
            let by = By::new(LimitBy::Path, None, Some(path));
            assert_eq!(by, Some(By::Path(canonical.into())), "{path}");
        }
    }

    #[test]
    fn keys_have_identifiers_in_the_form_of_kong() {
        let written = |identifier: Identifier<'_>| {
            let mut key = Vec::new();
            identifier.write(&mut key);
            String::from_utf8(key).unwrap()
        };
        let id = Uuid::from_u128(0xab);
        assert_eq!(written(Identifier::Id(id)), "00000000-0000-0000-0000-0000000000ab");
        assert_eq!(written(Identifier::Address("2001:db8::1".parse().unwrap())), "2001:db8::1");
        assert_eq!(written(Identifier::Text(b"/a b")), "/a b");
        assert_eq!(written(Identifier::Text(&[b'a'; 257])).len(), 64);
    }
}
