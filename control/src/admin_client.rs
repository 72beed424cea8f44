//! A client of the Admin API, for the commands: one request on one connection, over a port, TLS or a Unix
//! socket.

mod address;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use node::exit::ExitError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

pub(crate) use self::address::Address;
use self::tls::TlsFiles;

/// Timeout of a connection, with its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that is read as a whole.
const MAX_ANSWER: usize = 256 << 20;
/// The environment variables of the address and the token. Their names do not begin as those of a node's
/// configuration do.
const ADDRESS: &str = "GIBBONCTL_ADMIN";
const TOKEN: &str = "GIBBONCTL_TOKEN";

/// Where the Admin API is, and how this client identifies itself.
#[derive(Clone, Debug, Args)]
pub struct AdminOptions {
    /// The Admin API: http://HOST:PORT, https://HOST:PORT or unix:///SOCKET; else the variable GIBBONCTL_ADMIN,
    /// else http://127.0.0.1:8001
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// A token, which other users of this machine can see in the list of processes; else the file, else the
    /// variable GIBBONCTL_TOKEN
    #[arg(long)]
    token: Option<String>,
    /// A file with a token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Authorities for https, PEM; else those of the system
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// A certificate to show over https, PEM
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// How many seconds the whole request may take
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// The body of a request.
pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// A client.
#[derive(Debug)]
pub(crate) struct AdminClient {
    address: Address,
    token: Option<String>,
    tls: TlsFiles,
    /// The timeout of a whole request.
    pub(crate) timeout: Duration,
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    body: Incoming,
    _connection: JoinSet<()>,
}

impl AdminClient {
    /// Reads the options and the environment.
    ///
    /// # Errors
    /// When the address is invalid or the file of the token cannot be read.
    pub(crate) fn new(options: &AdminOptions) -> Result<Self, ExitError> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let address = options.admin.clone().or_else(|| variable(ADDRESS));
        let address = address.as_deref().unwrap_or("http://127.0.0.1:8001");
        let address = Address::parse(address).map_err(ExitError::config)?;
        let token = match (&options.token, &options.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file);
                let text = text
                    .map_err(|error| ExitError::config(format!("cannot read {}: {error}", file.display())))?;
                Some(text.trim().to_owned())
            }
            (None, None) => variable(TOKEN),
        };
        let (ca, cert, key) =
            (options.ca_cert.clone(), options.client_cert.clone(), options.client_key.clone());
        let tls = TlsFiles { ca, pair: cert.zip(key) };
        Ok(Self { address, token, tls, timeout: Duration::from_secs(options.timeout) })
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// When the Admin API cannot be reached or does not answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, ExitError> {
        let body = Empty::new().map_err(|never| match never {}).boxed();
        self.send(Request::builder().method(Method::GET).uri(path), body).await
    }

    /// Sends a document of `length` bytes.
    ///
    /// # Errors
    /// When the Admin API cannot be reached or does not answer.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        length: u64,
        body: Body,
    ) -> Result<Answer, ExitError> {
        let request = Request::builder().method(Method::POST).uri(path);
        let request =
            request.header(header::CONTENT_TYPE, content_type).header(header::CONTENT_LENGTH, length);
        self.send(request, body).await
    }

    async fn send(&self, request: http::request::Builder, body: Body) -> Result<Answer, ExitError> {
        let request = request.header(header::HOST, self.address.host());
        let request = match &self.token {
            Some(token) => request.header("kong-admin-token", token),
            None => request,
        };
        let request =
            request.body(body).map_err(|error| ExitError::config(format!("cannot ask: {error}")))?;
        let exchange = async {
            match &self.address {
                Address::Unix(path) => self.exchange(UnixStream::connect(path), request).await,
                Address::Tcp { host, port, tls: false } => {
                    self.exchange(TcpStream::connect((host.as_str(), *port)), request).await
                }
                Address::Tcp { host, port, tls: true } => {
                    let connector = self.tls.connector().map_err(ExitError::config)?;
                    let connect = async {
                        let stream = TcpStream::connect((host.as_str(), *port)).await?;
                        connector.connect(tls::server_name(host)?, stream).await
                    };
                    self.exchange(connect, request).await
                }
            }
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(self.too_late()))
    }

    /// The failure of a request that took too long.
    pub(crate) fn too_late(&self) -> ExitError {
        let seconds = self.timeout.as_secs();
        ExitError::unavailable(format!("{} has not answered within {seconds} s (--timeout)", self.address))
    }

    async fn exchange<S>(
        &self,
        connect: impl Future<Output = std::io::Result<S>>,
        request: Request<Body>,
    ) -> Result<Answer, ExitError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await;
        let stream = stream.map_err(|_| self.unreachable("it does not answer"))?;
        let stream = stream.map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(error))?;
        let mut tasks = JoinSet::new();
        // Its error is that of the request.
        tasks.spawn(async move { drop(connection.await) });
        let response = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        let (parts, body) = response.into_parts();
        Ok(Answer { status: parts.status, body, _connection: tasks })
    }

    fn unreachable(&self, reason: impl std::fmt::Display) -> ExitError {
        ExitError::unavailable(format!("no answer from the Admin API at {}: {reason}", self.address))
    }
}

impl Answer {
    /// The next part of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, ExitError> {
        while let Some(frame) = self.body.frame().await {
            let frame =
                frame.map_err(|error| ExitError::unavailable(format!("the answer broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole body.
    ///
    /// # Errors
    /// When the connection breaks, or the body is too large.
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>, ExitError> {
        let mut whole = Vec::new();
        while let Some(part) = self.part().await? {
            if whole.len() + part.len() > MAX_ANSWER {
                return Err(ExitError::unavailable(format!("the answer has more than {MAX_ANSWER} bytes")));
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole)
    }
}
