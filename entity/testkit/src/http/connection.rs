//! One connection: bytes out, responses in.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ended;
use super::message::{Response, Version};

const MAX_HEADERS: usize = 256;

/// A connection of its own, for requests in pieces, pipelining and half closes, which a client would not do.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::new() })
    }

    /// The socket, to set its options or to end one direction of it. Reading from it would lose bytes.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends these bytes.
    ///
    /// # Errors
    ///
    /// The server has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one response with its body; the response to a `HEAD` has none.
    ///
    /// # Errors
    ///
    /// The server closes before the response is complete, or sends something other than HTTP/1.1.
    pub async fn read_response(&mut self, head: bool) -> Result<Response> {
        let mut response = self.read_head().await?;
        while response.status == 100 {
            response = self.read_head().await?;
        }
        response.body = self.read_body(&response, head).await?;
        Ok(response)
    }

    /// Reads everything up to the end of the connection.
    ///
    /// # Errors
    ///
    /// The connection was reset.
    pub async fn read_to_end(&mut self) -> io::Result<Bytes> {
        while self.fill().await? > 0 {}
        Ok(self.buffer.split().freeze())
    }

    /// Reads this many bytes.
    ///
    /// # Errors
    ///
    /// The connection ends before.
    pub async fn read_exact(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            self.fill_or(&format!("{} bytes into {length}", self.buffer.len())).await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// Whether the connection is open: the server has not closed it, and has sent nothing unrequested.
    pub fn is_open(&self) -> bool {
        let nothing_yet = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.buffer.is_empty() && self.stream.try_read(&mut [0]).is_err_and(nothing_yet)
    }

    async fn read_head(&mut self) -> Result<Response> {
        loop {
            if let Some((length, response)) = parse_head(&self.buffer)? {
                self.buffer.advance(length);
                return Ok(response);
            }
            self.fill_or("before the response").await?;
        }
    }

    async fn read_body(&mut self, response: &Response, head: bool) -> Result<Bytes> {
        if head || matches!(response.status, 101 | 204 | 304) {
            return Ok(Bytes::new());
        }
        if response.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            return self.read_chunks().await;
        }
        match response.header("content-length") {
            Some(length) => Ok(self.read_exact(length.parse().context("content-length")?).await?),
            None => Ok(self.read_to_end().await?),
        }
    }

    async fn read_chunks(&mut self) -> Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((start, length))) => {
                    self.buffer.advance(start);
                    let length = usize::try_from(length)?;
                    if length == 0 {
                        self.read_trailers().await?;
                        return Ok(body.freeze());
                    }
                    body.extend_from_slice(&self.read_exact(length).await?);
                    if self.read_exact(2).await? != "\r\n" {
                        bail!("a chunk is longer than its size");
                    }
                }
                Ok(httparse::Status::Partial) => self.fill_or("inside a chunked body").await?,
                Err(_invalid) => bail!("a chunk has no valid size"),
            }
        }
    }

    async fn read_trailers(&mut self) -> Result<()> {
        while self.read_line().await? != "\r\n" {}
        Ok(())
    }

    async fn read_line(&mut self) -> Result<Bytes> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Ok(self.buffer.split_to(end + 1).freeze());
            }
            self.fill_or("inside the trailers").await?;
        }
    }

    async fn fill_or(&mut self, place: &str) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(ended(place)),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<(usize, Response)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let length = match parsed.parse(buffer).context("not an HTTP/1.1 response")? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let response = Response {
        version: if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 },
        status: parsed.code.context("a response without status")?,
        headers: parsed.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect(),
        body: Bytes::new(),
    };
    Ok(Some((length, response)))
}
