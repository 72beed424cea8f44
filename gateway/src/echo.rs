//! An origin for demonstrations and tests: answers each request with a description of it.

use std::net::SocketAddr;

use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use node::exit::ExitError;
use parking_lot::Mutex;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use serde_json::{Map, Value, json};

use crate::app;
use crate::drain::{Signals, StopSignal};
use crate::draining::Draining;
use crate::listener::Bound;

/// Answers 200 with method, path, headers and size of the body, as JSON.
#[derive(Debug)]
struct Echo;

/// The signals to stop. Pingora itself would listen for signals only after it begins to serve.
struct Stop(Mutex<Option<Signals>>);

/// Serves on `address` until a signal to stop.
///
/// # Errors
/// When it cannot listen on the address, or for signals.
pub fn run(address: SocketAddr) -> Result<(), ExitError> {
    let signals = Signals::listen()?;
    let bound = Bound::bind(&[address]).map_err(ExitError::unavailable)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut server = Server::new_with_opt_and_conf(None, app::server_conf(threads));
    server.add_service(bound.serve("echo", Echo, Draining::new()));
    server.run(RunArgs { shutdown_signal: Box::new(Stop(Mutex::new(Some(signals)))) });
    Ok(())
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let signals = self.0.lock().take();
        if let Some(mut signals) = signals {
            loop {
                match signals.next().await {
                    StopSignal::Stop => return ShutdownSignal::GracefulTerminate,
                    StopSignal::StopNow => break,
                    // There is nothing to hand over.
                    StopSignal::Upgrade => {}
                }
            }
        }
        ShutdownSignal::FastShutdown
    }
}

#[async_trait]
impl ServeHttp for Echo {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let mut body_bytes = 0;
        // If a body breaks off, the answer reports the bytes that came.
        while let Ok(Some(chunk)) = session.read_request_body().await {
            body_bytes += chunk.len();
        }
        let header = session.req_header();
        let body = json!({
            "method": header.method.as_str(),
            "path": String::from_utf8_lossy(header.raw_path()),
            "headers": headers(&header.headers),
            "body_bytes": body_bytes,
        });
        let body = body.to_string().into_bytes();
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response
    }
}

/// Fields by name; several of one name are joined as a proxy may join them (RFC 9110, section 5.3).
fn headers(received: &http::HeaderMap) -> Map<String, Value> {
    let join = |name| {
        let values = received.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(", ")
    };
    received.keys().map(|name| (name.to_string(), Value::String(join(name)))).collect()
}
