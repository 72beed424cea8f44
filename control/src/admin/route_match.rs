//! `GET /routes/match`: shows which route a request would match, and why not the others. The answer comes
//! from the published configuration, by the rules that data planes follow.

mod query;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;
use wire::{Criterion, Kind, MatchRequest, Matched, Matcher, Route, Service};

use self::query::MatchQuery;
use super::{Api, SharedAdmin};
use crate::error::ApiError;
use crate::publish::Published;

/// Timeout for the publication of the last commits.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn routes(api: &mut Api) {
    api.route("/routes/match", get(explain).post(explain));
}

async fn explain(State(admin): State<SharedAdmin>, ask: MatchQuery) -> Result<Json<Value>, ApiError> {
    // The answer includes this client's writes, unless the database does not answer.
    tokio::time::timeout(TIMEOUT, admin.state.publisher.caught_up()).await.ok();
    let turn = admin.state.questions.clone().acquire_owned().await.map_err(|_| ApiError::Panicked)?;
    let published = admin.state.publisher.published();
    // The computation keeps the permit to its end, also when the client disconnects.
    let answer = spawn_blocking(move || (answer(&ask, &published), turn).0).await;
    answer.map(Json).map_err(|_| ApiError::Panicked)
}

/// A route, and how the request matches it.
struct Evaluated {
    matcher: Matcher,
    /// The criteria that the request does not meet.
    unmet: Vec<Criterion>,
    /// How the route matches, if the request meets all criteria.
    hit: Option<Matched>,
}

type Services = HashMap<Uuid, Service>;

fn answer(ask: &MatchQuery, published: &Published) -> Value {
    let services: Services =
        entities(published, Kind::SERVICE, |id, service: Service| (id, Service { id, ..service })).collect();
    let (mut others, total) =
        ask.with_request(|request| nearest(published, &services, request, ask.size + 1));
    let is_taken = others.first().is_some_and(|first| first.hit.is_some());
    let taken = is_taken.then(|| others.remove(0));
    let taken_hit = taken.as_ref().and_then(|taken| taken.hit);
    let readings = taken.as_ref().map(|taken| elsewhere(ask, published, &services, taken.matcher.route()));
    let readings = readings.unwrap_or_default();
    let others_shown: Vec<_> = others.iter().take(ask.size).map(|other| other.view(taken_hit)).collect();
    json!({
        "revision": published.revision,
        "request": ask.view(),
        "match": taken.and_then(|taken| Some(taken_view(ask, taken.matcher.route(), &services, taken.hit?))),
        "ambiguous": ambiguous_view(&readings),
        "others": others_shown,
        "others_total": total - usize::from(is_taken),
    })
}

/// Returns the readings of the path that match another route than `taken`, with the route of each (`None`: no
/// route). If there is one, data planes answer 400, unless they keep ambiguous paths.
fn elsewhere(
    ask: &MatchQuery,
    published: &Published,
    services: &Services,
    taken: &Route,
) -> Vec<(String, Option<Route>)> {
    let route_of = |path: &String| {
        let (nearest, _) = ask.with_path(path, |request| nearest(published, services, request, 1));
        nearest.into_iter().find(|first| first.hit.is_some()).map(|first| first.matcher.route().clone())
    };
    let readings = wire::other_readings(&ask.path).into_iter().map(|path| {
        let route = route_of(&path);
        (path, route)
    });
    readings.filter(|(_, route)| route.as_ref().map(|route| route.id) != Some(taken.id)).collect()
}

/// Shows the readings; `null` for a path that matches one route however it is read.
fn ambiguous_view(readings: &[(String, Option<Route>)]) -> Value {
    let view =
        |(path, route): &(String, Option<Route>)| json!({ "path": path, "route": route.as_ref().map(named) });
    match readings {
        [] => Value::Null,
        readings => json!({
            "status": 400,
            "unless": "proxy.ambiguous_paths = keep",
            "readings": readings.iter().map(view).collect::<Vec<_>>(),
        }),
    }
}

/// Returns the nearest of all routes, and their total number. Routes that match come first, in the order of
/// precedence, then those with the fewest unmet criteria. Only the nearest are held in memory.
fn nearest(
    published: &Published,
    services: &Services,
    request: &MatchRequest<'_>,
    most: usize,
) -> (Vec<Evaluated>, usize) {
    let (mut nearest, mut total): (Vec<Evaluated>, usize) = (Vec::new(), 0);
    // Leaves out a route that does not compile, as every data plane has rejected it.
    for matcher in
        entities(published, Kind::ROUTE, |id, route: Route| Matcher::new(Route { id, ..route })).flatten()
    {
        total += 1;
        let evaluated = Evaluated::new(matcher, services, request);
        let at = nearest.partition_point(|other| other.rank() < evaluated.rank());
        nearest.insert(at, evaluated);
        nearest.truncate(most);
    }
    (nearest, total)
}

/// Returns the entities of a kind, without those that cannot be read.
fn entities<'p, E: DeserializeOwned, T>(
    published: &'p Published,
    kind: Kind,
    read: impl Fn(Uuid, E) -> T + 'p,
) -> impl Iterator<Item = T> + 'p {
    let of_kind = published.entities.iter().filter(move |(key, _)| key.kind == kind);
    of_kind.filter_map(move |(key, bytes)| Some(read(key.id, serde_json::from_slice(bytes).ok()?)))
}

impl Evaluated {
    fn new(matcher: Matcher, services: &Services, request: &MatchRequest<'_>) -> Self {
        let served = service_of(matcher.route(), services).is_none_or(Service::is_served);
        let (unmet, hit) = (matcher.unmet(request, served), matcher.hit(request, served));
        Self { matcher, unmet, hit }
    }

    fn rank(&self) -> impl Ord + use<> {
        let route = self.matcher.route();
        (self.unmet.len(), Reverse(self.hit), route.created_at, route.id)
    }

    /// Explains why the route is not taken: unmet criteria, a priority lower than that of the taken route, or
    /// its age.
    fn view(&self, taken: Option<Matched>) -> Value {
        let ties = |hit: Matched| taken.is_some_and(|taken| taken.priority == hit.priority);
        let why_not: Vec<_> = match self.hit {
            Some(hit) if ties(hit) => vec!["age"],
            Some(_) => vec!["priority"],
            None => self.unmet.iter().map(|criterion| criterion.as_str()).collect(),
        };
        let priority = self.hit.map(Matched::columns);
        json!({ "route": named(self.matcher.route()), "why_not": why_not, "priority": priority })
    }
}

fn taken_view(ask: &MatchQuery, route: &Route, services: &Services, hit: Matched) -> Value {
    let service = service_of(route, services);
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

fn service_of<'s>(route: &Route, services: &'s Services) -> Option<&'s Service> {
    services.get(&route.service?)
}

/// Returns the status with which a data plane answers by itself; `None`: it proxies the request.
fn answered(ask: &MatchQuery, route: &Route, service: Option<&Service>) -> Option<u16> {
    let refused = route.is_tls_only() && !ask.https;
    match service {
        // gRPC reports a failure in a response with an HTTP status of success.
        _ if refused && route.is_grpc() => Some(200),
        _ if refused => Some(route.https_redirect_status_code),
        None => Some(503),
        Some(_) => None,
    }
}

fn upstream_url(ask: &MatchQuery, route: &Route, service: &Service, hit: Matched) -> String {
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
