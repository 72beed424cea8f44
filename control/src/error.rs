//! The failures of requests to the control plane, and the answer to each. No other module chooses a status
//! for a failure.
//!
//! A client gets the failures that it can correct. Those that only an operator can correct go to the log,
//! once.

mod access;
mod declarative;
mod lua;

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{FieldErrors, Violations};
use serde_json::{Map, Value, json};
use tracing::{error, warn};
use wire::Kind;

pub use self::access::AccessError;
use crate::declarative::Errors;
use crate::store::StoreError;

/// The reason why a request failed. A failed request has changed nothing, except where the outcome in the
/// database is unknown.
#[derive(Debug)]
pub enum ApiError {
    /// There is no such entity or path.
    NotFound,
    /// No cache has an answer with this key, as far as the control plane knows. Kong's answer has no body.
    NotCached,
    /// There is no entity of this key to change.
    NoSuchEntity {
        /// `id`, or the field by which entities of the collection are named.
        by: &'static str,
        /// The key of the path.
        key: String,
    },
    /// The collection's entities have no other key than an id, and the path has none.
    InvalidPrimaryKey,
    /// The path names an entity by a text that the field cannot hold.
    InvalidUnique {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The path does not have this method.
    MethodNotAllowed,
    /// The media type of the body is not supported.
    UnsupportedMediaType,
    /// The body is larger than this many bytes.
    BodyTooLarge(usize),
    /// Other bodies take all of this many bytes.
    BodiesBusy(usize),
    /// The body did not arrive, or not in time.
    BodyIncomplete,
    /// The body is not an object in JSON, or exceeds this bound.
    BadJson(Option<String>),
    /// The body is not a form, or exceeds this bound.
    BadForm(Option<String>),
    /// The entity breaks these rules.
    Invalid(Violations),
    /// `size` is not a number in range; with the reason.
    InvalidSize(String),
    /// `offset` is not from a previous page.
    InvalidOffset(String),
    /// An option of the query is not known.
    UnknownOption {
        /// Its name.
        name: String,
        /// The names that are known, with commas between them.
        known: String,
    },
    /// An option of the query is wrong.
    InvalidOption {
        /// Its name.
        name: &'static str,
        /// The reason.
        message: Cow<'static, str>,
    },
    /// The body names entities that do not exist.
    Unresolved(Vec<Unresolved>),
    /// There is no schema of this name.
    NoSchema {
        /// What the schema would describe, such as an entity.
        of: &'static str,
        /// The name.
        name: String,
    },
    /// This version cannot read a stored entity.
    Unreadable {
        /// The entity's collection.
        collection: String,
        /// The entity, and the reason.
        reason: String,
    },
    /// The database failed or rejected the request.
    Store(StoreError),
    /// The upstream has no health checks whose result could be set.
    NoHealthChecks {
        /// Its name.
        upstream: String,
    },
    /// `unit` is no unit of memory; with its value.
    InvalidUnit(String),
    /// `custom_id`, by which a consumer is asked for, is empty.
    EmptyCustomId,
    /// Other passwords have not been hashed in time.
    PasswordsBusy,
    /// Other questions about routes have not been answered in time.
    QuestionsBusy,
    /// A declarative configuration is not in its format, or exceeds a bound; with the reason.
    UnreadableConfig(String),
    /// A declarative configuration has errors.
    InvalidConfig {
        /// The errors.
        errors: Box<Errors>,
        /// Whether they are shown as a list of entities.
        flatten: bool,
    },
    /// A declarative configuration needs more than this many bytes of memory.
    ConfigTooLarge(usize),
    /// The configuration of an earlier revision cannot be made again: secrets of these entities are not kept.
    NotKept {
        /// The first entities, each with the reason.
        entities: Vec<String>,
        /// How many others there are.
        more: usize,
    },
    /// Another declarative configuration is being read or written.
    ConfigBusy,
    /// A fault of this program.
    Panicked,
}

/// An entity that a body names, not by its id, and that does not exist.
#[derive(Debug)]
pub struct Unresolved {
    /// The field that names it.
    pub field: &'static str,
    /// The collection that lacks it.
    pub collection: &'static str,
    /// The field by whose value the body names it.
    pub by: &'static str,
    /// The value.
    pub value: String,
}

/// Builds the answer of the status listener while the program is not ready.
pub fn not_ready(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, message(reason)).into_response()
}

