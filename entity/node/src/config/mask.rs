//! Masks passwords inside URLs.

use std::borrow::Cow;

const MASK: &str = "***";

/// Masks the password of a URL in the text (`scheme://user:password@host`, `?password=…`).
///
/// Where the end of a password is unclear, it masks too much rather than too little.
pub fn mask_secrets(text: &str) -> Cow<'_, str> {
    match mask_userinfo(text) {
        Some(masked) => Cow::Owned(mask_parameter(&masked).unwrap_or(masked)),
        None => mask_parameter(text).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

fn mask_userinfo(text: &str) -> Option<String> {
    let authority = text.find("://")? + "://".len();
    // The last one: a password may hold an unescaped "@", a host may not.
    let end = authority + text[authority..].rfind('@')?;
    let password = authority + text[authority..end].find(':')? + 1;
    Some(format!("{}{MASK}{}", &text[..password], &text[end..]))
}

fn mask_parameter(text: &str) -> Option<String> {
    let query = text.find('?')?;
    let start = query + text[query..].find("password=")? + "password=".len();
    let end = text[start..].find('&').map_or(text.len(), |length| start + length);
    Some(format!("{}{MASK}{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_nothing_else() {
        for (text, masked) in [
            ("postgres://gibbon:secret@db:5432/gibbon", "postgres://gibbon:***@db:5432/gibbon"),
            ("postgres://gibbon:se@c/r:et@db/gibbon", "postgres://gibbon:***@db/gibbon"),
            ("postgres://gibbon@db/gibbon", "postgres://gibbon@db/gibbon"),
            ("postgres://db/g?user=a&password=b&ssl=1", "postgres://db/g?user=a&password=***&ssl=1"),
            ("postgres://a:b@db/g?password=c", "postgres://a:***@db/g?password=***"),
            ("sqlite:///var/lib/gibbon/control.db", "sqlite:///var/lib/gibbon/control.db"),
            ("127.0.0.1:8001", "127.0.0.1:8001"),
        ] {
            assert_eq!(mask_secrets(text), masked);
        }
    }
}
