//! What the configurations of request-transformer and response-transformer share: entries of the form `name:value`,
//! and their bounds.

use crate::check::text;
use crate::template::Template;

/// Entries of one list.
pub(super) const ENTRIES: usize = 200;
/// Bytes of an entry.
pub(super) const ENTRY: usize = 8 << 10;
/// Bytes of a body that is changed, unless a configuration says otherwise.
pub(super) const BODY_BYTES: u32 = 1 << 20;
/// The most bytes of a body that a configuration may allow: each request holds them several times.
pub(super) const MOST_BODY_BYTES: i64 = 64 << 20;

/// The name and the value of an entry `name:value`. The first run of colons divides them. `None` for one that
/// begins with a colon; the value is empty when there is none.
pub fn pair(entry: &str) -> Option<(&str, &str)> {
    let (name, rest) = entry.split_once(':').unwrap_or((entry, ""));
    (!name.is_empty()).then(|| (name, rest.trim_start_matches(':')))
}

/// The name and the value of an entry about a header. Blanks around a header's value are no part of it.
pub fn header_pair(entry: &str) -> Option<(&str, &str)> {
    pair(entry).map(|(name, value)| (name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t'])))
}

/// Whether the gateway alone writes a field of any message: it frames the message, or is about one connection.
pub fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 8] = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Checks a method that a request may get. A request for a tunnel is none that can be forwarded.
pub(super) fn method(method: &str) -> Result<(), String> {
    if method == "CONNECT" { Err(format!("invalid value: {method}")) } else { text::method(method) }
}

/// Checks an entry with a name and a value.
pub(super) fn name_and_value(entry: &str) -> Result<(), String> {
    match pair(entry) {
        Some((_, value)) if !value.is_empty() => Ok(()),
        found => Err(format!("key '{}' has no value", found.map_or("", |(name, _)| name))),
    }
}

/// Checks an entry with a name and a template.
pub(super) fn name_and_template(entry: &str) -> Result<(), String> {
    name_and_value(entry)?;
    template(pair(entry).map_or("", |(_, value)| value))
}

/// Checks an entry with a name and a value that may be empty.
pub(super) fn divided(entry: &str) -> Result<(), String> {
    if !entry.starts_with(':') && entry.contains(':') {
        Ok(())
    } else {
        Err(format!("invalid value: {entry}"))
    }
}

/// Checks an entry with the name of a header and its value.
pub(super) fn header_and_value(entry: &str) -> Result<(), String> {
    let (name, value) = header(entry)?;
    header_name(name)?;
    text::field_value(value).map_err(|_| format!("invalid value: {entry:?}"))
}

/// Checks an entry with the name of a header and a template of its value.
pub(super) fn header_and_template(entry: &str) -> Result<(), String> {
    header_and_value(entry)?;
    template(header(entry)?.1)
}

/// Checks an entry with the old and the new name of a header.
pub(super) fn header_and_header(entry: &str) -> Result<(), String> {
    let (old, new) = header(entry)?;
    header_name(old)?;
    header_name(new)
}

/// Checks a template of an upstream's path.
pub(super) fn path_template(path: &str) -> Result<(), String> {
    template(path)
}

fn header(entry: &str) -> Result<(&str, &str), String> {
    divided(entry)?;
    header_pair(entry).ok_or_else(|| format!("invalid value: {entry}"))
}

fn header_name(name: &str) -> Result<(), String> {
    let valid = !name.is_empty() && name.bytes().all(text::is_token);
    if valid { Ok(()) } else { Err(format!("'{name}' is not a valid header")) }
}

fn template(value: &str) -> Result<(), String> {
    let parsed = Template::parse(value);
    parsed.map(drop).map_err(|error| format!("value '{value}' is not in supported format, error:{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_divided_at_their_first_colons() {
        for (entry, divided) in [
            ("a:b", Some(("a", "b"))),
            ("a:b:c", Some(("a", "b:c"))),
            ("a::b", Some(("a", "b"))),
            ("a: b ", Some(("a", " b "))),
            ("a:", Some(("a", ""))),
            ("a", Some(("a", ""))),
            (":b", None),
            ("", None),
        ] {
            assert_eq!(pair(entry), divided, "{entry:?}");
        }
        assert_eq!(header_pair("a : b "), Some(("a", "b")));
    }

    #[test]
    fn entries_have_their_texts() {
        /// The check, what it checks, and its message.
        type Case = (crate::TextCheck, &'static str, &'static str);
        let checks: [Case; 14] = [
            (name_and_template, "a", "key 'a' has no value"),
            (name_and_template, "a:", "key 'a' has no value"),
            (name_and_template, ":a", "key '' has no value"),
            (name_and_value, "", "key '' has no value"),
            (
                name_and_template,
                "a:$(",
                "value '$(' is not in supported format, error:expected a value at character 3",
            ),
            (divided, "a", "invalid value: a"),
            (header_and_template, "x-a", "invalid value: x-a"),
            (header_and_template, "x a:b", "'x a' is not a valid header"),
            (header_and_template, "x-\u{fc}:b", "'x-\u{fc}' is not a valid header"),
            (header_and_value, "x-a:b\r\nx-b: c", r#"invalid value: "x-a:b\r\nx-b: c""#),
            (
                header_and_template,
                "x-a:$(x)",
                "value '$(x)' is not in supported format, error:unknown name 'x', expected one of: headers, \
                 query_params, uri_captures, shared",
            ),
            (header_and_header, "x-a", "invalid value: x-a"),
            (header_and_header, "x-a:x b", "'x b' is not a valid header"),
            (header_and_header, "x-a:", "'' is not a valid header"),
        ];
        for (check, entry, message) in checks {
            assert_eq!(check(entry), Err(message.to_owned()), "{entry:?}");
        }
        for good in ["a:b", "a:$(headers.x)", "a b: c", "a::"] {
            assert_eq!(divided(good), Ok(()));
        }
        for good in ["x-a:b", "x_a:b", "X-A: $(headers.x)", "x-a:"] {
            assert_eq!(header_and_template(good), Ok(()), "{good}");
        }
    }
}
