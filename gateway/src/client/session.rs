//! The session that Pingora's phases see. It only leads to the [`Slot`]: the phases read and write by the
//! client that they take out of it, never by this session.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use super::Slot;

/// A session without a connection.
#[derive(Debug)]
pub struct Shell {
    /// The method, a path of "/", and the slot as an extension.
    header: RequestHeader,
}

impl Shell {
    /// Creates the shell of a request with `method` that waits in `slot`.
    ///
    /// # Errors
    /// Never; Pingora's constructor for any target has an error.
    pub fn new(method: Method, slot: Arc<Slot>) -> Result<Box<Self>> {
        let mut header = RequestHeader::build_no_case(method, b"/", Some(0))?;
        header.extensions_mut().insert(slot);
        Ok(Box::new(Self { header }))
    }
}

/// The error of everything that a session without a connection cannot do.
fn unsupported<T>() -> Result<T> {
    Err(Error::explain(ErrorType::InternalError, "the session has no connection of its own"))
}

type MessageReader = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

#[async_trait]
impl Session for Shell {
    fn req_header(&self) -> &RequestHeader {
        &self.header
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.header
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        unsupported()
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        unsupported()
    }

    async fn write_response_header(&mut self, _: Box<ResponseHeader>, _: bool) -> Result<()> {
        unsupported()
    }

    async fn write_response_header_ref(&mut self, _: &ResponseHeader, _: bool) -> Result<()> {
        unsupported()
    }

    async fn write_body(&mut self, _: Bytes, _: bool) -> Result<()> {
        unsupported()
    }

    async fn write_trailers(&mut self, _: HeaderMap) -> Result<()> {
        unsupported()
    }

    async fn response_duplex_vec(&mut self, _: Vec<HttpTask>) -> Result<bool> {
        unsupported()
    }

    // The next two panic by default.

    fn send_proxy_task(&mut self, _: HttpTask) {}

    async fn write_proxy_tasks(&mut self) -> Result<bool> {
        unsupported()
    }

    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        self.header.method.to_string()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        None
    }

    async fn shutdown(&mut self, _: u32, _: &str) {}

    fn is_body_done(&mut self) -> bool {
        true
    }

    /// Called after each request.
    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        true
    }

    async fn read_body_or_idle(&mut self, _: bool) -> Result<Option<Bytes>> {
        unsupported()
    }

    fn body_bytes_sent(&self) -> usize {
        0
    }

    fn body_bytes_read(&self) -> usize {
        0
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<MessageReader> {
        None
    }

    fn restore_custom_message_reader(&mut self, _: MessageReader) -> Result<()> {
        unsupported()
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        unsupported()
    }
}
