//! Compiles a configuration.

use http::{HeaderValue, Method};
use model::plugins::RequestTransformer as Config;
use model::plugins::edits::header_pair;
use model::template::{Template, Values};

use super::RequestTransformer;
use super::body::BodyEdits;
use super::lists::{all, edits};
use super::values::Budget;
use crate::error::RequestFailure;
use crate::message::FieldName;
use crate::plugin::Unusable;
use crate::plugin::edits::Edits;

/// The value of a header field.
#[derive(Debug)]
pub(super) enum HeaderTerm {
    Fixed(HeaderValue),
    Rendered(Template),
}

impl HeaderTerm {
    fn new(value: &str) -> Option<Self> {
        let template = Template::parse(value).ok()?;
        match template.literal() {
            Some(text) => HeaderValue::from_bytes(text.as_bytes()).ok().map(Self::Fixed),
            None => Some(Self::Rendered(template)),
        }
    }

    /// The value for a request. What a header may not hold is encoded: a client must not begin another field.
    pub(super) fn render(
        &self,
        values: &dyn Values,
        budget: &mut Budget,
    ) -> Result<HeaderValue, RequestFailure> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Rendered(template) => {
                let text = field_value(&budget.render(template, values)?);
                HeaderValue::from_bytes(&text).map_err(|_| RequestFailure::BadRequest)
            }
        }
    }
}

/// A text as the value of a field: without blanks around it, and with control characters encoded.
fn field_value(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(text.len());
    for &byte in text.trim_ascii() {
        match byte {
            b'\t' => value.push(byte),
            0..=31 | 127 => value.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => value.push(byte),
        }
    }
    value
}

/// Compiles a configuration.
///
/// # Errors
/// When it breaks its own rules.
pub(super) fn compile(config: &Config) -> Result<RequestTransformer, Unusable> {
    let method =
        config.http_method.as_deref().map(|method| Method::from_bytes(method.as_bytes())).transpose();
    let path = config.replace.uri.as_deref().map(Template::parse).transpose();
    Ok(RequestTransformer {
        path: path.map_err(|error| Unusable { field: "replace", message: error.to_string().into() })?,
        method: method.map_err(|_| Unusable { field: "http_method", message: "no method".into() })?,
        headers: headers(config)?,
        body: config.changes_body().then(|| BodyEdits::compile(config).map(Box::new)).transpose()?,
        query: query(config)?,
        longest_body: config.max_body_bytes as usize,
    })
}

fn headers(config: &Config) -> Result<Edits<FieldName, HeaderTerm>, Unusable> {
    let name = |entry: &String| FieldName::new(header_pair(entry)?.0);
    let both = |entry: &String| {
        let (old, new) = header_pair(entry)?;
        Some((FieldName::new(old)?, FieldName::new(new)?))
    };
    let value = |entry: &String| {
        let (name, value) = header_pair(entry)?;
        Some((FieldName::new(name)?, HeaderTerm::new(value)?))
    };
    let with_value = |entry: &&String| header_pair(entry).is_some_and(|(_, value)| !value.is_empty());
    let values = |field, list: &[String]| all(field, list.iter().filter(with_value), value);
    Ok(Edits {
        // No field has a name that is none.
        remove: config.remove.headers.iter().filter_map(name).collect(),
        rename: all("rename", config.rename.headers.iter(), both)?,
        replace: values("replace", &config.replace.headers)?,
        add: values("add", &config.add.headers)?,
        append: values("append", &config.append.headers)?,
    })
}

fn query(config: &Config) -> Result<Edits<Vec<u8>, Template>, Unusable> {
    edits(
        [
            &config.remove.querystring,
            &config.rename.querystring,
            &config.replace.querystring,
            &config.add.querystring,
            &config.append.querystring,
        ],
        |name| name.as_bytes().to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_fields_begin_no_other_field() {
        for (text, value) in [
            ("a", "a"),
            (" a b ", "a b"),
            ("a\r\nx-b: c", "a%0D%0Ax-b: c"),
            ("a\0\x7f", "a%00%7F"),
            ("a\tb", "a\tb"),
            ("\u{fc}", "\u{fc}"),
        ] {
            assert_eq!(field_value(text.as_bytes()), value.as_bytes(), "{text:?}");
        }
        assert!(matches!(HeaderTerm::new("\u{fc}"), Some(HeaderTerm::Fixed(value)) if value == "\u{fc}"));
    }
}