/// Builds the answer to a failure that only an operator can correct.
pub fn unexpected() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, message(UNEXPECTED)).into_response()
}

const UNEXPECTED: &str = "An unexpected error occurred";

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if matches!(self, Self::NotCached) {
            return StatusCode::NOT_FOUND.into_response();
        }
        let is_busy = matches!(self, Self::ConfigBusy);
        let (status, body) = self.answer();
        let mut response = (status, body).into_response();
        if is_busy {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl ApiError {
    fn answer(self) -> (StatusCode, Json<Value>) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::NotFound | Self::NotCached => (StatusCode::NOT_FOUND, message("Not found")),
            Self::NoSuchEntity { by, key } => {
                let text = format!("could not find the entity with '{{{by}=\"{key}\"}}'");
                (StatusCode::NOT_FOUND, coded(6, "not found", &text, &json!({ by: key })))
            }
            Self::InvalidPrimaryKey => {
                let text = "invalid primary key: '{id=\"expected a valid UUID\"}'";
                (BAD, coded(1, "invalid primary key", text, &json!({ "id": "expected a valid UUID" })))
            }
            Self::InvalidUnique { field, reason } => {
                (BAD, bare(10, &format!("invalid unique {field}"), &reason))
            }
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, message("Method not allowed")),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, message("Unsupported Content-Type"))
            }
            Self::BodyTooLarge(most) => {
                let text = format!("Payload too large: at most {most} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, message(&text))
            }
            Self::BodiesBusy(most) => {
                let text = format!(
                    "The bodies of other requests take all memory for bodies, which is {most} bytes \
                     (admin.max_body_memory); try again later"
                );
                (StatusCode::SERVICE_UNAVAILABLE, message(&text))
            }
            Self::BodyIncomplete => (StatusCode::REQUEST_TIMEOUT, message("The body did not arrive")),
            Self::BadJson(bound) => (BAD, unreadable("Cannot parse JSON body", bound)),
            Self::BadForm(bound) => (BAD, unreadable("Cannot parse form body", bound)),
            Self::Invalid(violations) => (BAD, schema_violation(&violations)),
            Self::InvalidSize(text) => (BAD, bare(9, "invalid size", &text)),
            Self::InvalidOffset(offset) => {
                let text = format!("'{offset}' is not a valid offset: bad json encoding");
                (BAD, bare(7, "invalid offset", &text))
            }
            Self::UnknownOption { name, known } => {
                let name: String = name.chars().take(100).collect();
                (
                    BAD,
                    invalid_option(
                        "query",
                        &format!("unknown option '{name}'; the options here are {known}"),
                    ),
                )
            }
            Self::InvalidOption { name, message } => (BAD, invalid_option(name, &message)),
            Self::Unresolved(missing) => (BAD, unresolved(&missing)),
            Self::NoSchema { of, name } => {
                (StatusCode::NOT_FOUND, message(&format!("No {of} named '{name}'")))
            }
            Self::Unreadable { collection, reason } => {
                error!(%collection, %reason, "a stored entity cannot be read; has a newer version written it?");
                (StatusCode::INTERNAL_SERVER_ERROR, message(UNEXPECTED))
            }
            Self::Store(error) => of_store(error),
            Self::NoHealthChecks { upstream } => {
                (BAD, message(&format!("no healthchecker found for {upstream}")))
            }
            Self::InvalidUnit(unit) => {
                (BAD, message(&format!("invalid unit '{unit}' (expected 'k/K', 'm/M', or 'g/G')")))
            }
            Self::EmptyCustomId => (BAD, message("custom_id must be an unempty string")),
            Self::PasswordsBusy => (
                StatusCode::SERVICE_UNAVAILABLE,
                message("Other passwords are still being hashed; nothing was changed; try again later"),
            ),
            Self::QuestionsBusy => (
                StatusCode::SERVICE_UNAVAILABLE,
                message("Other requests for /routes/match are still being answered; try again later"),
            ),
            Self::UnreadableConfig(reason) => (BAD, declarative::unreadable(&reason)),
            Self::InvalidConfig { errors, flatten } => (BAD, declarative::invalid(&errors, flatten)),
            Self::ConfigTooLarge(most) => (StatusCode::PAYLOAD_TOO_LARGE, declarative::too_large(most)),
            Self::NotKept { entities, more } => {
                (StatusCode::CONFLICT, declarative::not_kept(&entities, more))
            }
            Self::ConfigBusy => (StatusCode::TOO_MANY_REQUESTS, declarative::busy()),
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, message(UNEXPECTED)),
        }
    }
}

