//! The type of a body.

/// A type of bodies that plugins can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum MediaType {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart,
}

/// The type that a `Content-Type` names; `None` for every other one. As in Kong, the name may stand anywhere.
pub(in crate::plugin) fn media_type(content_type: &[u8]) -> Option<MediaType> {
    let lower = content_type.to_ascii_lowercase();
    let names = [
        ("application/json", MediaType::Json),
        ("multipart/form-data", MediaType::Multipart),
        ("application/x-www-form-urlencoded", MediaType::Form),
    ];
    let found = names.iter().find(|(name, _)| memchr::memmem::find(&lower, name.as_bytes()).is_some());
    found.map(|(_, media_type)| *media_type)
}

/// The value of a parameter of a field, such as the boundary of a `Content-Type` (RFC 9110, section 5.6.6). The
/// name is compared without regard to case.
pub(in crate::plugin) fn parameter(field: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mut rest = &field[memchr::memchr(b';', field)?..];
    while let Some((_, after)) = rest.split_first() {
        let after = after.trim_ascii_start();
        let end = after.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(after.len());
        let name = after[..end].trim_ascii_end();
        let Some(b'=') = after.get(end) else {
            rest = &after[end..];
            continue;
        };
        let (value, behind) = value(after[end + 1..].trim_ascii_start());
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(value);
        }
        rest = behind;
    }
    None
}

/// A value at the start of `text`, in quotes or not, and what begins with the next semicolon.
fn value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        return (text[..end].trim_ascii_end().to_vec(), &text[end..]);
    };
    let (mut value, mut at) = (Vec::new(), 0);
    while let Some(&byte) = quoted.get(at) {
        match (byte, quoted.get(at + 1)) {
            (b'"', _) => break,
            (b'\\', Some(escaped @ (b'"' | b'\\'))) => {
                value.push(*escaped);
                at += 1;
            }
            _ => value.push(byte),
        }
        at += 1;
    }
    let behind = quoted.get(at + 1..).unwrap_or_default();
    let end = memchr::memchr(b';', behind).unwrap_or(behind.len());
    (value, &behind[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_name() {
        for (content_type, wanted) in [
            ("application/json", Some(MediaType::Json)),
            ("Application/JSON; charset=utf-8", Some(MediaType::Json)),
            ("multipart/form-data; boundary=x", Some(MediaType::Multipart)),
            ("application/x-www-form-urlencoded", Some(MediaType::Form)),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(media_type(content_type.as_bytes()), wanted, "{content_type}");
        }
    }

    #[test]
    fn parameters_of_fields() {
        for (field, wanted) in [
            ("form-data; name=a", Some("a")),
            ("form-data; name=\"a b\"; filename=\"c\"", Some("a b")),
            ("form-data; filename=\"x; name=y\"; name=\"a\"", Some("a")),
            (r#"form-data; name="a\"b\\c""#, Some(r#"a"b\c"#)),
            ("form-data; NAME = a ;x", Some("a")),
            ("form-data; x; name=a", Some("a")),
            ("form-data; name=\"open", Some("open")),
            ("form-data; name=", Some("")),
            ("form-data; filename=a", None),
            ("form-data;", None),
            ("name=a", None),
        ] {
            let found = parameter(field.as_bytes(), "name");
            assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{field}");
        }
    }
}
