//! How a server of redis is reached.

use std::fmt;
use std::time::Duration;

use model::PrivateKey;

/// How a server is reached. Equal terms share one connection.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisTerms {
    /// Its name or address.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// The longest time of a command, and of a connection with its handshakes.
    pub timeout: Duration,
    /// The user of `AUTH`.
    pub username: Option<Box<str>>,
    /// The password of `AUTH`.
    pub password: Option<PrivateKey>,
    /// The number of the database.
    pub database: u32,
    /// The terms of TLS; `None`: without.
    pub tls: Option<RedisTls>,
}

/// The terms of TLS with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTls {
    /// Whether its certificate is verified.
    pub verify: bool,
    /// The name that is verified, and sent; `None`: that of the server.
    pub server_name: Option<Box<str>>,
}

impl RedisTerms {
    /// The terms that a configuration describes; `None` when it names no server.
    pub fn new(config: &model::plugins::counting::Redis) -> Option<Self> {
        let host = config.host.as_deref()?;
        let tls = || RedisTls {
            verify: config.ssl_verify,
            server_name: config.server_name.as_deref().map(Into::into),
        };
        Some(Self {
            host: host.into(),
            port: config.port,
            timeout: Duration::from_millis(config.timeout.into()),
            username: config.username.as_deref().map(Into::into),
            password: config.password.clone().filter(|password| !password.is_empty()),
            database: config.database,
            tls: config.ssl.then(tls),
        })
    }

    /// The name that the server's certificate must have.
    pub fn server_name(&self) -> &str {
        self.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(&self.host)
    }
}

/// Without the password.
impl fmt::Debug for RedisTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The server, for logs.
impl fmt::Display for RedisTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis {}:{}, database {}", self.host, self.port, self.database)
    }
}
