//! Where a request holds its token: query arguments, cookies and headers.

use std::borrow::Cow;

use http::header::{COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::message::NamedHeader;
use crate::plugin::arguments;

/// The places in which a token may be.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) arguments: Vec<String>,
    pub(super) cookies: Vec<String>,
    pub(super) headers: Vec<NamedHeader>,
}

/// The tokens of a request. The same one in several places counts once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tokens<'a> {
    None,
    One(Cow<'a, [u8]>),
    /// An argument without a value: for Kong's users a token of another type.
    NoText,
    Several,
}

impl<'a> Tokens<'a> {
    fn add(&mut self, token: Cow<'a, [u8]>) {
        if !token.is_empty() {
            self.join(Self::One(token));
        }
    }

    fn join(&mut self, other: Self) {
        *self = match std::mem::replace(self, Self::Several) {
            Self::None => other,
            same if same == other => same,
            _ => Self::Several,
        }
    }
}

impl Places {
    /// Whether a token may be in this header.
    pub(super) fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().flat_map(NamedHeader::spellings).any(|other| other == name)
    }

    /// The tokens of a request.
    pub(super) fn tokens<'a>(&'a self, query: Option<&'a [u8]>, headers: &'a HeaderMap) -> Tokens<'a> {
        let mut tokens = Tokens::None;
        if let Some(query) = query {
            for name in &self.arguments {
                arguments::all_values(query, name).for_each(|value| match value {
                    Some(value) => tokens.add(value),
                    None => tokens.join(Tokens::NoText),
                });
            }
        }
        for name in &self.cookies {
            if let Some(value) = cookie(headers, name) {
                tokens.add(value.into());
            }
        }
        for header in &self.headers {
            if let Some(token) = header.first(headers).and_then(bearer) {
                tokens.add(token.into());
            }
        }
        tokens
    }
}

/// The token of a header of the scheme Bearer.
pub(in crate::plugin) fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes().trim_ascii();
    let (scheme, rest) = value.split_at_checked("bearer".len())?;
    let is_bearer =
        scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_some_and(u8::is_ascii_whitespace);
    is_bearer.then(|| rest.trim_ascii_start())
}

/// The value of the first cookie with this name, which is compared without case.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs =
        headers.get_all(COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let (found, rest) = pair.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| rest.strip_prefix(b"=")).flatten()
    })
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn tokens(query: Option<&str>, fields: &[(HeaderName, &str)]) -> String {
        let places = Places {
            arguments: vec!["jwt".into(), "t".into()],
            cookies: vec!["c".into()],
            headers: ["authorization", "x-token", "y_token"]
                .map(|name| NamedHeader::new(name).unwrap())
                .into(),
        };
        let headers: HeaderMap =
            fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        match places.tokens(query.map(str::as_bytes), &headers) {
            Tokens::None => "none".to_owned(),
            Tokens::One(token) => String::from_utf8(token.into_owned()).unwrap(),
            Tokens::NoText => "no text".to_owned(),
            Tokens::Several => "several".to_owned(),
        }
    }

    #[test]
    fn tokens_of_requests() {
        let [x, y] = ["x-token", "y-token"].map(HeaderName::from_static);
        for (query, fields, expected) in [
            (None, vec![], "none"),
            (Some("jwt=&b=a"), vec![], "none"),
            (Some("jwt=&jwt&t&b=a"), vec![], "no text"),
            (Some("jwt&t=a"), vec![], "several"),
            (Some("jwt=a&jwt=b&jwt=b"), vec![], "several"),
            (Some("b=1&jwt=%61"), vec![], "a"),
            (Some("jwt=a&jwt=a&t=a"), vec![(AUTHORIZATION, "Bearer a")], "a"),
            (Some("jwt=a&jwt=b"), vec![], "several"),
            (None, vec![(AUTHORIZATION, "bearer   a ")], "a"),
            (None, vec![(AUTHORIZATION, "a")], "none"),
            (None, vec![(AUTHORIZATION, "Bearer")], "none"),
            (None, vec![(AUTHORIZATION, "Bearera")], "none"),
            (None, vec![(AUTHORIZATION, "Basic a"), (x.clone(), "Bearer a")], "a"),
            (None, vec![(AUTHORIZATION, "Bearer a"), (x.clone(), "Bearer b")], "several"),
            (None, vec![(y.clone(), "Bearer a")], "a"),
            (None, vec![(AUTHORIZATION, "Bearer a"), (y, "Bearer b")], "several"),
            (None, vec![(COOKIE, "b=x; C=a; c=b")], "a"),
            (None, vec![(COOKIE, "cc=x; c")], "none"),
            (Some("t=b"), vec![(COOKIE, "c=a")], "several"),
        ] {
            assert_eq!(tokens(query, &fields), expected, "{query:?} {fields:?}");
        }
    }
}
