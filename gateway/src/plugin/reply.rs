//! An answer with which a plugin ends a request.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;

use crate::error::RequestFailure;
use crate::message::FieldName;

/// An answer with which a plugin ends a request. What the client sends and accepts decides on its form.
#[derive(Debug)]
pub struct Reply {
    /// The status, from 100 to 599.
    pub status: u16,
    /// Fields of its own.
    pub fields: Vec<(FieldName, HeaderValue)>,
    /// The body.
    pub body: ReplyBody,
    /// The failure that it stands for, if the gateway or the client is at fault and no rule of a plugin.
    pub failure: Option<RequestFailure>,
    /// Whether it looks like the answer of an upstream, as one from a cache does.
    pub is_proxied: bool,
}

/// The body of a reply. gRPC clients get its text in a field, and no body.
#[derive(Debug)]
pub enum ReplyBody {
    /// A message in the form that the client accepts, JSON without a preference, with the id of the request.
    Message(Cow<'static, str>),
    /// The same in the form of a failure of the gateway: without a preference that of the request's own body, or text.
    Error(Cow<'static, str>),
    /// `{"message":"…"}`, whatever the client accepts.
    Exit(Cow<'static, str>),
    /// Bytes, with their media type.
    Raw(Option<HeaderValue>, Bytes),
    /// None.
    Empty,
    /// None, and its length is not stated: that of an answer to HEAD.
    None,
}

impl Reply {
    /// A message in the form that the client accepts.
    pub fn message(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, ReplyBody::Message(text.into()))
    }

    /// A message in the form of a failure of the gateway.
    pub fn error(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, ReplyBody::Error(text.into()))
    }

    /// `{"message":"…"}`, whatever the client accepts.
    pub fn exit(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, ReplyBody::Exit(text.into()))
    }

    /// Bytes with a media type, such as a body that a configuration gives.
    pub fn raw(status: u16, content_type: Option<HeaderValue>, bytes: impl Into<Bytes>) -> Self {
        Self::new(status, ReplyBody::Raw(content_type, bytes.into()))
    }

    /// A status without a body.
    pub fn empty(status: u16) -> Self {
        Self::new(status, ReplyBody::Empty)
    }

    /// The answer to a failure, as if no plugin had looked at the request.
    pub fn failure(failure: RequestFailure) -> Self {
        let answer = failure.answer();
        let body = ReplyBody::Message(Cow::Borrowed(answer.message));
        Self { failure: Some(failure), ..Self::new(answer.status, body) }
    }

    fn new(status: u16, body: ReplyBody) -> Self {
        Self { status, fields: Vec::new(), body, failure: None, is_proxied: false }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: impl Into<FieldName>, value: HeaderValue) -> Self {
        self.fields.push((name.into(), value));
        self
    }
}
