//! Clients of each protocol, which know nothing of the gateway's library.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use testkit::http::{Client, Connection, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Form;

const TIMEOUT: Duration = Duration::from_secs(20);
/// A field of the gRPC server's answer that shows one of the request.
const SEEN: &str = "seen-";

/// What is sent, whatever the protocol.
pub(super) struct Sent {
    pub(super) method: &'static str,
    /// The path, if it is not that of the form.
    pub(super) path: Option<&'static str>,
    pub(super) fields: Vec<(String, String)>,
    /// The size of the body, or of the message of a call.
    pub(super) body: usize,
}

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// The status and the message of a call.
    pub(super) code: Option<u8>,
    pub(super) message: Option<String>,
    pub(super) tunnel: Option<Tunnel>,
    /// The fields that the upstream received.
    pub(super) upstream: Option<Vec<(String, String)>>,
}

/// An open tunnel.
pub(super) struct Tunnel(Connection);

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a tunnel")
    }
}

impl Sent {
    /// A request with these fields and without a body.
    pub(super) fn with(fields: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { method: "GET", path: None, fields: fields.iter().map(owned).collect(), body: 0 }
    }

    /// A request with a body of this size.
    pub(super) fn sized(body: usize) -> Self {
        Self { method: "POST", body, ..Self::with(&[]) }
    }
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// A field that the upstream received.
    pub(super) fn to_upstream(&self, name: &str) -> Option<&str> {
        find(self.upstream.as_ref()?, name)
    }

    /// The message of a JSON body, or the text of another.
    pub(super) fn said(&self) -> Option<String> {
        let text = String::from_utf8(self.body.to_vec()).ok()?;
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        Some(json.and_then(|json| json["message"].as_str().map(str::to_owned)).unwrap_or(text))
    }

    /// Sends bytes through the tunnel, if there is one, and reads them back. They are more than a plugin here
    /// allows a body to have.
    pub(super) async fn echo(&mut self) {
        let Some(Tunnel(connection)) = &mut self.tunnel else { return };
        let bytes = [b'x'; 1000];
        connection.write(&bytes).await.unwrap();
        let back = timeout(TIMEOUT, connection.read_exact(bytes.len())).await.expect("an echo");
        let back = back.unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(&back[..], bytes);
    }
}

fn find<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
}

/// Sends a request, and reads its answer to the end.
pub(super) async fn send(gateway: SocketAddr, form: Form, sent: &Sent) -> Reply {
    let exchange = async {
        match form {
            Form::Http1 => http1(gateway, sent).await,
            Form::Http2 | Form::Grpc => http2(gateway, form, sent).await,
            Form::WebSocket => websocket(gateway, sent).await,
        }
    };
    timeout(TIMEOUT, exchange).await.expect("an answer in time")
}

async fn http1(gateway: SocketAddr, sent: &Sent) -> Reply {
    let request = Request::new(sent.method, sent.path.unwrap_or(Form::Http1.path()));
    let request = sent.fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    Reply::from(Client::new(gateway).send(&request.body(vec![b'x'; sent.body])).await.unwrap())
}

async fn websocket(gateway: SocketAddr, sent: &Sent) -> Reply {
    let mut connection = Connection::open(gateway).await.unwrap();
    let fields: Vec<_> = sent.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        Form::WebSocket.path(),
        fields.concat()
    );
    connection.write(request.as_bytes()).await.unwrap();
    let reply = Reply::from(connection.read_response(false).await.unwrap());
    Reply { tunnel: (reply.status == 101).then_some(Tunnel(connection)), ..reply }
}

/// A call has the media type, a message and trailers; else it is a request of HTTP/2.
async fn http2(gateway: SocketAddr, form: Form, sent: &Sent) -> Reply {
    let (mut client, connection) =
        h2::client::handshake(TcpStream::connect(gateway).await.unwrap()).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let uri = format!("http://{gateway}{}", sent.path.unwrap_or(form.path()));
    let is_call = form == Form::Grpc;
    let mut request = http::Request::builder().method(if is_call { "POST" } else { sent.method }).uri(uri);
    for (name, value) in &sent.fields {
        request = request.header(name, value);
    }
    let mut body = vec![b'x'; sent.body];
    if is_call {
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        // For an upstream that says what was used.
        request = request.header("answer-x-kong-limit", "videos=1");
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        body = [&[0][..], &length, &body].concat();
        if sent.body > 0 {
            // Without it, the server may answer before the gateway has seen that the message is too large. The refusal
            // then breaks that answer off.
            request = request.header("content-length", body.len());
        }
    }
    let (answer, mut stream) = client.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
    if !body.is_empty() {
        // A refusal may come before it.
        stream.send_data(body.into(), true).ok();
    }
    read(answer.await.unwrap(), is_call).await
}

async fn read(answer: http::Response<h2::RecvStream>, is_call: bool) -> Reply {
    let (head, mut body) = answer.into_parts();
    let mut read = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        read.extend_from_slice(&data);
    }
    // After a refusal that did not read the request, there may be a reset.
    let trailers = body.trailers().await.ok().flatten().unwrap_or_default();
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers: Vec<_> = head.headers.iter().map(text).collect();
    let ends: Vec<_> = head.headers.iter().chain(&trailers).map(text).collect();
    let shown =
        headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(SEEN)?.to_owned(), value.clone())));
    let shown: Vec<_> = shown.collect();
    Reply {
        status: head.status.as_u16(),
        code: find(&ends, "grpc-status").map(|code| code.parse().unwrap()),
        message: find(&ends, "grpc-message").map(str::to_owned),
        upstream: (is_call && !shown.is_empty()).then_some(shown),
        headers,
        body: read.into(),
        tunnel: None,
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let Response { status, headers, body, .. } = response;
        Self { status, headers, body, ..Self::default() }
    }
}
