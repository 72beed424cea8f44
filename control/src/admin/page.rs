//! Pages of lists: `size`, `offset`, `tags`, and the `next` that keeps all of them.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::bounds;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{Key, Kind};

use crate::error::ApiError;
use crate::store::{Page, Tags};

const DEFAULT_PAGE_SIZE: u64 = 100;
const MAX_PAGE_SIZE: u64 = 1000;
/// Tags of a filter: each is a look-up of its own.
const TAGS: usize = 50;

/// The parameters of a list request.
#[derive(Debug)]
pub(super) struct Listing {
    /// The most rows of a page.
    pub(super) size: u64,
    /// The offset that the previous page returned.
    offset: Option<String>,
    tags: Option<Tags>,
    path: String,
    /// The query without `offset`.
    query: Vec<(String, String)>,
}

impl Listing {
    /// Returns the page of a list in the order of ids.
    pub(super) fn page(&self) -> Result<Page, ApiError> {
        let after = self.decoded()?.map(|offset| Uuid::from_slice(&offset)).transpose();
        let after = after.map_err(|_| self.invalid_offset())?;
        Ok(Page { size: self.size, after, tags: self.tags.clone(), of: None })
    }

    /// Returns the offset of a list in the order of tags, then ids, then kinds.
    pub(super) fn after_tag(&self) -> Result<Option<(String, Key)>, ApiError> {
        let Some(offset) = self.decoded()? else { return Ok(None) };
        let after = offset.split_first().and_then(|(kind, rest)| {
            let (id, tag) = rest.split_at_checked(16)?;
            let tag = std::str::from_utf8(tag).ok().filter(|tag| !tag.contains('\0'))?;
            Some((tag.to_owned(), Key { kind: Kind(*kind), id: Uuid::from_slice(id).ok()? }))
        });
        after.map(Some).ok_or_else(|| self.invalid_offset())
    }

    /// Returns the offset of a list of revisions.
    pub(super) fn before_revision(&self) -> Result<Option<u64>, ApiError> {
        let before = self.decoded()?.map(|offset| Ok(u64::from_be_bytes(offset.as_slice().try_into()?)));
        before.transpose().map_err(|_: std::array::TryFromSliceError| self.invalid_offset())
    }

    /// Returns the offset of a list whose offsets are indexes; 0 when none is given.
    pub(super) fn index(&self) -> Result<usize, ApiError> {
        let index = self.offset.as_deref().map(|offset| offset.parse().map_err(|_| self.invalid_offset()));
        index.unwrap_or(Ok(0))
    }

    /// Returns the tags that an entity must have.
    pub(super) fn tags(&self) -> Option<Tags> {
        self.tags.clone()
    }

    fn decoded(&self) -> Result<Option<Vec<u8>>, ApiError> {
        let offset = self.offset.as_deref();
        offset.map(|text| URL_SAFE_NO_PAD.decode(text).map_err(|_| self.invalid_offset())).transpose()
    }

    fn invalid_offset(&self) -> ApiError {
        ApiError::InvalidOffset(self.offset.clone().unwrap_or_default())
    }

    /// Builds the answer; `next` is the key that the next page begins after.
    pub(super) fn answer(&self, data: Vec<Value>, next: Option<&[u8]>) -> Json<Value> {
        Json(self.shown(data, next.map(|next| URL_SAFE_NO_PAD.encode(next))))
    }

    /// Builds the answer with the offset of the next page.
    pub(super) fn shown(&self, data: Vec<Value>, next: Option<String>) -> Value {
        let Some(offset) = next else {
            return json!({ "data": data, "next": null });
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query).append_pair("offset", &offset);
        let next = format!("{}?{}", self.path, query.finish());
        json!({ "data": data, "offset": offset, "next": next })
    }

    /// Returns a parameter of the list of one collection. One that is given several times is empty: no value
    /// of it is more valid than another.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut values =
            self.query.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let first = values.next()?;
        Some(if values.next().is_some() { "" } else { first })
    }

    /// `smallest` is the smallest size of a page. In Kong, a parameter that is given twice is a table, and so
    /// neither a number nor a text.
    fn parse(path: &str, query: &str, smallest: u64) -> Result<Self, ApiError> {
        let (mut size, mut offset, mut tags) = (None, None, None);
        let (mut kept, mut seen) = (Vec::new(), HashSet::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            // Some clients add the parameters of the first page to the address of the next one, which has them.
            if !seen.insert((name.clone(), value.clone())) {
                continue;
            }
            match name.as_str() {
                "size" if size.is_some() => return Err(no_number()),
                "size" => size = Some(parse_size(&value, smallest)?),
                "tags" if tags.is_some() => return Err(invalid_tags("must be given once")),
                "tags" => tags = Some(parse_tags(&value)?),
                "offset" if offset.is_some() => return Err(ApiError::InvalidOffset(value)),
                "offset" => {
                    offset = Some(value);
                    continue;
                }
                _ => {}
            }
            kept.push((name, value));
        }
        let size = size.unwrap_or(DEFAULT_PAGE_SIZE);
        Ok(Self { size, offset, tags, path: path.to_owned(), query: kept })
    }
}

