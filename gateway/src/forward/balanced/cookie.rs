//! The cookies of hashing and of sticky sessions.

use std::borrow::Cow;

use uuid::Uuid;

use crate::context::Context;
use crate::message::FieldSink;
use crate::upstream::balancer::Algorithm;
use crate::upstream::{Balanced, CookieTerms};

/// Bytes of the seal of an address.
const SEAL: usize = 8;

/// The cookie that the answer sets, if the request lacked it.
pub(in crate::forward) fn new(context: &Context) -> Option<(&CookieTerms, Cow<'_, str>)> {
    let balanced = context.upstream.balanced.as_ref()?;
    let terms = context.target.as_ref()?.group.as_ref()?.terms();
    let value = match terms.balancing.algorithm {
        Algorithm::StickySessions => new_address(balanced, terms.id)?.into(),
        _ => balanced.cookie.as_deref()?.into(),
    };
    Some((terms.cookie.as_ref()?, value))
}

/// Writes a cookie. `is_tls` is about the client's connection.
pub(in crate::forward) fn write(sink: &mut dyn FieldSink, terms: &CookieTerms, value: &str, is_tls: bool) {
    sink.received(b"Set-Cookie", text(terms, value, is_tls).as_bytes());
}

/// The address of the answer, unless the client named it.
fn new_address(balanced: &Balanced, upstream: Uuid) -> Option<String> {
    let (chosen, _) = balanced.chosen.as_ref()?;
    let id = chosen.slot().sticky_id();
    (balanced.sticky != Some(id)).then(|| written_address(id, upstream))
}

fn text(terms: &CookieTerms, value: &str, is_tls: bool) -> String {
    let CookieTerms { name, path, secure, same_site, max_age, domain } = terms;
    let mut text = format!("{name}={value}; Path={path}; SameSite={same_site}; HttpOnly");
    if secure.unwrap_or(is_tls) {
        text.push_str("; Secure");
    }
    if let Some(seconds) = max_age {
        text.push_str(&format!("; Max-Age={seconds}"));
    }
    if let Some(domain) = domain {
        text.push_str(&format!("; Domain={domain}"));
    }
    text
}

/// Writes the id of an address so that a client cannot tell which address it is, nor name another one. Every data
/// plane reads what another one wrote.
fn written_address(id: u64, upstream: Uuid) -> String {
    let keys = Keys::of(upstream);
    let hidden = id ^ keys.mask;
    hex(&[&hidden.to_be_bytes()[..], &keys.seal(hidden)].concat())
}

/// Reads the id of an address.
pub(super) fn read_address(value: &[u8], upstream: Uuid) -> Option<u64> {
    let bytes = unhex(value)?;
    let (hidden, seal) = bytes.split_first_chunk::<8>()?;
    let (hidden, keys) = (u64::from_be_bytes(*hidden), Keys::of(upstream));
    (seal == keys.seal(hidden)).then_some(hidden ^ keys.mask)
}

/// What hides and seals the addresses of one upstream. The id of the upstream is no secret of the gateway's, but
/// none that a client learns.
struct Keys {
    key: [u8; blake3::KEY_LEN],
    mask: u64,
}

impl Keys {
    fn of(upstream: Uuid) -> Self {
        let key = blake3::derive_key("gibbon sticky sessions", upstream.as_bytes());
        let mut mask = [0; 8];
        mask.copy_from_slice(&blake3::keyed_hash(&key, b"mask").as_bytes()[..8]);
        Self { key, mask: u64::from_be_bytes(mask) }
    }

    fn seal(&self, hidden: u64) -> [u8; SEAL] {
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&blake3::keyed_hash(&self.key, &hidden.to_be_bytes()).as_bytes()[..SEAL]);
        seal
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() != 2 * (8 + SEAL) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_again_and_no_other_value_is_one() {
        let upstream = Uuid::from_u128(7);
        for id in [0, 1, u64::MAX] {
            let written = written_address(id, upstream);
            assert_eq!(read_address(written.as_bytes(), upstream), Some(id));
            assert_eq!(read_address(written.as_bytes(), Uuid::from_u128(8)), None);
            let mut forged = written.into_bytes();
            forged[0] = if forged[0] == b'0' { b'1' } else { b'0' };
            assert_eq!(read_address(&forged, upstream), None);
        }
        for wrong in ["", "00", "zz", &"0".repeat(32), &"é".repeat(16)] {
            assert_eq!(read_address(wrong.as_bytes(), upstream), None, "{wrong}");
        }
    }

    #[test]
    fn attributes_of_a_cookie() {
        let mut terms = CookieTerms {
            name: "id".into(),
            path: "/".into(),
            secure: None,
            same_site: "Lax",
            max_age: None,
            domain: None,
        };
        assert_eq!(text(&terms, "1", false), "id=1; Path=/; SameSite=Lax; HttpOnly");
        assert_eq!(text(&terms, "1", true), "id=1; Path=/; SameSite=Lax; HttpOnly; Secure");
        (terms.secure, terms.max_age, terms.domain) = (Some(true), Some(60), Some("a.test".into()));
        let all = "id=1; Path=/; SameSite=Lax; HttpOnly; Secure; Max-Age=60; Domain=a.test";
        assert_eq!(text(&terms, "1", false), all);
    }
}
