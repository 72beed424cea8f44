//! The fields that `Connection` nominates: they are for the next hop alone (RFC 9110, section 7.6.1).

use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

use crate::error::RequestFailure;

/// The most names. Each costs a comparison with each field.
const MOST: usize = 8;

/// Fields that no client may have removed, because upstreams trust them.
const PROTECTED: [&[u8]; 4] = [b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"];

/// The names that a header nominates.
#[derive(Debug, Default)]
pub(super) struct Nominated<'h>(SmallVec<[&'h [u8]; MOST]>);

impl<'h> Nominated<'h> {
    /// Reads those of a request.
    ///
    /// # Errors
    /// [`RequestFailure::BadRequest`] for too many, for one that is no token, and for a protected field.
    pub(super) fn of_request(headers: &'h HeaderMap) -> Result<Self, RequestFailure> {
        let mut names = SmallVec::new();
        for name in tokens(headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes)) {
            let is_protected = PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected));
            if names.len() == MOST || is_protected || !name.iter().all(|byte| is_token(*byte)) {
                return Err(RequestFailure::BadRequest);
            }
            names.push(name);
        }
        Ok(Self(names))
    }

    /// Reads those of an answer from the values of its `Connection` fields.
    pub(super) fn of_answer(values: impl Iterator<Item = &'h [u8]>) -> Self {
        Self(tokens(values).take(MOST).collect())
    }

    /// Whether the field is nominated.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|nominated| name.eq_ignore_ascii_case(nominated))
    }
}

fn tokens<'h>(values: impl Iterator<Item = &'h [u8]>) -> impl Iterator<Item = &'h [u8]> {
    let parts = values.flat_map(|value| value.split(|byte| *byte == b','));
    parts.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
}

/// Whether `byte` may stand in a token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nominated(value: &'static str) -> Result<usize, RequestFailure> {
        let headers = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static(value))]);
        Nominated::of_request(&headers).map(|names| names.0.len())
    }

    #[test]
    fn nominations_are_bounded_tokens_that_protect_what_upstreams_trust() {
        assert_eq!(nominated("close, X-A,, x-b"), Ok(3));
        assert_eq!(nominated("a,b,c,d,e,f,g,h"), Ok(8));
        for wrong in ["a,b,c,d,e,f,g,h,i", "Host", "X-Forwarded-For", "\"a\"", ":path", "a b"] {
            assert_eq!(nominated(wrong), Err(RequestFailure::BadRequest), "{wrong}");
        }
    }
}
