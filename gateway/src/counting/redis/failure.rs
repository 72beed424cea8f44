//! Why a command has no answer.

/// Why a command has no answer. The text is for logs: it has nothing of what a server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisFailure {
    /// The server was away before, and nobody has reached it since.
    #[error("the server is away")]
    Away,
    /// Nothing came within the timeout.
    #[error("the server does not answer in time")]
    TimedOut,
    /// The name has no address.
    #[error("the name of the server has no address")]
    NameResolution,
    /// The configuration of this node forbids every address of the server.
    #[error("the address of the server is not allowed (upstream.deny, upstream.allow)")]
    Denied,
    /// No address accepts a connection.
    #[error("no address of the server accepts a connection")]
    Connect,
    /// The TLS handshake failed.
    #[error("the TLS handshake with the server failed")]
    Tls,
    /// The server does not accept the user or the password.
    #[error("the server does not accept the user and the password")]
    Unauthenticated,
    /// The connection broke, or what came is not the protocol.
    #[error("the connection with the server broke")]
    Broken,
    /// The server refused the command.
    #[error("the server refused a command")]
    Refused,
}

impl RedisFailure {
    /// Whether the connection cannot be used any more.
    pub(super) fn is_of_connection(self) -> bool {
        self != Self::Refused
    }
}

impl From<redis::RedisError> for RedisFailure {
    fn from(error: redis::RedisError) -> Self {
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => Self::Unauthenticated,
            redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => Self::Refused,
            redis::ErrorKind::Io if error.is_timeout() => Self::TimedOut,
            _ => Self::Broken,
        }
    }
}
