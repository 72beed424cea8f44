//! Reads the body of a request: JSON, a form, or a multipart form.

use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::body_memory::BodyShare;
use super::{form, json};
use crate::error::ApiError;

/// The most bytes of a body.
pub(crate) const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// Timeout for the arrival of a body.
const DEADLINE: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read and dropped. A client whose connection is closed while it
/// sends sees a broken connection instead of the answer.
const DRAINED: usize = 4 * MAX_BODY_BYTES;
/// Fields of a form.
const FIELDS: usize = 10_000;
/// Bodies and entities of this length or more are read off the runtime, which also serves data planes.
pub(super) const LONG: usize = 64 * 1024;

/// The fields of a body.
#[derive(Clone, Default)]
pub(super) struct Body {
    /// The fields.
    pub(super) fields: Map<String, Value>,
    /// Whether the body was a form, in which every value is a string.
    pub(super) form: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Json,
    Form,
    Multipart,
}

impl Body {
    /// Reads a form, or a query, which has the same encoding.
    pub(super) fn of_pairs(encoded: &[u8]) -> Result<Self, ApiError> {
        of_form(form_urlencoded::parse(encoded).into_owned().take(FIELDS + 1).collect())
    }
}

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.map(|value| value.to_str().unwrap_or_default().to_owned());
        let share = request.extensions().get::<BodyShare>().cloned();
        check_announced(&request)?;
        let bytes = read(request.into_body(), share.as_ref()).await?;
        match content_type {
            None if bytes.is_empty() => Ok(Self::default()),
            None => Err(ApiError::UnsupportedMediaType),
            Some(text) => parse(&text, bytes).await,
        }
    }
}

/// Rejects a body that is too large by its `Content-Length`, if the client waits before it sends the body:
/// reading makes hyper answer `100 Continue`. Other clients send at once, and get the answer after the body.
fn check_announced(request: &Request) -> Result<(), ApiError> {
    let expect = request.headers().get(header::EXPECT);
    let waits = expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let is_too_large = request.body().size_hint().lower() > MAX_BODY_BYTES as u64;
    if waits && is_too_large { Err(ApiError::BodyTooLarge(MAX_BODY_BYTES)) } else { Ok(()) }
}

async fn parse(content_type: &str, bytes: Bytes) -> Result<Body, ApiError> {
    match media(content_type).ok_or(ApiError::UnsupportedMediaType)? {
        Media::Json => {
            let fields = beside(bytes.len(), move || json::object(&bytes)).await?;
            Ok(Body { fields, form: false })
        }
        Media::Form => beside(bytes.len(), move || Body::of_pairs(&bytes)).await,
        Media::Multipart => {
            let pairs = multipart(content_type, bytes).await?;
            beside(LONG, move || of_form(pairs)).await
        }
    }
}

/// Runs `parse`, off the runtime if the body is long.
async fn beside<T: Send + 'static>(
    length: usize,
    parse: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if length < LONG {
        return parse();
    }
    tokio::task::spawn_blocking(parse).await.unwrap_or(Err(ApiError::Panicked))
}

fn media(content_type: &str) -> Option<Media> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let known = [
        ("application/json", Media::Json),
        ("application/x-www-form-urlencoded", Media::Form),
        ("multipart/form-data", Media::Multipart),
    ];
    known.into_iter().find(|(name, _)| kind.eq_ignore_ascii_case(name)).map(|(_, media)| media)
}

async fn read(body: HttpBody, share: Option<&BodyShare>) -> Result<Bytes, ApiError> {
    let read = async {
        let (mut stream, mut length) = (body.into_data_stream(), 0);
        let mut kept = Ok(Vec::new());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| ApiError::BodyIncomplete)?;
            length += chunk.len();
            kept = kept.and_then(|bytes| keep(bytes, &chunk, share));
            if let (Err(_), Some(share)) = (&kept, share) {
                share.release();
            }
            if length > DRAINED {
                break;
            }
        }
        kept.map(Bytes::from)
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap_or(Err(ApiError::BodyIncomplete))
}

/// Adds a chunk to a body. After an error, the rest of the body is read and dropped.
fn keep(mut bytes: Vec<u8>, chunk: &[u8], share: Option<&BodyShare>) -> Result<Vec<u8>, ApiError> {
    if bytes.len() + chunk.len() > MAX_BODY_BYTES {
        return Err(ApiError::BodyTooLarge(MAX_BODY_BYTES));
    }
    share.map_or(Ok(()), |share| share.take(chunk.len()))?;
    bytes.extend_from_slice(chunk);
    Ok(bytes)
}

fn of_form(pairs: Vec<(String, String)>) -> Result<Body, ApiError> {
    if pairs.len() > FIELDS {
        return Err(ApiError::BadForm(Some(format!("at most {FIELDS} fields, it has more"))));
    }
    // Decoding replaces bytes that are not UTF-8 by this character.
    if pairs.iter().any(|(name, value)| [name, value].iter().any(|text| text.contains('\u{fffd}'))) {
        return Err(ApiError::BadForm(Some("it is not UTF-8".to_owned())));
    }
    let fields = form::object(pairs.into_iter()).ok_or(ApiError::BadForm(None))?;
    Ok(Body { fields, form: true })
}

async fn multipart(content_type: &str, bytes: Bytes) -> Result<Vec<(String, String)>, ApiError> {
    read_parts(content_type, bytes).await.map_err(|_| ApiError::BadForm(None))
}

async fn read_parts(content_type: &str, bytes: Bytes) -> Result<Vec<(String, String)>, multer::Error> {
    let boundary = multer::parse_boundary(content_type)?;
    let whole = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await? {
        let name = part.name().unwrap_or_default().to_owned();
        pairs.push((name, part.text().await?));
        if pairs.len() > FIELDS {
            break;
        }
    }
    Ok(pairs)
}

/// Prints the names of fields alone: a value may be a private key.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.fields.keys()).finish()
    }
}
