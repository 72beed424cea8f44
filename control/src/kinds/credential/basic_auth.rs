//! Passwords: Argon2id hashes of those that are given in clear, and hashes that are given as they are.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::password::StoredPassword;
use model::{BasicAuthCredential, Map, Value, Violations, bounds};

use super::ReadContext;

/// Memory in KiB, passes and lanes of a hash: the least memory of the equally strong settings that OWASP
/// recommends. A data plane needs them for each password that it verifies.
const MEMORY: u32 = 7168;
const PASSES: u32 = 5;
const LANES: u32 = 1;
/// Bytes of the salt, and of the hash (RFC 9106, section 3.1).
const SALT: usize = 16;
const HASH: usize = 32;

/// What stands in place of the hash of a password that is only checked.
const PLACEHOLDER: &str = "{SHA1}0000000000000000000000000000000000000000";

/// Replaces the password of a body by its stored form.
pub(super) fn prepare(fields: &mut Map, context: &ReadContext<'_>, violations: &mut Violations) {
    let Some(password) = fields.get("password").and_then(Value::as_str).filter(|text| !text.is_empty())
    else {
        return;
    };
    let held = context.held.and_then(|held| serde_json::from_slice::<BasicAuthCredential>(held).ok());
    let stored = match StoredPassword::is_meant(password) {
        true => as_it_is(password, fields, held.as_ref()),
        false => hashed(password, held.as_ref(), context),
    };
    match stored {
        Ok(stored) => drop(fields.insert("password".to_owned(), stored.into())),
        Err(message) => {
            fields.shift_remove("password");
            violations.field("password", message);
        }
    }
}

/// Accepts a hash, unless it is one of another consumer.
fn as_it_is(given: &str, fields: &Map, held: Option<&BasicAuthCredential>) -> Result<String, String> {
    let is_sha1 = matches!(StoredPassword::parse(given), Some(StoredPassword::Sha1(_)));
    let consumer = fields.get("consumer").and_then(|consumer| consumer.get("id")).and_then(Value::as_str);
    match held {
        Some(held)
            if is_sha1
                && held.password.expose() == given
                && consumer.is_some_and(|id| !id.eq_ignore_ascii_case(&held.consumer.to_string())) =>
        {
            Err("the stored hash holds for its consumer alone; give the password".to_owned())
        }
        _ => Ok(given.to_owned()),
    }
}

/// The hash of a password. One that is stored already keeps its hash, so that tools which write the desired
/// state again and again change nothing.
fn hashed(
    password: &str,
    held: Option<&BasicAuthCredential>,
    context: &ReadContext<'_>,
) -> Result<String, String> {
    bounds::length(password, bounds::SECRET)?;
    if !context.secrets.hashes_passwords() {
        return Ok(PLACEHOLDER.to_owned());
    }
    context.secrets.count_password()?;
    let held = held.map(|held| held.password.expose());
    match held.and_then(salt_of).map(|salt| hash(password, &salt)) {
        Some(same) if held == Some(&same) => Ok(same),
        _ => Ok(hash(password, &rand::random())),
    }
}

/// The salt of a hash that this version has made.
fn salt_of(stored: &str) -> Option<[u8; SALT]> {
    let (salt, _) = stored.strip_prefix(&beginning())?.split_once('$')?;
    STANDARD_NO_PAD.decode(salt).ok()?.try_into().ok()
}

/// Hashes a password: about 20 ms. Keep it off the runtime.
fn hash(password: &str, salt: &[u8; SALT]) -> String {
    let params = Params::new(MEMORY, PASSES, LANES, Some(HASH)).expect("the constants are within the bounds");
    let mut out = [0; HASH];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut out)
        .expect("the lengths of salt, password and hash are within the bounds");
    let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    format!("{}{}${}", beginning(), encode(salt), encode(&out))
}

/// How the PHC string of a hash begins.
fn beginning() -> String {
    format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}$")
}
