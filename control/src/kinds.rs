//! What a kind of entity needs beyond its declaration in `model`: the reading of PEM texts, checks of what they
//! hold, and the stored forms of credentials. The Admin API and the declarative configuration share it. It
//! knows no HTTP and no SQL.
//!
//! Reading takes milliseconds for keys, passwords and regular expressions: callers keep it off the runtime's
//! workers.

mod ca_certificate;
mod certificate;
pub mod credential;
mod pem;

use model::{Common, Content, Described, Input, Map, Violations};

use self::credential::{ReadContext, Secrets};
use crate::store::Document;

/// Reads one entity from the fields of a body, without those that all kinds have, and checks it: shorthands,
/// PEM texts in canonical form, the rules of its declaration, what needs the content of a certificate, and the
/// stored forms of secrets. A certificate authority must not have expired at the time of the last write in
/// `common`.
///
/// # Errors
/// All violations, those given included.
pub fn read(
    kind: &dyn Described,
    mut input: Input,
    common: &Common,
    mut violations: Violations,
    context: &ReadContext<'_>,
) -> Result<Content, Violations> {
    kind.expand(&mut input.fields, &mut violations);
    match kind.kind() {
        model::kind::CERTIFICATE => certificate::prepare(&mut input.fields, &mut violations),
        model::kind::CA_CERTIFICATE => ca_certificate::prepare(&mut input.fields, &mut violations),
        _ => {}
    }
    let options = credential::prepare(kind, &mut input.fields, context, &mut violations);
    let content = kind.read(input, common, violations)?;
    let content = credential::complete(kind, content, options, context);
    check(kind, &content, kind.times().seconds(common.updated_at))?;
    Ok(content)
}

/// Reads one entity of a document. What the document does not give stays as it is in `held`, the canonical
/// bytes of the entity before, or is made up.
///
/// # Errors
/// All violations, those given included.
pub fn read_declared(
    kind: &dyn Described,
    mut input: Input,
    common: &Common,
    mut violations: Violations,
    secrets: &Secrets,
    held: Option<&[u8]>,
) -> Result<Content, Violations> {
    credential::keep_or_generate(kind, &mut input.fields, held, &mut violations);
    let ttl_from = kind.times().seconds(common.created_at);
    let context = ReadContext { held, secrets, ttl_from, keeps_expiry: false };
    read(kind, input, common, violations, &context)
}

/// Checks what needs the content of a certificate or of a public key, at `now` in seconds since 1970.
///
/// # Errors
/// All violations.
pub fn check(kind: &dyn Described, content: &Content, now: i64) -> Result<(), Violations> {
    match kind.kind() {
        model::kind::CERTIFICATE => certificate::check(&entity(content)),
        model::kind::CA_CERTIFICATE => ca_certificate::check(&entity(content), now),
        _ => credential::check(kind, content),
    }
}

/// Shows an entity as the Admin API does, without the entities of other kinds that belong to it. Secrets are
/// hidden. `with_secrets` shows those that may be shown at all: never the private key of a certificate.
///
/// # Errors
/// When this version cannot read the stored bytes.
pub fn show(kind: &dyn Described, document: &Document, with_secrets: bool) -> Result<Map, serde_json::Error> {
    let mut view = kind.show(&document.body)?;
    document.common().show(kind.times(), &mut view);
    if with_secrets && credential::may_be_shown(kind) {
        kind.reveal(&document.body, &mut view);
    }
    if kind.credential().is_some() {
        credential::complete_view(kind, document, &mut view);
    }
    Ok(view)
}

/// Replaces a text of a body by the canonical form that `parse` gives it. A text that cannot be parsed is
/// removed, and its violation noted; other values are for the declaration's own checks.
fn canonical(
    fields: &mut Map,
    name: &str,
    parse: fn(&str) -> Result<String, String>,
    violations: &mut Violations,
) {
    let Some(text) = fields.get(name).and_then(model::Value::as_str).filter(|text| !text.is_empty()) else {
        return;
    };
    match parse(text) {
        Ok(canonical) => drop(fields.insert(name.to_owned(), canonical.into())),
        Err(message) => {
            violations.field(name, message);
            fields.remove(name);
        }
    }
}

fn entity<E: model::Entity>(content: &Content) -> E {
    serde_json::from_slice(&content.bytes).expect("the canonical bytes of an entity are those of an entity")
}
