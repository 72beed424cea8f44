//! `GET /routes/match`: which route a request would take, and why not the others. It is answered out of
//! what is published, by the rules that data planes follow.

mod ask;

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;
use wire::{Criterion, Hit, Kind, Matcher, Protocol, Route, Service};

use self::ask::Ask;
use super::{Api, Shared};
use crate::error::ApiError;
use crate::publish::Published;

/// How many routes that do not match are told of, unless all are asked for.
const NEAREST: usize = 10;
/// How long the last commits are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn routes(api: &mut Api) {
    api.route("/routes/match", get(explain).post(explain));
}

async fn explain(State(admin): State<Shared>, ask: Ask) -> Result<Json<Value>, ApiError> {
    // What this client has written counts, unless the database does not answer.
    tokio::time::timeout(PATIENCE, admin.state.publisher.caught_up()).await.ok();
    let published = admin.state.publisher.published();
    let answer = spawn_blocking(move || answer(&ask, &published)).await;
    answer.map(Json).map_err(|_| ApiError::Panicked)
}

/// The configuration, read.
struct Model {
    services: HashMap<Uuid, Service>,
    routes: Vec<Matcher>,
}

impl Model {
    /// What cannot be read or compiled is left out, as no data plane has taken it.
    fn new(published: &Published) -> Self {
        let (mut services, mut routes) = (HashMap::new(), Vec::new());
        for (key, bytes) in &published.entities {
            match key.kind {
                Kind::SERVICE => {
                    if let Ok(service) = serde_json::from_slice::<Service>(bytes) {
                        services.insert(key.id, Service { id: key.id, ..service });
                    }
                }
                Kind::ROUTE => {
                    if let Ok(route) = serde_json::from_slice::<Route>(bytes) {
                        routes.extend(Matcher::new(Route { id: key.id, ..route }));
                    }
                }
                _ => {}
            }
        }
        Self { services, routes }
    }

    fn service(&self, route: &Route) -> Option<&Service> {
        self.services.get(&route.service?)
    }

    fn judged(&self) -> impl Iterator<Item = (&Matcher, bool)> {
        self.routes.iter().map(|route| {
            let enabled = self.service(route.route()).is_none_or(|service| service.enabled);
            (route, enabled)
        })
    }
}

fn answer(ask: &Ask, published: &Published) -> Value {
    let model = Model::new(published);
    ask.with_request(|request| {
        let taken = wire::decide(model.judged(), request);
        let taken_id = taken.map(|(matcher, _)| matcher.route().id);
        let mut others: Vec<_> = model
            .judged()
            .filter(|(matcher, _)| Some(matcher.route().id) != taken_id)
            .map(|(matcher, enabled)| (matcher.misses(request, enabled), matcher))
            .collect();
        let nearest = |(misses, matcher): &(Vec<Criterion>, &Matcher)| {
            (misses.len(), matcher.route().created_at, matcher.route().id)
        };
        others.sort_by_key(nearest);
        others.truncate(if ask.all { usize::MAX } else { NEAREST });
        json!({
            "revision": published.revision,
            "request": {
                "method": request.method,
                "host": request.host,
                "port": request.port,
                "path": request.path,
                "sni": request.sni,
            },
            "match": taken.map(|(matcher, hit)| model.taken(ask, matcher.route(), hit)),
            "others": others.iter().map(|(misses, matcher)| other(matcher.route(), misses)).collect::<Vec<_>>(),
        })
    })
}

impl Model {
    fn taken(&self, ask: &Ask, route: &Route, hit: Hit) -> Value {
        let service = self.service(route);
        json!({
            "route": named(route),
            "service": service.map(|service| json!({ "id": service.id, "name": service.name })),
            "path": hit.path(route),
            "priority": hit.priority,
            "outcome": outcome(ask, route, service),
            "upstream_url": service.map(|service| upstream_url(ask, route, service, hit)),
        })
    }
}

/// What becomes of a request that takes the route.
fn outcome(ask: &Ask, route: &Route, service: Option<&Service>) -> Value {
    let https_only = route.protocols.contains(&Protocol::Https) && !route.protocols.contains(&Protocol::Http);
    match service {
        _ if https_only && !ask.https => json!({ "status": route.https_redirect_status_code }),
        None => json!({ "status": 503 }),
        Some(_) => json!("proxied"),
    }
}

fn upstream_url(ask: &Ask, route: &Route, service: &Service, hit: Hit) -> String {
    let base = service.path.as_deref().unwrap_or("/");
    let path = wire::upstream_path(route.path_handling, route.strip_path, base, &ask.path, hit.matched);
    let query = ask.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}://{}:{}{path}{query}", service.protocol, service.host, service.port)
}

/// Why another route is not taken: what the request does not meet, or a lower priority.
fn other(route: &Route, misses: &[Criterion]) -> Value {
    let names: Vec<_> = misses.iter().map(|criterion| criterion.as_str()).collect();
    let why = if names.is_empty() { json!(["priority"]) } else { json!(names) };
    json!({ "route": named(route), "why_not": why })
}

fn named(route: &Route) -> Value {
    json!({ "id": route.id, "name": route.name })
}
