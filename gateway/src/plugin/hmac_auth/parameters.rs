//! The credentials of a signed request: `hmac username="…", algorithm="…", headers="…", signature="…"`.

use http::HeaderMap;
use model::Word;
use model::plugins::hmac_auth::HmacAlgorithm;

use crate::plugin::auth::scheme;

/// The most names of signed headers.
const MOST_NAMES: usize = 100;

/// The credentials of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters<'a> {
    pub(super) username: &'a str,
    pub(super) algorithm: HmacAlgorithm,
    /// The names of the headers that are signed, with blanks between them.
    headers: &'a str,
    /// The signature in base64.
    pub(super) signature: &'a str,
}

impl<'a> Parameters<'a> {
    /// Those of a request: of Proxy-Authorization, or else of Authorization.
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let values = scheme::FIELDS.iter().filter_map(|name| headers.get(name));
        values.filter_map(|value| str::from_utf8(value.as_bytes()).ok()).find_map(Self::parse)
    }

    /// The names of the headers that are signed, in their order.
    pub(super) fn headers(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.headers.split(' ').filter(|name| !name.is_empty())
    }

    /// Each parameter must be there once, with a value. Others are ignored.
    fn parse(value: &'a str) -> Option<Self> {
        let rest = scheme::credentials(value.as_bytes(), "hmac")?;
        let (mut username, mut algorithm, mut headers, mut signature) = (None, None, None, None);
        for (name, value) in pairs(str::from_utf8(rest).ok()?)? {
            let place = match name {
                "username" => &mut username,
                "algorithm" => &mut algorithm,
                "headers" => &mut headers,
                "signature" => &mut signature,
                _ => continue,
            };
            if value.is_empty() || place.replace(value).is_some() {
                return None;
            }
        }
        let algorithm = HmacAlgorithm::ALL.iter().copied().find(|one| Some(one.as_str()) == algorithm)?;
        let given = Self { username: username?, algorithm, headers: headers?, signature: signature? };
        are_few_and_distinct(given.headers()).then_some(given)
    }
}

/// Whether there are not too many names, and none is there twice. The text that they sign is then little longer
/// than the request: it is made before the signature is compared, so anyone can have it made.
fn are_few_and_distinct<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if seen.len() == MOST_NAMES || seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return false;
        }
        seen.push(name);
    }
    true
}

/// The pairs of a list such as `a="1", b="2"`; `None` when it is none.
fn pairs(text: &str) -> Option<Vec<(&str, &str)>> {
    let (mut pairs, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = value.split_once('"')?;
        pairs.push((name.trim(), value));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_requests() {
        let whole =
            r#"hmac username="u", algorithm="hmac-sha256", headers="date request-line", signature="eA==""#;
        let expected = Parameters {
            username: "u",
            algorithm: HmacAlgorithm::Sha256,
            headers: "date request-line",
            signature: "eA==",
        };
        let other = whole.replace(", ", ",").replace("hmac ", "  HMAC  ");
        let swapped = r#"hmac signature="eA==",headers="date request-line" , algorithm="hmac-sha256",a="b",username="u""#;
        for good in [whole, &other, swapped] {
            assert_eq!(Parameters::parse(good).as_ref(), Some(&expected), "{good}");
        }
        assert_eq!(Parameters::parse(whole).unwrap().headers().collect::<Vec<_>>(), ["date", "request-line"]);
        for (from, to) in [
            ("hmac ", "basic "),
            ("hmac ", ""),
            ("hmac-sha256", "hmac-md5"),
            ("hmac-sha256", "HMAC-SHA256"),
            ("date request-line", ""),
            ("\"u\"", "\"\""),
            ("eA==", ""),
            ("algorithm", "algo"),
            ("username=\"u\", ", ""),
            ("username=\"u\"", "username=\"u\", username=\"v\""),
            ("eA==\"", "eA=="),
            ("\", algorithm", "\" algorithm"),
        ] {
            let bad = whole.replacen(from, to, 1);
            assert_eq!(Parameters::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn signed_names_are_few_and_distinct() {
        let names =
            |count: usize| (0..count).map(|number| format!("x-{number}")).collect::<Vec<_>>().join(" ");
        for (names, is_good) in [
            (names(MOST_NAMES), true),
            (names(MOST_NAMES + 1), false),
            ("a ".repeat(15_000), false),
            ("date X-Date x-date".to_owned(), false),
            ("request-line request-line".to_owned(), false),
        ] {
            let text = format!(
                "hmac username=\"u\", algorithm=\"hmac-sha1\", headers=\"{names}\", signature=\"eA==\""
            );
            assert_eq!(Parameters::parse(&text).is_some(), is_good, "{names}");
        }
    }

    #[test]
    fn usernames_are_any_text() {
        let text =
            "hmac username=\"j\u{f6}rg\", algorithm=\"hmac-sha1\", headers=\"date\", signature=\"eA==\"";
        let value = http::HeaderValue::from_bytes(text.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
        assert_eq!(Parameters::of(&headers).map(|given| given.username), Some("j\u{f6}rg"));
    }
}
