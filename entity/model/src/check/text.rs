//! The rules of names, tags, methods and header criteria.

use crate::HeaderPattern;

/// Checks a tag.
pub(crate) fn tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() || tag.chars().any(|c| c.is_control() || matches!(c, ',' | '/')) {
        let rule = "expected printable ascii (except `,` and `/`) or valid utf-8 sequences";
        return Err(format!("invalid tag '{tag}': {rule}"));
    }
    Ok(())
}

/// Checks a unique name: letters and digits of any language, and few others.
pub(crate) fn name(name: &str) -> Result<(), String> {
    let allowed = |c: char| match c {
        '.' | '-' | '_' | '~' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        _ => !c.is_control(),
    };
    if name.is_empty() {
        return Err("length must be at least 1".into());
    }
    if !name.chars().all(allowed) {
        return Err(format!(
            "invalid value '{name}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
        ));
    }
    Ok(())
}

pub(crate) fn method(method: &str) -> Result<(), String> {
    let valid = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if valid { Ok(()) } else { Err(format!("invalid value: {method}")) }
}

pub(crate) fn header_name(name: &str) -> Result<(), String> {
    if name.eq_ignore_ascii_case("host") {
        return Err("cannot contain 'host' header, which must be specified in the 'hosts' attribute".into());
    }
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(bad_header_name(name));
    }
    Ok(())
}

/// Checks the name of a header that probes send. Their Host header has a field of its own.
pub(crate) fn probe_header_name(name: &str) -> Result<(), String> {
    if name.is_empty() { Err(bad_header_name(name)) } else { written_header_name(name) }
}

/// Checks a text that an older version may have written empty.
pub(crate) fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("length must be at least 1".into()) } else { Ok(()) }
}

/// Checks the name of a header that a plugin reads or writes.
pub(crate) fn field_name(name: &str) -> Result<(), String> {
    not_empty(name).and_then(|()| written_header_name(name))
}

/// Checks a value of a header that is sent: a line break in it would begin another header.
pub(crate) fn field_value(value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) { Err(format!("invalid value: {value:?}")) } else { Ok(()) }
}

/// Checks a text that identifies a consumer or one of its credentials. Upstreams get some of these in header
/// fields. The message does not repeat the text: it may be a secret.
pub(crate) fn identifier(text: &str) -> Result<(), String> {
    let has_control = text.chars().any(char::is_control);
    if has_control { Err("must not contain control characters".to_owned()) } else { Ok(()) }
}

/// Checks the name of a cookie (RFC 6265, section 4.1.1).
pub(crate) fn cookie_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/?={}[]".contains(&byte);
    if name.bytes().all(allowed) {
        return Ok(());
    }
    Err("contains one or more invalid characters. ASCII control characters (0-31;127), space, tab and the \
         characters ()<>@,;:\\\"/?={}[] are not allowed."
        .to_owned())
}

/// Checks a header's name by the narrower rule for new writes; older versions accepted any token.
pub(crate) fn written_header_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.bytes().all(allowed) { Ok(()) } else { Err(bad_header_name(name)) }
}

fn bad_header_name(name: &str) -> String {
    format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'")
}

pub(crate) fn header_value(value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err(format!("invalid value: {value:?}"));
    }
    HeaderPattern::parse(value)
        .map(drop)
        .map_err(|error| format!("invalid regex: '{value}' ({})", error.reason()))
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "A.b-c_d~9", "stra\u{df}e", "\u{4f60}\u{597d}"] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a/b", "a\u{0}", "a:b", "\u{85}"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags() {
        for good in ["good one", "\u{e9}t\u{e9}"] {
            assert_eq!(tag(good), Ok(()), "{good}");
        }
        for bad in ["a,b", "a/b", "", "a\nb"] {
            assert!(tag(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn methods_and_headers() {
        assert_eq!(method("PURGE"), Ok(()));
        for bad in ["get", "", "GE T", "M-SEARCH"] {
            assert_eq!(method(bad), Err(format!("invalid value: {bad}")));
        }
        assert_eq!(header_name("x-version"), Ok(()));
        for bad in ["Host", "", "a b", "\u{fc}"] {
            assert!(header_name(bad).is_err(), "{bad}");
        }
        for (value, good) in [("v1", true), ("~*^v[12]$", true), ("~*(", false), ("a\u{0}", false)] {
            assert_eq!(header_value(value).is_ok(), good, "{value:?}");
        }
    }
}
