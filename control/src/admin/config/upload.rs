//! Reads the body of `POST /config`: a document, or a form whose field `config` is one.

use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;

use crate::admin::body::Body;
use crate::admin::body_memory::BodyShare;
use crate::declarative::Format;
use crate::error::ApiError;

/// How much of a document that is too large is read and dropped, so that its sender sees the answer.
const DRAINED: usize = 64 << 20;

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) text: Bytes,
    pub(super) format: Format,
}

/// Reads the body of a request; `most` is the bound of its bytes, which are taken from `memory` as they come.
pub(super) async fn read(request: Request, most: usize, memory: &BodyShare) -> Result<Document, ApiError> {
    let Some(format) = format(request.headers()) else { return of_form(request).await };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok()).unwrap_or_default();
    if length > most {
        drain(request.into_body()).await;
        return Err(ApiError::BodyTooLarge(most));
    }
    let text = whole(request.into_body(), length, most, memory).await?;
    Ok(Document { text, format })
}

/// The format of a content type; `None` for forms.
fn format(headers: &HeaderMap) -> Option<Format> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    let known = [
        ("application/json", Format::Json),
        ("application/yaml", Format::Yaml),
        ("application/x-yaml", Format::Yaml),
        ("text/yaml", Format::Yaml),
        ("text/x-yaml", Format::Yaml),
    ];
    known.into_iter().find(|(name, _)| kind.eq_ignore_ascii_case(name)).map(|(_, format)| format)
}

/// Reads a form, with the bounds of all forms.
async fn of_form(request: Request) -> Result<Document, ApiError> {
    let mut body = Body::from_request(request, &()).await?;
    match body.fields.remove("config") {
        Some(Value::String(text)) => {
            let text = Bytes::from(text);
            Ok(Document { format: Format::of_text(&text), text })
        }
        _ => {
            Err(ApiError::BadForm(Some("the field 'config' must be a declarative configuration".to_owned())))
        }
    }
}

/// Reads a whole body. Once a part of it has come, its addresses are reserved, so that it is not copied each time
/// it grows: before, a client could have them for nothing.
async fn whole(body: HttpBody, length: usize, most: usize, memory: &BodyShare) -> Result<Bytes, ApiError> {
    /// The part.
    const SHARE: usize = 16;
    let mut text = Vec::new();
    let mut stream = body.into_data_stream();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|_| ApiError::BodyIncomplete)?;
        let refused = if text.len() + part.len() > most {
            Some(ApiError::BodyTooLarge(most))
        } else {
            memory.take(part.len()).err().map(|_| ApiError::ConfigBusy)
        };
        if let Some(refused) = refused {
            drop(text);
            memory.release();
            drain(HttpBody::from_stream(stream)).await;
            return Err(refused);
        }
        let reserved = if text.capacity() < length && text.len() >= length / SHARE {
            text.try_reserve_exact(length - text.len())
        } else {
            text.try_reserve(part.len())
        };
        reserved.map_err(|_| ApiError::ConfigTooLarge(text.len()))?;
        text.extend_from_slice(&part);
    }
    Ok(text.into())
}

async fn drain(body: HttpBody) {
    let (mut stream, mut drained) = (body.into_data_stream(), 0);
    while let Some(Ok(part)) = stream.next().await {
        drained += part.len();
        if drained > DRAINED {
            break;
        }
    }
}
