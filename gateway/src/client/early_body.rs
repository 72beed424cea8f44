//! What was read of a request's body before the request is forwarded, and the limit of the rest.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::Client;
use crate::error::RequestFailure;

/// The part of a body that was read early. It is passed on before the rest.
#[derive(Debug, Default)]
pub struct EarlyBody {
    part: Bytes,
    is_whole: bool,
    trailers: Option<HeaderMap>,
    /// How many more bytes may come, if that is limited.
    left: Option<u64>,
    /// The bytes that have come so far.
    received: u64,
}

impl EarlyBody {
    /// Reads the whole body, of at most `limit` bytes, and keeps it.
    ///
    /// # Errors
    /// [`RequestFailure::BodyTooLarge`] for more bytes, and the failures of the client.
    pub fn poll_whole(
        &mut self,
        client: &mut Client,
        limit: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, RequestFailure>> {
        while !self.is_whole {
            match ready!(self.poll_client(client, context))? {
                Some(part) if self.part.len() + part.len() > limit => {
                    return Poll::Ready(Err(RequestFailure::BodyTooLarge));
                }
                Some(part) if self.part.is_empty() => self.part = part,
                Some(part) => {
                    // The same buffer as before, while nobody else holds a part of it.
                    let mut joined = BytesMut::from(std::mem::take(&mut self.part));
                    joined.extend_from_slice(&part);
                    self.part = joined.freeze();
                }
                None => {
                    self.is_whole = true;
                    self.trailers = client.take_trailers();
                }
            }
        }
        if self.part.len() > limit {
            return Poll::Ready(Err(RequestFailure::BodyTooLarge));
        }
        Poll::Ready(Ok(self.part.clone()))
    }

    /// Puts `body` in place of the whole body, which has been read.
    pub fn replace(&mut self, body: Bytes) {
        (self.part, self.is_whole, self.trailers) = (body, true, None);
    }

    /// Limits the body to so many bytes in all. Returns whether no more were read already.
    #[must_use]
    pub fn limit(&mut self, bytes: u64) -> bool {
        let Some(left) = bytes.checked_sub(self.part.len() as u64) else { return false };
        self.left = Some(self.left.map_or(left, |before| before.min(left)));
        true
    }

    /// Ends the body: what the client sends through a tunnel is no part of it, and has no limit.
    pub fn begin_tunnel(&mut self) {
        (self.is_whole, self.trailers, self.left) = (false, None, None);
    }

    /// Reads the next part; `None` behind the end.
    ///
    /// # Errors
    /// The failures of the client, and [`RequestFailure::BodyTooLarge`] for more bytes than allowed.
    pub fn poll_next(
        &mut self,
        client: &mut Client,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, RequestFailure>> {
        if !self.part.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.part))));
        }
        if self.is_whole {
            return Poll::Ready(Ok(None));
        }
        let part = ready!(self.poll_client(client, context))?;
        if let (Some(part), Some(left)) = (&part, &mut self.left) {
            *left = left.checked_sub(part.len() as u64).ok_or(RequestFailure::BodyTooLarge)?;
        }
        Poll::Ready(Ok(part))
    }

    fn poll_client(
        &mut self,
        client: &mut Client,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, RequestFailure>> {
        let part = ready!(client.poll_body(context))?;
        self.received += part.as_ref().map_or(0, |part| part.len() as u64);
        Poll::Ready(Ok(part))
    }

    /// The bytes that have come from the client, whatever plugins have made of them.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The trailers, once the body has been read.
    pub fn take_trailers(&mut self, client: &mut Client) -> Option<HeaderMap> {
        if self.is_whole { self.trailers.take() } else { client.take_trailers() }
    }
}
