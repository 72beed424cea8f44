//! The Admin API: Kong's, for every kind of entity that `model` declares. It also shows what the control plane
//! knows of its data planes.
//!
//! The paths of all kinds come from their declarations ([`resource`], [`nested`], [`schemas`]); a kind has a
//! file of its own only for what a declaration does not say ([`certificate`], [`credential`],
//! [`consumer`], [`targets`], [`policy`]). The Admin API knows no SQL;
//! [`crate::error`] chooses the status of every failure.

mod access;
mod applied;
mod body;
mod body_memory;
mod certificate;
mod clustering;
mod config;
mod consumer;
mod credential;
mod entities;
mod form;
mod history;
mod host;
mod info;
mod json;
mod layer;
mod listener;
mod nested;
mod new_names;
mod page;
mod paths;
mod plugin_protocols;
mod plugins;
mod policy;
mod proxy_cache;
mod reading;
mod resource;
mod route_match;
mod schemas;
mod settings;
mod socket;
mod tags;
mod targets;
mod tls;
mod unsupported;
mod upstream_health;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use model::KINDS;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;
use wire::Position;

pub(crate) use self::access::Origin;
use self::applied::Elsewhere;
pub(crate) use self::body::MAX_BODY_BYTES;
pub use self::body_memory::BodyMemory;
pub use self::config::ConfigLimits;
use self::config::ConfigTurns;
pub(crate) use self::host::Host;
pub use self::listener::{Listeners, bind};
use self::new_names::NewNames;
pub use self::settings::AdminSettings;
pub use self::tls::TlsFiles;
use crate::cluster::Registry;
use crate::error::ApiError;
use crate::metrics::AdminMetrics;
use crate::publish::Publisher;
use crate::store::{self, Author, Store, StoreError};

/// The state that the handlers of the Admin API share.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The database.
    pub store: Store,
    /// The position of the published configuration.
    pub head: watch::Receiver<Position>,
    /// The publisher of the configuration.
    pub publisher: Publisher,
    /// Data planes that are connected here.
    pub registry: Registry,
    /// This control plane.
    pub node: NodeInfo,
    /// Admits one `/routes/match` request at a time, since each reads the whole configuration.
    pub questions: Arc<Semaphore>,
    /// The memory of all bodies together, without those of `/config`.
    pub bodies: BodyMemory,
    /// The bounds of `/config`.
    pub config: ConfigLimits,
    /// Whether answers show the secrets of credentials, which are stored with this in mind.
    pub show_secrets: bool,
    /// The effective configuration, secrets masked.
    pub configuration: Value,
    /// Metrics of the Admin API.
    pub metrics: AdminMetrics,
}

/// This control plane, as the Admin API shows it.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its id.
    pub id: Uuid,
    /// The machine's name.
    pub hostname: String,
    /// The program's version.
    pub version: &'static str,
}

/// Builds the router of the Admin API.
pub fn router(state: AppState) -> Router {
    let mut api = Api::default();
    for kind in KINDS.iter().copied() {
        resource::routes(&mut api, kind);
        nested::routes(&mut api, kind);
    }
    targets::routes(&mut api);
    policy::routes(&mut api);
    proxy_cache::routes(&mut api);
    upstream_health::routes(&mut api);
    plugins::routes(&mut api);
    schemas::routes(&mut api);
    config::routes(&mut api);
    history::routes(&mut api);
    route_match::routes(&mut api);
    tags::routes(&mut api);
    unsupported::routes(&mut api);
    clustering::routes(&mut api);
    info::routes(&mut api);
    api.paths.sort();
    let config = ConfigTurns::new(state.config);
    let admin = SharedAdmin::new(Admin {
        state,
        paths: api.paths,
        edits: Semaphore::new(EDITS),
        new_names: NewNames::default(),
        passwords: Semaphore::new(credential::PASSWORDS),
        config,
        elsewhere: Elsewhere::default(),
        in_flight: AtomicI64::default(),
    });
    let router = api.router.method_not_allowed_fallback(no_such_method).fallback(no_such_path);
    // Around the router as a whole, not around each route: axum adds `Allow` outside of a route's layers.
    Router::new()
        .fallback_service(router.with_state(Arc::clone(&admin)))
        .layer(from_fn_with_state(admin, layer::around))
}

/// The version of Kong's API: tools written for Kong choose by it what they send.
const KONG: &str = "3.9.1";

/// The header with the revision of a write.
const REVISION: &str = "gibbon-revision";

/// Concurrent edits. If all of them edit one entity, each is retried at most once for each of the others.
const EDITS: usize = 8;
/// Attempts of one edit. Each retry means that another edit of the entity succeeded.
const ATTEMPTS: u32 = 32;

/// State that the handlers share.
#[derive(Debug)]
struct Admin {
    state: AppState,
    /// The paths that `GET /endpoints` lists.
    paths: Vec<String>,
    /// Held from the reading of an entity to its replacement, which limits the edits of one entity that
    /// conflict.
    edits: Semaphore,
    new_names: NewNames,
    /// Held while a password is hashed.
    passwords: Semaphore,
    config: ConfigTurns,
    /// The data planes of other control planes.
    elsewhere: Elsewhere,
    /// Requests under way.
    in_flight: AtomicI64,
}

impl Admin {
    /// Edits an entity, from its reading to its replacement. Retries when another control plane changed the
    /// entity in between, or a request here deleted it. Two edits of one entity must not undo each other, and
    /// an edit must not bring a deleted one back.
    async fn edit<F>(&self, attempt: impl Fn() -> F + Send) -> Result<Response, ApiError>
    where
        F: Future<Output = Result<Response, ApiError>> + Send,
    {
        // While the database does not answer, each edit in the queue waits for its deadline. A later edit
        // must not wait for the sum of these deadlines.
        let alone = tokio::time::timeout(store::DEADLINE, self.edits.acquire()).await;
        let late = |_| StoreError::Unavailable("the edits before this one have not ended".to_owned());
        let _alone = alone.map_err(late)?;
        for _ in 1..ATTEMPTS {
            match attempt().await {
                Err(ApiError::Store(StoreError::Changed)) => {}
                done => return done,
            }
        }
        attempt().await
    }
}

type SharedAdmin = Arc<Admin>;

/// What a handler needs beside its request: the shared state, and who sent it.
#[derive(Clone, Debug)]
struct Context {
    admin: SharedAdmin,
    author: Author,
}

impl FromRequestParts<SharedAdmin> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, admin: &SharedAdmin) -> Result<Self, Infallible> {
        let author = parts.extensions.get::<Author>().cloned().unwrap_or_default();
        Ok(Self { admin: Arc::clone(admin), author })
    }
}

/// Collects the router's paths and their names.
#[derive(Debug, Default)]
struct Api {
    router: Router<SharedAdmin>,
    paths: Vec<String>,
}

impl Api {
    fn route(&mut self, path: &str, methods: MethodRouter<SharedAdmin>) {
        self.paths.push(path.to_owned());
        self.router = std::mem::take(&mut self.router).route(path, methods);
    }
}

/// A path parameter. One that is not UTF-8 matches no entity.
#[derive(Debug)]
struct PathParam<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<SharedAdmin> for PathParam<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &SharedAdmin) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|_| ApiError::NotFound)
    }
}

async fn no_such_path() -> ApiError {
    ApiError::NotFound
}

/// Rejects a method that the path does not have; axum adds `Allow`.
async fn no_such_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return axum::http::StatusCode::NO_CONTENT.into_response();
    }
    ApiError::MethodNotAllowed.into_response()
}
