//! Server names of TLS, and the certificate for each.

use std::borrow::Cow;
use std::sync::Arc;

use model::kind;
use uuid::Uuid;

use super::{Name, Names, References, Refusal, Section};

/// A server name.
#[derive(Clone, Debug)]
pub struct Sni {
    id: Uuid,
    /// The name without its star: `.a.b` for `*.a.b`, `a.b.` for `a.b.*`, empty for any name. The server name
    /// of a handshake neither begins nor ends with a dot.
    name: Box<str>,
    references: References,
}

impl Sni {
    /// The id of its certificate.
    pub fn certificate(&self) -> Option<Uuid> {
        self.references.to(kind::CERTIFICATE).next()
    }
}

impl Section for Sni {
    type Entity = model::Sni;

    fn compile(sni: &model::Sni, references: References) -> Result<Self, Refusal> {
        let name = model::normalize_pattern(&sni.name);
        Ok(Self { id: sni.id, name: name.trim_matches('*').into(), references })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }

    /// The name, with its star.
    fn label(&self) -> String {
        match &*self.name {
            "" => model::Sni::ANY.to_owned(),
            suffix if suffix.starts_with('.') => format!("*{suffix}"),
            prefix if prefix.ends_with('.') => format!("{prefix}*"),
            name => name.to_owned(),
        }
    }
}

impl Name for Sni {
    type Key = str;

    const FIELD: &'static str = "name";

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

/// The entry for a server name in lower case. The name itself comes first, then `*.` in place of its first
/// label, then `.*` in place of its last one, then any name. A wildcard stands for one label, as in
/// certificates (RFC 9525, section 6.3).
pub fn find<'a>(snis: &'a Names<Sni>, server_name: &str) -> Option<&'a Arc<Sni>> {
    let name = server_name.strip_suffix('.').unwrap_or(server_name);
    let suffix = || snis.by_name(&name[name.find('.')?..]);
    let prefix = || snis.by_name(&name[..=name.rfind('.')?]);
    snis.by_name(name).or_else(suffix).or_else(prefix).or_else(|| snis.by_name(""))
}