fn of_store(failure: StoreError) -> (StatusCode, Json<Value>) {
    match failure {
        StoreError::Unique { kind, fields } => (StatusCode::CONFLICT, taken(kind, fields)),
        StoreError::Id { key } => {
            let text = format!("primary key violation on key '{{id=\"{}\"}}'", key.id);
            let fields = json!({ "id": key.id });
            (StatusCode::BAD_REQUEST, coded(3, "primary key violation", &text, &fields))
        }
        StoreError::ForeignKey { field, to } => {
            let (collection, id) = (model::collection(to.kind), to.id.to_string());
            (StatusCode::BAD_REQUEST, foreign_key(field, &collection, &id))
        }
        StoreError::Referenced { to, by } => {
            let (to, by) = (model::collection(to), model::collection(by));
            let text = format!("an existing '{by}' entity references this '{to}' entity");
            let fields = json!({ "@referenced_by": by });
            (StatusCode::BAD_REQUEST, coded(4, "foreign key violation", &text, &fields))
        }
        StoreError::Changed => (
            StatusCode::CONFLICT,
            message("The entity was changed by others each time it was tried; nothing was changed by this"),
        ),
        StoreError::BeyondLog { .. } => (StatusCode::NOT_FOUND, message(&failure.to_string())),
        StoreError::Unavailable(reason) => {
            warn!(%reason, "a request could not be done: the database is unavailable");
            (StatusCode::SERVICE_UNAVAILABLE, message("The database is unavailable; nothing was changed"))
        }
        StoreError::FileGone(reason) => {
            error!(%reason, "a request could not be done");
            let text = format!("{reason}; put it back, or restart the control plane. Nothing was changed");
            (StatusCode::SERVICE_UNAVAILABLE, message(&text))
        }
        StoreError::OutcomeUnknown(reason) => {
            warn!(%reason, "it is not known whether a write was committed");
            let text = "The database did not say whether it committed the change; read the entity before you try \
                        again";
            (StatusCode::SERVICE_UNAVAILABLE, message(text))
        }
        StoreError::Database(reason) => {
            error!(%reason, "a request could not be done: the database failed");
            (StatusCode::INTERNAL_SERVER_ERROR, message(UNEXPECTED))
        }
    }
}

fn message(text: &str) -> Json<Value> {
    Json(json!({ "message": text }))
}

/// Formats a failure with Kong's number and name.
fn coded(code: u8, name: &str, message: &str, fields: &Value) -> Json<Value> {
    Json(json!({ "code": code, "name": name, "message": message, "fields": fields }))
}

/// Formats a failure with Kong's number and name that is about no field.
fn bare(code: u8, name: &str, message: &str) -> Json<Value> {
    Json(json!({ "code": code, "name": name, "message": message }))
}

/// Formats the failure to read a body, with the bound that it exceeds.
fn unreadable(what: &str, bound: Option<String>) -> Json<Value> {
    message(&bound.map_or_else(|| what.to_owned(), |bound| format!("{what}: {bound}")))
}

