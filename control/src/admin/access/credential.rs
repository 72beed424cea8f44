//! Identifies a client: by its token, its certificate, or its user on this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use node::http::{Address, Peer};
use node::tokens::{TokenRole, Tokens, sent};
use rustls_pki_types::UnixTime;
use tokio::sync::{Semaphore, watch};

use crate::admin::host::Host;
use crate::admin::tls::Trusted;
use crate::error::AccessError;
use crate::store::Author;

/// The most characters of an author's name: a certificate may hold a long one.
const MAX_NAME: usize = 256;

/// Delay of the answer to a wrong token.
const DELAY: Duration = Duration::from_secs(1);

/// The ways to identify clients. With neither, the listener accepts every client; the configuration allows
/// that on loopback only.
#[derive(Debug)]
pub(crate) struct Credentials {
    tokens: Option<watch::Receiver<Arc<Tokens>>>,
    tls: Option<watch::Receiver<Arc<Trusted>>>,
    /// Limits the wrong tokens whose answers are delayed at the same time. Further ones are answered at once,
    /// so that wrong tokens do not use up the requests in flight.
    delayed: Semaphore,
}

/// The client that sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The client's name in the log.
    pub(super) name: String,
    role: TokenRole,
}

impl Credentials {
    /// At most `delayed` requests with a wrong token wait at the same time.
    pub(crate) fn new(
        tokens: Option<watch::Receiver<Arc<Tokens>>>,
        tls: Option<watch::Receiver<Arc<Trusted>>>,
        delayed: usize,
    ) -> Self {
        Self { tokens, tls, delayed: Semaphore::new(delayed) }
    }

    /// Identifies the client that sends a request with this header on this connection.
    pub(super) async fn caller(&self, headers: &HeaderMap, peer: &Peer) -> Result<Caller, AccessError> {
        // The mode of the socket has let this user connect.
        if let Address::Unix { uid } = peer.address {
            return Ok(Caller::admin(format!("uid {uid}")));
        }
        if let Some(tokens) = &self.tokens {
            match sent(headers) {
                Ok(None) => {}
                Ok(Some(token)) => {
                    let known = tokens.borrow().find(token).map(Caller::of_token);
                    return self.or_late(known).await;
                }
                Err(_ambiguous) => return self.or_late(None).await,
            }
        }
        match &self.tls {
            Some(tls) if !peer.certificates.is_empty() => {
                let name = tls.borrow().name_of(&peer.certificates, UnixTime::now());
                name.map(Caller::admin).ok_or(AccessError::BadCredential)
            }
            _ if self.are_needed() => Err(AccessError::NoCredential),
            _ => Ok(Caller::admin("anonymous".to_owned())),
        }
    }

    /// Whether the listener's own certificate is for this name.
    pub(super) fn is_own_name(&self, host: &Host) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().hosts.contains(host))
    }

    fn are_needed(&self) -> bool {
        self.tokens.is_some() || self.tls.as_ref().is_some_and(|tls| tls.borrow().asks_clients())
    }

    async fn or_late(&self, known: Option<Caller>) -> Result<Caller, AccessError> {
        if known.is_none()
            && let Ok(_slot) = self.delayed.try_acquire()
        {
            tokio::time::sleep(DELAY).await;
        }
        known.ok_or(AccessError::BadCredential)
    }
}

impl Caller {
    fn admin(name: String) -> Self {
        Self { name, role: TokenRole::Admin }
    }

    fn of_token(token: &node::tokens::Token) -> Self {
        Self { name: token.name.clone(), role: token.role }
    }

    /// The client as the author of a write.
    pub(super) fn author(&self, peer: &Peer) -> Author {
        let name = self.name.chars().take(MAX_NAME).collect();
        Author { name: Some(name), from: Some(peer.address.to_string()) }
    }

    pub(super) fn may_write(&self) -> bool {
        self.role == TokenRole::Admin
    }
}

#[cfg(test)]
mod tests {
    use node::tokens::create;
    use tokio::time::Instant;

    use super::*;

    fn peer() -> Peer {
        let address = Address::Tcp(([192, 0, 2, 1], 1).into());
        Peer { address, local: None, tls: false, certificates: Vec::new() }
    }

    fn with_token(token: &str) -> HeaderMap {
        [("kong-admin-token".parse().unwrap(), token.parse().unwrap())].into_iter().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_are_delayed_and_no_more_than_a_few_of_them() {
        let token = create("alice", TokenRole::Read).unwrap();
        let tokens = watch::Sender::new(Arc::new(token.line.parse::<Tokens>().unwrap()));
        let credentials = Credentials::new(Some(tokens.subscribe()), None, 1);
        let begun = Instant::now();
        let caller = credentials.caller(&with_token(&token.secret), &peer()).await.unwrap();
        assert!(caller.name == "alice" && !caller.may_write());
        assert_eq!(credentials.caller(&HeaderMap::new(), &peer()).await, Err(AccessError::NoCredential));
        assert_eq!(begun.elapsed(), Duration::ZERO);

        let (wrong, peer) = (with_token("guess"), peer());
        let one = async {
            let answer = credentials.caller(&wrong, &peer).await;
            (answer, begun.elapsed())
        };
        let another = async {
            let answer = credentials.caller(&wrong, &peer).await;
            (answer, begun.elapsed())
        };
        let (one, another) = tokio::join!(one, another);
        assert_eq!(one, (Err(AccessError::BadCredential), DELAY));
        assert_eq!(another, (Err(AccessError::BadCredential), Duration::ZERO));
    }

    #[tokio::test]
    async fn without_credentials_anybody_is_let_in() {
        let credentials = Credentials::new(None, None, 1);
        assert!(credentials.caller(&with_token("any"), &peer()).await.unwrap().may_write());
    }
}
