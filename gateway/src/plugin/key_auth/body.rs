//! A key in the body of a request: a form, JSON, or multipart.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::multipart::{self, Multipart};
use crate::plugin::arguments::{self, Values};

/// The form of a body in which a key may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart(Multipart),
}

impl BodyForm {
    /// The form that a Content-Type states; `None` for one that can hold no key.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
        let (media_type, parameters) = content_type.split_at_checked(end)?;
        let is = |expected: &str| media_type.trim_ascii().eq_ignore_ascii_case(expected.as_bytes());
        if is("application/x-www-form-urlencoded") {
            Some(Self::Form)
        } else if is("application/json") {
            Some(Self::Json)
        } else if is("multipart/form-data") {
            let boundary = multipart::parameter(parameters, "boundary")?;
            Multipart::new(boundary).map(Self::Multipart)
        } else {
            None
        }
    }

    /// The values of the field with this name. A body that cannot be read has none.
    pub(super) fn values<'a>(&self, body: &'a [u8], name: &str) -> Values<'a> {
        match self {
            Self::Form => arguments::values(body, name),
            Self::Json => match json(body).and_then(|mut fields| fields.remove(name)) {
                Some(Value::String(text)) => Values::One(Cow::Owned(text.into_bytes())),
                Some(Value::Array(_) | Value::Object(_)) => Values::Many,
                _ => Values::None,
            },
            Self::Multipart(multipart) => multipart.values(body, name),
        }
    }

    /// The body without the fields with this name; `None` when there are none.
    pub(super) fn without(&self, body: &[u8], name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Form => arguments::without(body, name),
            Self::Json => {
                let mut fields = json(body)?;
                fields.shift_remove(name)?;
                serde_json::to_vec(&fields).ok()
            }
            Self::Multipart(multipart) => multipart.without(body, name),
        }
    }
}

fn json(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MULTIPART: &str = "multipart/form-data; boundary=x";

    #[test]
    fn forms_follow_from_the_content_type() {
        let of = |text: &str| BodyForm::of(text.as_bytes());
        assert_eq!(of("application/x-www-form-urlencoded; charset=utf-8"), Some(BodyForm::Form));
        assert_eq!(of("Application/JSON ;a=b"), Some(BodyForm::Json));
        assert!(matches!(of(MULTIPART), Some(BodyForm::Multipart(_))));
        for none in ["", "text/plain", "application/jsonx", "multipart/form-data", "multipart/mixed; boundary=x"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn keys_in_bodies() {
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let one = format!("{}{}--x--\r\n", part("b", "2"), part("k", "secret"));
        let rest = format!("{}--x--\r\n", part("b", "2"));
        let two = format!("{}{}--x--\r\n", part("k", "1"), part("k", "2"));
        let secret = || Values::One(b"secret".into());
        let form = "application/x-www-form-urlencoded";
        for (content_type, body, values, without) in [
            (form, "a=1&k=secret", secret(), Some("a=1")),
            (form, "k=1&k=2", Values::Many, Some("")),
            ("application/json", r#"{"b":[1.5],"k":"secret","a":2}"#, secret(), Some(r#"{"b":[1.5],"a":2}"#)),
            ("application/json", r#"{"k":["a","b"]}"#, Values::Many, Some("{}")),
            ("application/json", r#"{"k":7}"#, Values::None, Some("{}")),
            ("application/json", r#"{"k":"secret""#, Values::None, None),
            ("application/json", r#""k""#, Values::None, None),
            (MULTIPART, &one, secret(), Some(rest.as_str())),
            (MULTIPART, &two, Values::Many, Some("--x--\r\n")),
        ] {
            let of = BodyForm::of(content_type.as_bytes()).unwrap();
            assert_eq!(of.values(body.as_bytes(), "k"), values, "{body}");
            assert_eq!(of.without(body.as_bytes(), "k").as_deref(), without.map(str::as_bytes), "{body}");
        }
    }
}