fn schema_violation(violations: &Violations) -> Json<Value> {
    let mut fields = Map::new();
    if !violations.entity.is_empty() {
        fields.insert("@entity".into(), json!(violations.entity));
    }
    fields.extend(violations.fields.iter().map(|(name, errors)| (name.clone(), field_errors(errors))));
    coded(2, "schema violation", &lua::message(violations), &Value::Object(fields))
}

/// Formats errors as a message, or by field; for a list as an array with null for each valid element.
fn field_errors(errors: &FieldErrors) -> Value {
    match errors {
        FieldErrors::Whole(message) => json!(message),
        FieldErrors::Elements(elements) => {
            let last = elements.keys().next_back().copied().unwrap_or_default();
            (0..=last).map(|index| elements.get(&index).map_or(Value::Null, field_errors)).collect()
        }
        FieldErrors::Nested(fields) => {
            Value::Object(fields.iter().map(|(name, errors)| (name.clone(), field_errors(errors))).collect())
        }
    }
}

fn taken(kind: Kind, keys: Vec<(String, String)>) -> Json<Value> {
    let declared = model::described(kind).map(model::Described::fields).unwrap_or_default();
    let (mut pairs, mut fields) = (Vec::new(), Map::new());
    let secret = model::described(kind).and_then(model::Described::endpoint_key);
    for (name, key) in keys {
        if name == model::TOGETHER {
            let together = model::described(kind).map(|kind| kind.split_together(&key)).unwrap_or_default();
            pairs.extend(together.iter().map(|(name, value)| format!("{name}={}", key_value(value))));
            fields.extend(together.into_iter().map(|(name, value)| (name.to_owned(), value)));
            continue;
        }
        let field = declared.iter().find(|field| field.name == name);
        // The hash of a secret: nobody knows it by this name.
        let (name, key) = match (field.is_none_or(model::Field::is_shown), secret) {
            (false, Some(secret)) => (secret.to_owned(), model::HIDDEN.to_owned()),
            _ => (name, key),
        };
        let (of, value) = field.map_or((None, key.as_str()), |field| field.split_key(&key));
        pairs.push(format!("{name}=\"{value}\""));
        if let (Some(of), Some(other)) = (of, field.and_then(model::Field::within)) {
            pairs.push(format!("{other}={{id=\"{of}\"}}"));
            fields.insert(other.to_owned(), json!({ "id": of }));
        }
        fields.insert(name, json!(value));
    }
    pairs.sort();
    let text = format!("UNIQUE violation detected on '{{{}}}'", pairs.join(","));
    coded(5, "unique constraint violation", &text, &Value::Object(fields))
}

/// Formats a value of a unique key as Kong does: `null`, `"text"` or `{id="…"}`.
fn key_value(value: &Value) -> String {
    match value.get("id") {
        Some(id) => format!("{{id={id}}}"),
        None => value.to_string(),
    }
}

fn foreign_key(field: &str, collection: &str, id: &str) -> Json<Value> {
    let text =
        format!("the foreign key '{{id=\"{id}\"}}' does not reference an existing '{collection}' entity.");
    coded(4, "foreign key violation", &text, &json!({ field: { "id": id } }))
}

fn unresolved(missing: &[Unresolved]) -> Json<Value> {
    let (mut texts, mut fields) = (Vec::new(), Map::new());
    for Unresolved { field, collection, by, value } in missing {
        let reason = format!(
            "the foreign key cannot be resolved with '{{{by}=\"{value}\"}}' for an existing '{collection}' \
             entity"
        );
        texts.push(format!("{field}.{by}: {reason}"));
        fields.insert((*field).to_owned(), json!({ *by: reason }));
    }
    let text = match &texts[..] {
        [one] => format!("foreign key unresolved ({one})"),
        several => format!("{} foreign keys unresolved ({})", several.len(), several.join("; ")),
    };
    coded(13, "foreign keys unresolved", &text, &Value::Object(fields))
}

fn invalid_option(name: &str, what: &str) -> Json<Value> {
    let text = format!("invalid option ({name}: {what})");
    Json(json!({ "code": 11, "name": "invalid options", "message": text, "options": { name: what } }))
}
