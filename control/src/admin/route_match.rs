//! `GET /routes/match`: which route a request would take, and why not the others. It is answered out of
//! what is published, by the rules that data planes follow.

mod ask;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;
use wire::{Criterion, Hit, Kind, MatchRequest, Matcher, Protocol, Route, Service};

use self::ask::Ask;
use super::{Api, Shared};
use crate::error::ApiError;
use crate::publish::Published;

/// How long the last commits are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn routes(api: &mut Api) {
    api.route("/routes/match", get(explain).post(explain));
}

async fn explain(State(admin): State<Shared>, ask: Ask) -> Result<Json<Value>, ApiError> {
    // What this client has written counts, unless the database does not answer.
    tokio::time::timeout(PATIENCE, admin.state.publisher.caught_up()).await.ok();
    let turn = admin.state.questions.clone().acquire_owned().await.map_err(|_| ApiError::Panicked)?;
    let published = admin.state.publisher.published();
    // It keeps its turn to the end, also when nobody waits for the answer any more.
    let answer = spawn_blocking(move || (answer(&ask, &published), turn).0).await;
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

    /// Each route, and whether its service, if it has one, is served.
    fn judged(&self) -> impl Iterator<Item = (&Matcher, bool)> {
        self.routes.iter().map(|matcher| {
            let served = self.service(matcher.route()).is_none_or(Service::is_served);
            (matcher, served)
        })
    }

    fn taken(&self, ask: &Ask, route: &Route, hit: Hit) -> Value {
        let service = self.service(route);
        let status = answered(ask, route, service);
        let proxied = service.filter(|_| status.is_none());
        json!({
            "route": named(route),
            "service": service.map(|service| json!({ "id": service.id, "name": service.name })),
            "path": hit.path(route),
            "matched": ask.path.get(..hit.matched),
            "priority": hit.columns(),
            "status": status,
            "upstream_url": proxied.map(|service| upstream_url(ask, route, service, hit)),
        })
    }
}

fn answer(ask: &Ask, published: &Published) -> Value {
    let model = Model::new(published);
    ask.with_request(|request| {
        let taken = wire::decide(model.judged(), request);
        let others = others(&model, request, taken.map(|(matcher, _)| matcher.route().id));
        json!({
            "revision": published.revision,
            "request": {
                "scheme": if ask.https { "https" } else { "http" },
                "method": request.method,
                "host": request.host,
                "port": request.port,
                "path": request.path,
                "sni": request.sni,
            },
            "match": taken.map(|(matcher, hit)| model.taken(ask, matcher.route(), hit)),
            "others": others.iter().take(ask.size).map(|other| other.view(taken)).collect::<Vec<_>>(),
            "others_total": others.len(),
        })
    })
}

/// A route that is not taken.
struct Other<'m> {
    route: &'m Route,
    /// What the request does not meet.
    misses: Vec<Criterion>,
    /// How it matches, if it misses nothing.
    hit: Option<Hit>,
}

/// The nearest first: those that match in the order in which they would be taken, then those that miss least.
fn others<'m>(model: &'m Model, request: &MatchRequest<'_>, taken: Option<Uuid>) -> Vec<Other<'m>> {
    let other = |(matcher, served): (&'m Matcher, bool)| Other {
        route: matcher.route(),
        misses: matcher.misses(request, served),
        hit: matcher.hit(request, served),
    };
    let is_other = |(matcher, _): &(&Matcher, bool)| Some(matcher.route().id) != taken;
    let mut others: Vec<_> = model.judged().filter(is_other).map(other).collect();
    others.sort_by_key(|other| {
        (other.misses.len(), Reverse(other.hit), other.route.created_at, other.route.id)
    });
    others
}

impl Other<'_> {
    fn view(&self, taken: Option<(&Matcher, Hit)>) -> Value {
        let ties = |hit: Hit| taken.is_some_and(|(_, taken)| taken.priority == hit.priority);
        let why_not: Vec<_> = match self.hit {
            Some(hit) if ties(hit) => vec!["age"],
            Some(_) => vec!["priority"],
            None => self.misses.iter().map(|criterion| criterion.as_str()).collect(),
        };
        let priority = self.hit.map(Hit::columns);
        json!({ "route": named(self.route), "why_not": why_not, "priority": priority })
    }
}

/// The status that a data plane answers with by itself; `None`: it proxies.
fn answered(ask: &Ask, route: &Route, service: Option<&Service>) -> Option<u16> {
    let https_only = route.protocols.contains(&Protocol::Https) && !route.protocols.contains(&Protocol::Http);
    match service {
        _ if https_only && !ask.https => Some(route.https_redirect_status_code),
        None => Some(503),
        Some(_) => None,
    }
}

fn upstream_url(ask: &Ask, route: &Route, service: &Service, hit: Hit) -> String {
    let base = service.path.as_deref().unwrap_or("/");
    let path = wire::upstream_path(route.path_handling, route.strip_path, base, &ask.path, hit.matched);
    let query = ask.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let host = &service.host;
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.clone() };
    format!("{}://{host}:{}{path}{query}", service.protocol, service.port)
}

fn named(route: &Route) -> Value {
    json!({ "id": route.id, "name": route.name })
}