/// The list of the targets of an upstream. As in Kong, `size=0` asks for an empty page.
#[derive(Debug)]
pub(super) struct OfTargets(pub(super) Listing);

impl<S: Sync> FromRequestParts<S> for OfTargets {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Listing::parse(parts.uri.path(), parts.uri.query().unwrap_or_default(), 0).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Listing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::parse(parts.uri.path(), parts.uri.query().unwrap_or_default(), 1)
    }
}

fn parse_size(text: &str, smallest: u64) -> Result<u64, ApiError> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let number = number.ok_or_else(no_number)?;
    let whole = (smallest..=MAX_PAGE_SIZE).find(|size| *size as f64 == number);
    whole.ok_or_else(|| {
        ApiError::InvalidSize(format!("size must be an integer between 1 and {MAX_PAGE_SIZE}"))
    })
}

fn no_number() -> ApiError {
    ApiError::InvalidSize("size must be a number".to_owned())
}

fn invalid_tags(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::InvalidOption { name: "tags", message: message.into() }
}

/// Parses tags: `a,b` requires all of them, `a/b` one of them. A mix is rejected, since its precedence would
/// be unclear.
fn parse_tags(text: &str) -> Result<Tags, ApiError> {
    if text.is_empty() {
        return Err(invalid_tags("cannot be null"));
    }
    let split = |separator| text.split(separator).map(str::to_owned).collect::<Vec<_>>();
    let (tags, names) = match (text.contains(','), text.contains('/')) {
        (true, true) => (None, Vec::new()),
        (false, true) => (Some(Tags::Any(split('/'))), split('/')),
        (_, false) => (Some(Tags::All(split(','))), split(',')),
    };
    if names.len() > TAGS {
        return Err(invalid_tags(format!("at most {TAGS} tags, it has {}", names.len())));
    }
    let is_tag = |name: &String| {
        !name.is_empty()
            && name.len() <= bounds::TAG
            && !name.chars().any(|c| c.is_control() || c == '\u{fffd}')
    };
    let valid = names.iter().all(is_tag);
    tags.filter(|_| valid).ok_or_else(|| invalid_tags("invalid filter syntax"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_keeps_the_filters() {
        let listing = Listing::parse("/services/a/routes", "size=2&tags=a%2Cb&offset=AAAA", 1).unwrap();
        let id = Uuid::from_u128(7);
        let Json(answer) = listing.answer(Vec::new(), Some(id.as_bytes()));
        let next = answer["next"].as_str().unwrap();
        assert_eq!(next, "/services/a/routes?size=2&tags=a%2Cb&offset=AAAAAAAAAAAAAAAAAAAABw");
        let (path, query) = next.split_once('?').unwrap();
        let page = Listing::parse(path, query, 1).unwrap().page().unwrap();
        assert_eq!((page.size, page.after), (2, Some(id)));
        assert_eq!(page.tags, Some(Tags::All(vec!["a".into(), "b".into()])));
    }

    #[test]
    fn bad_queries() {
        for query in ["size=0", "size=1001", "size=a", "size=", "size=-1", "tags=", "tags=a,b/c", "tags=a,,b"]
        {
            assert!(Listing::parse("/", query, 1).is_err(), "{query}");
        }
        let bad = Listing::parse("/", "offset=%25", 1).unwrap();
        assert!(matches!(bad.page(), Err(ApiError::InvalidOffset(offset)) if offset == "%"));
        assert!(matches!(bad.index(), Err(ApiError::InvalidOffset(_))));
        assert_eq!(Listing::parse("/", "offset=100", 1).unwrap().index().unwrap(), 100);
        let tags = |count| format!("tags={}", vec!["a"; count].join(","));
        assert!(Listing::parse("/", &tags(50), 1).is_ok() && Listing::parse("/", &tags(51), 1).is_err());
        let short = Listing::parse("/", "offset=AAAA", 1).unwrap();
        assert!(short.page().is_err() && short.after_tag().is_err());
    }

    #[test]
    fn parameter_that_is_given_twice_is_rejected() {
        let parse = |query: &str| Listing::parse("/", query, 1);
        assert!(matches!(
            parse("size=1&size=2"),
            Err(ApiError::InvalidSize(text)) if text == "size must be a number"
        ));
        assert!(parse("size=2&offset=A&size=2&offset=A&tags=a&tags=a").is_ok());
        assert!(matches!(parse("tags=a&tags=b"), Err(ApiError::InvalidOption { name: "tags", .. })));
        assert!(matches!(parse("offset=a&offset=b"), Err(ApiError::InvalidOffset(_))));
        let listing = parse("a=1&a=2&b=3&c=").unwrap();
        let values = ["a", "b", "c", "d"].map(|name| listing.parameter(name));
        assert_eq!(values, [Some(""), Some("3"), Some(""), None]);
    }

    #[test]
    fn tags_by_and_or_or() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(parse_tags("a").unwrap(), Tags::All(names(&["a"])));
        assert_eq!(parse_tags("a,b").unwrap(), Tags::All(names(&["a", "b"])));
        assert_eq!(parse_tags("a/b").unwrap(), Tags::Any(names(&["a", "b"])));
    }
}
