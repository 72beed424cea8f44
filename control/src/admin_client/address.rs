//! The address of an Admin API.

use std::fmt;
use std::path::PathBuf;

/// Where the Admin API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A port.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        port: u16,
        tls: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Parses `http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:///PATH`.
    ///
    /// # Errors
    /// The reason, with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid =
            || format!("--admin {text}: expected http://HOST:PORT, https://HOST:PORT or unix:///PATH");
        let (scheme, rest) = text.split_once(':').ok_or_else(invalid)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (tls, default) = match scheme {
            "http" => (false, 8001),
            "https" => (true, 8444),
            "unix" if rest.starts_with('/') => return Ok(Self::Unix(rest.into())),
            _ => return Err(invalid()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() || authority.contains(['/', '@', '?', '#']) {
            return Err(invalid());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| invalid())?),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() { Err(invalid()) } else { Ok(Self::Tcp { host, port, tls }) }
    }

    /// The value of the field `Host`.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { tls, .. } => write!(f, "http{}://{}", if *tls { "s" } else { "" }, self.host()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("http://a:8001", "http://a:8001"),
            ("http://a/", "http://a:8001"),
            ("https://a", "https://a:8444"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("http://[::1]", "http://[::1]:8001"),
            ("unix:///run/a.sock", "unix:///run/a.sock"),
            ("unix:/run/a.sock", "unix:///run/a.sock"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["", "a", "a:8001", "ftp://a", "http://", "http://a:b", "http://a/b", "http://u@a", "unix:a"]
        {
            assert!(Address::parse(text).unwrap_err().contains(text), "{text}");
        }
    }
}
