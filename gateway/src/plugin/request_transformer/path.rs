//! The path that goes upstream in place of the one that the route and the service make.

use model::template::{Rendered as Piece, Template, Values};

use super::values::Budget;
use crate::error::RequestFailure;
use crate::plugin::content::encode_component;

/// What the template of a path has become.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    /// The path.
    pub(super) path: Vec<u8>,
    /// The query that stands behind it in the template.
    pub(super) query: Option<Vec<u8>>,
}

/// Renders the template of a path. A question mark that is written in the template begins a query; those of values
/// are encoded, so that no value adds an argument.
///
/// # Errors
/// [`RequestFailure::AmbiguousPath`] when the path has a segment by which it would lead elsewhere: the client that
/// sent a value does not choose among all paths of the upstream. Too many bytes are an error, too.
pub(super) fn render(
    template: &Template,
    values: &dyn Values,
    budget: &mut Budget,
) -> Result<Rendered, RequestFailure> {
    let (mut path, mut query): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
    for piece in template.render(values) {
        match (piece, &mut query) {
            (Piece::Text(text), None) => {
                budget.take(text.len())?;
                let (own, behind) =
                    text.split_once('?').map_or((text, None), |(own, rest)| (own, Some(rest)));
                push_encoded(own.as_bytes(), b"", &mut path);
                query = behind.map(|rest| rest.as_bytes().to_vec());
            }
            (Piece::Text(text), Some(query)) => {
                budget.take(text.len())?;
                push_encoded(text.as_bytes(), b"", query);
            }
            (Piece::Value(value), None) => {
                budget.take(value.len())?;
                push_encoded(&value, b"?", &mut path);
            }
            (Piece::Value(value), Some(query)) => {
                budget.take(value.len())?;
                encode_component(&value, query);
            }
        }
    }
    if !path.starts_with(b"/") {
        path.insert(0, b'/');
    }
    if leads_elsewhere(&path) { Err(RequestFailure::AmbiguousPath) } else { Ok(Rendered { path, query }) }
}

/// Writes a part of a target. Bytes that no target may have are encoded, and those of `others`.
fn push_encoded(text: &[u8], others: &[u8], target: &mut Vec<u8>) {
    for &byte in text {
        if (b'!'..=b'~').contains(&byte) && byte != b'#' && byte != b'\\' && !others.contains(&byte) {
            target.push(byte);
        } else {
            target.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// Whether the path has a dot segment, or one that other programs read as such.
fn leads_elsewhere(path: &[u8]) -> bool {
    let Some(canonical) = model::canonical_path(path) else { return true };
    // What has dot segments has fewer segments without them.
    let segments =
        |path: &[u8]| path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()).count();
    segments(canonical.as_bytes()) != segments(path)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use model::template::Scope;

    use super::*;

    struct One(&'static str);

    impl Values for One {
        fn value(&self, _scope: Scope, name: &str) -> Option<Cow<'_, [u8]>> {
            (name == "x").then_some(Cow::Borrowed(self.0.as_bytes()))
        }
    }

    fn rendered(template: &str, value: &'static str) -> Result<(String, Option<String>), RequestFailure> {
        let template = Template::parse(template).unwrap();
        let rendered = render(&template, &One(value), &mut Budget::default())?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ok((text(rendered.path), rendered.query.map(text)))
    }

    #[test]
    fn paths_are_rendered() {
        for (template, value, path, query) in [
            ("/a/b", "", "/a/b", None),
            ("a", "", "/a", None),
            ("/a//b/", "", "/a//b/", None),
            ("/a b\u{fc}", "", "/a%20b%C3%BC", None),
            ("/a%20b", "", "/a%20b", None),
            ("/$(headers.x)/y", "v w", "/v%20w/y", None),
            ("/$(headers.x)", "a/b%2Fc", "/a/b%2Fc", None),
            ("/$(headers.x)", "a?b=c#d\r\n", "/a%3Fb=c%23d%0D%0A", None),
            ("$(headers.x)", "/v", "/v", None),
            ("$(headers.none)", "", "/", None),
            ("/a?b=1", "", "/a", Some("b=1")),
            ("/a?b=$(headers.x)&c=2", "1&d=?", "/a", Some("b=1%26d%3D%3F&c=2")),
        ] {
            let wanted = (path.to_owned(), query.map(str::to_owned));
            assert_eq!(rendered(template, value), Ok(wanted), "{template} {value:?}");
        }
    }

    #[test]
    fn values_do_not_lead_elsewhere() {
        for value in [
            "..",
            "../admin",
            "a/../../admin",
            "%2e%2e/admin",
            "%2E%2E%2Fadmin",
            "..%2fadmin",
            "..\\admin",
            "..;/admin",
            ".",
            "a/./b",
            "%00",
        ] {
            assert_eq!(
                rendered("/public/$(headers.x)", value),
                Err(RequestFailure::AmbiguousPath),
                "{value}"
            );
        }
        for value in ["...", "..a", "a..b", "a.b"] {
            assert!(rendered("/public/$(headers.x)", value).is_ok(), "{value}");
        }
    }

    #[test]
    fn paths_are_bounded() {
        let template = Template::parse(&"$(headers.x)".repeat(40)).unwrap();
        let long: &'static str = Box::leak("a".repeat(8 << 10).into_boxed_str());
        let refused = render(&template, &One(long), &mut Budget::default());
        assert_eq!(refused, Err(RequestFailure::HeaderTooLarge));
    }
}
