//! redirect: sends clients to another place.

use http::HeaderValue;
use http::header::LOCATION;
use model::plugins::Redirect as Config;

use super::{Exchange, InstanceTerms, Phases, Plugin, Reply, Step, Unusable};

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct Redirect {
    status: u16,
    location: HeaderValue,
    /// What stands before and behind the path and query of the location, if those of the request replace them.
    around_path: Option<(String, String)>,
}

impl Plugin for Redirect {
    type Config = Config;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        let location = printable(config.location.as_bytes());
        let value = HeaderValue::from_str(&location)
            .map_err(|_| Unusable { field: "location", message: "not the value of a header".into() })?;
        let around_path = config.keep_incoming_path.then(|| around_path(&location));
        Ok(Self { status: config.status_code, location: value, around_path })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let location = match &self.around_path {
            None => Some(self.location.clone()),
            Some((before, behind)) => {
                let target = printable(exchange.sent_target());
                HeaderValue::from_str(&[before, &*target, behind].concat()).ok()
            }
        };
        let location = location.unwrap_or_else(|| self.location.clone());
        Step::reply(Reply::raw(self.status, None, "redirecting").with(LOCATION, location))
    }
}

/// The scheme and authority of a URL, and its fragment.
fn around_path(url: &str) -> (String, String) {
    let (url, fragment) = url.find('#').map_or((url, ""), |at| url.split_at(at));
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    (url[..end].to_owned(), fragment.to_owned())
}

/// Encodes every byte that a header may not hold, or that clients would read in different ways.
fn printable(url: &[u8]) -> String {
    let mut text = String::with_capacity(url.len());
    for &byte in url {
        match byte {
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_printable() {
        assert_eq!(printable("/\u{fc} a\r\n%20#?|".as_bytes()), "/%C3%BC%20a%0D%0A%20#?|");
    }

    #[test]
    fn paths_of_requests_stand_behind_the_authority() {
        for (url, before, behind) in [
            ("https://a.test:81/x?y=1#f", "https://a.test:81", "#f"),
            ("https://a.test", "https://a.test", ""),
            ("https://a.test?q=/x", "https://a.test", ""),
            ("http://[::1]:80/x#/y?z", "http://[::1]:80", "#/y?z"),
            ("https://u:p@a.test/", "https://u:p@a.test", ""),
        ] {
            assert_eq!(around_path(url), (before.to_owned(), behind.to_owned()), "{url}");
        }
    }
}
