//! The Admin API: Kong's, for services, routes and certificates, and what the control plane knows of its data planes.
//!
//! One file per resource says what its fields are ([`resource::Resource`]); reading bodies, paging, upserts
//! and nested collections are common to all. Knows no SQL, and leaves every failure's status to
//! [`crate::error`].

mod access;
mod applied;
mod body;
mod ca_certificate;
mod certificate;
mod clustering;
mod fields;
mod form;
mod info;
mod json;
mod layer;
mod listener;
mod nested;
mod page;
mod paths;
mod pem;
mod resource;
mod route;
mod route_match;
mod service;
mod sni;
mod socket;
mod tags;
mod tls;
mod unsupported;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;
use wire::Position;

pub(crate) use self::access::{Host, Origin};
use self::applied::Elsewhere;
pub use self::listener::{Listeners, bind};
pub use self::tls::TlsFiles;
use crate::cluster::Registry;
use crate::error::ApiError;
use crate::metrics::AdminMetrics;
use crate::publish::Publisher;
use crate::store::{self, Store, StoreError};

/// What the Admin API works on.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The database.
    pub store: Store,
    /// Where the published configuration stands.
    pub head: watch::Receiver<Position>,
    /// Who publishes it.
    pub publisher: Publisher,
    /// Data planes that are connected here.
    pub registry: Registry,
    /// This control plane.
    pub node: NodeInfo,
    /// Who may ask which route a request takes: one at a time, since each reads the whole configuration.
    pub questions: Arc<Semaphore>,
    /// Between two heartbeats of data planes.
    pub heartbeat: Duration,
    /// The effective configuration, secrets masked.
    pub configuration: Value,
    /// Its metrics.
    pub metrics: AdminMetrics,
}

/// What a control plane says of itself.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its id.
    pub id: Uuid,
    /// The machine's name.
    pub hostname: String,
    /// The program's version.
    pub version: &'static str,
}

/// The Admin API.
pub fn router(state: AppState) -> Router {
    let mut api = Api::default();
    resource::routes::<service::Services>(&mut api);
    resource::routes::<route::Routes>(&mut api);
    nested::routes::<route::Routes>(&mut api);
    certificate::routes(&mut api);
    resource::routes::<sni::Snis>(&mut api);
    nested::routes::<sni::Snis>(&mut api);
    resource::routes::<ca_certificate::CaCertificates>(&mut api);
    route_match::routes(&mut api);
    tags::routes(&mut api);
    unsupported::routes(&mut api);
    clustering::routes(&mut api);
    info::routes(&mut api);
    let admin = SharedAdmin::new(Admin {
        state,
        paths: api.paths,
        edits: Semaphore::new(EDITS),
        elsewhere: Elsewhere::default(),
        in_flight: AtomicI64::default(),
    });
    let router = api.router.method_not_allowed_fallback(no_such_method).fallback(no_such_path);
    // Around the router as a whole, not around each route: axum adds `Allow` outside of a route's layers.
    Router::new()
        .fallback_service(router.with_state(Arc::clone(&admin)))
        .layer(from_fn_with_state(admin, layer::around))
}

/// Edits at a time. Of this many of one row, each is tried again at most as often as others are done before it.
const EDITS: usize = 8;
/// How often an edit is tried: each time that it must be tried again, another one of the row was done.
const ATTEMPTS: u32 = 32;

/// What handlers share.
#[derive(Debug)]
struct Admin {
    state: AppState,
    /// Of `GET /endpoints`.
    paths: Vec<String>,
    /// Held from the reading of a row to its replacement, so that not all edits of one row meet each other there.
    edits: Semaphore,
    /// The data planes of other control planes.
    elsewhere: Elsewhere,
    /// Requests under way.
    in_flight: AtomicI64,
}

impl Admin {
    /// Edits a row, from its reading to its replacement; again, when the row has been changed in between:
    /// by another control plane, or deleted here. Two edits of one row must not undo each other, nor bring
    /// back what was deleted.
    async fn edit<F>(&self, attempt: impl Fn() -> F + Send) -> Result<Response, ApiError>
    where
        F: Future<Output = Result<Response, ApiError>> + Send,
    {
        // While the database does not answer, each edit in the queue waits out its deadline: who comes
        // later must not wait for the sum of them.
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

/// Paths as they are added, and their names.
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

/// Parts of a path; one that is not UTF-8 leads nowhere.
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

/// Another method than the path has; axum adds `Allow`.
async fn no_such_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return axum::http::StatusCode::NO_CONTENT.into_response();
    }
    ApiError::MethodNotAllowed.into_response()
}
