//! An HTTP/1.1 client that sends exactly the bytes of the test. A library would repair what a test wants to
//! send broken. Connections are kept alive and reused; nothing is ever sent twice.

mod connection;
mod message;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

pub use connection::Connection;
pub use message::{Request, Response};

/// The timeout of one exchange.
const DEADLINE: Duration = Duration::from_secs(20);

/// A client of one server. Clones share its idle connections.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<Connection>>>,
    deadline: Duration,
}

impl Client {
    /// Makes a client of the server at this address. It connects when there is something to send.
    pub fn new(address: impl Into<SocketAddr>) -> Self {
        Self { address: address.into(), idle: Arc::default(), deadline: DEADLINE }
    }

    /// Sets the timeout of one exchange, 20 s by default.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a `GET`.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn get(&self, target: &str) -> Result<Response> {
        self.send(&Request::new("GET", target)).await
    }

    /// Sends a `DELETE`.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn delete(&self, target: &str) -> Result<Response> {
        self.send(&Request::new("DELETE", target)).await
    }

    /// Sends a `POST` of JSON.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn post(&self, target: &str, body: &Value) -> Result<Response> {
        self.send(&Request::new("POST", target).json(body)).await
    }

    /// Sends a `PUT` of JSON.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn put(&self, target: &str, body: &Value) -> Result<Response> {
        self.send(&Request::new("PUT", target).json(body)).await
    }

    /// Sends a `PATCH` of JSON.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn patch(&self, target: &str, body: &Value) -> Result<Response> {
        self.send(&Request::new("PATCH", target).json(body)).await
    }

    /// Sends a `POST` of a form.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn post_form(&self, target: &str, fields: &[(&str, &str)]) -> Result<Response> {
        self.send(&Request::new("POST", target).form(fields)).await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, closes before the answer is complete, sends something other than
    /// HTTP/1.1, or exceeds the timeout.
    pub async fn send(&self, request: &Request) -> Result<Response> {
        let host = self.address.to_string();
        let what = format!("{} http://{host}{}", request.method(), request.target());
        self.exchange(&request.encode(&host), request.method() == "HEAD").await.context(what)
    }

    /// Sends these bytes and reads one answer to them, over a connection of its own.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn raw(&self, bytes: &[u8]) -> Result<Response> {
        let mut connection = Connection::open(self.address).await?;
        let exchange = async {
            connection.write(bytes).await?;
            connection.read_response(bytes.starts_with(b"HEAD ")).await
        };
        tokio::time::timeout(self.deadline, exchange).await.context("no answer in time")?
    }

    async fn exchange(&self, request: &[u8], head: bool) -> Result<Response> {
        let exchange = async {
            let mut connection = match self.idle_connection() {
                Some(connection) => connection,
                None => Connection::open(self.address).await?,
            };
            connection.write(request).await?;
            let response = connection.read_response(head).await?;
            if response.keeps_alive() {
                self.idle().push(connection);
            }
            anyhow::Ok(response)
        };
        tokio::time::timeout(self.deadline, exchange).await.context("no answer in time")?
    }

    /// Takes an idle connection that the server has not closed meanwhile: a request has no second try.
    fn idle_connection(&self) -> Option<Connection> {
        std::iter::from_fn(|| self.idle().pop()).find(Connection::is_open)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("nothing panics while the idle connections are held")
    }
}

/// The error for a peer that closes too early.
fn ended(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the connection ended {what}"))
}
