//! `GET /routes/match`: shows which route a request would match, and why not the others. The answer comes
//! from the published configuration, by the rules that data planes follow.

mod query;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use model::{Criterion, MatchRequest, Matched, Matcher, Route, Router, Service};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use uuid::Uuid;
use wire::Kind;

use self::query::MatchQuery;
use super::{Api, SharedAdmin};
use crate::error::ApiError;
use crate::publish::Published;

/// Timeout for the publication of the last commits.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout for the answers to earlier requests: one is computed at a time.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn routes(api: &mut Api) {
    api.route("/routes/match", get(explain).post(explain));
}

async fn explain(State(admin): State<SharedAdmin>, ask: MatchQuery) -> Result<Json<Value>, ApiError> {
    // The answer includes this client's writes, unless the database does not answer.
    tokio::time::timeout(TIMEOUT, admin.state.publisher.caught_up()).await.ok();
    let turn = turn(admin.state.questions.clone()).await?;
    let publisher = admin.state.publisher.clone();
    // The computation keeps the permit to its end, also when the client disconnects.
    let answer = spawn_blocking(move || (answer(&ask, &publisher.published()), turn).0).await;
    answer.map(Json).map_err(|_| ApiError::Panicked)
}

/// Waits until no other request is being answered.
async fn turn(questions: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    let turn = tokio::time::timeout(TURN_TIMEOUT, questions.acquire_owned()).await;
    turn.map_err(|_| ApiError::QuestionsBusy)?.map_err(|_| ApiError::Panicked)
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
        entities(published, model::kind::SERVICE, |id, service: Service| (id, Service { id, ..service }))
            .collect();
    let mut readings: Vec<Reading> = model::other_readings(&ask.path).into_iter().map(Reading::new).collect();
    let (mut others, total) =
        ask.with_request(|request| nearest(published, &services, request, &mut readings, ask.size + 1));
    let is_taken = others.first().is_some_and(|first| first.hit.is_some());
    let taken = is_taken.then(|| others.remove(0));
    let taken_hit = taken.as_ref().and_then(|taken| taken.hit);
    match &taken {
        Some(taken) => readings.retain(|reading| reading.route_id() != Some(taken.matcher.route().id)),
        None => readings.clear(),
    }
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

/// Another reading of the path. If it matches another route than the path, or none, data planes answer 400, unless
/// they keep ambiguous paths.
struct Reading {
    path: String,
    /// The best match so far, and the id and the name of its route.
    best: Option<(Matched, Uuid, Option<String>)>,
}

impl Reading {
    fn new(path: String) -> Self {
        Self { path, best: None }
    }

    fn route_id(&self) -> Option<Uuid> {
        self.best.as_ref().map(|(_, id, _)| *id)
    }

    /// Takes the route of `matcher` if it matches better than those before.
    fn consider(&mut self, matcher: &Matcher, request: &MatchRequest<'_>, served: bool) {
        let Some(hit) = matcher.hit(&MatchRequest { path: &self.path, ..*request }, served) else { return };
        if self.best.as_ref().is_none_or(|(best, ..)| *best < hit) {
            let route = matcher.route();
            self.best = Some((hit, route.id, route.name.clone()));
        }
    }

    fn view(&self) -> Value {
        let route = self.best.as_ref().map(|(_, id, name)| json!({ "id": id, "name": name }));
        json!({ "path": self.path, "route": route })
    }
}

/// Shows the readings; `null` for a path that matches one route however it is read.
fn ambiguous_view(readings: &[Reading]) -> Value {
    match readings {
        [] => Value::Null,
        readings => json!({
            "status": 400,
            "unless": "proxy.ambiguous_paths = keep",
            "readings": readings.iter().map(Reading::view).collect::<Vec<_>>(),
        }),
    }
}

/// Returns the nearest of all routes, and their total number. Routes that match come first, in the order of
/// precedence, then those with the fewest unmet criteria. Only the nearest are held in memory. Each route is compiled
/// once, for the request and for all `readings` of its path.
fn nearest(
    published: &Published,
    services: &Services,
    request: &MatchRequest<'_>,
    readings: &mut [Reading],
    most: usize,
) -> (Vec<Evaluated>, usize) {
    let (mut nearest, mut total): (Vec<Evaluated>, usize) = (Vec::new(), 0);
    let router = entities(published, model::kind::ROUTER, |_, router: Router| router.order).next();
    let order = router.unwrap_or_default();
    // Leaves out a route that does not compile, as every data plane has rejected it.
    for matcher in
        entities(published, model::kind::ROUTE, |id, route: Route| Matcher::new(Route { id, ..route }))
            .flatten()
    {
        total += 1;
        let matcher = matcher.with_order(order);
        let served = service_of(matcher.route(), services).is_none_or(Service::is_served);
        readings.iter_mut().for_each(|reading| reading.consider(&matcher, request, served));
        let evaluated = Evaluated::new(matcher, served, request);
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
    fn new(matcher: Matcher, served: bool, request: &MatchRequest<'_>) -> Self {
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
    let path = model::upstream_path(route.path_handling, route.strip_path, base, &ask.path, hit.matched);
    let query = ask.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let host = &service.host;
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.clone() };
    format!("{}://{host}:{}{path}{query}", service.protocol, service.port)
}

fn named(route: &Route) -> Value {
    json!({ "id": route.id, "name": route.name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_come_times_out() {
        let questions = Arc::new(Semaphore::new(1));
        let first = turn(questions.clone()).await.unwrap();
        assert!(matches!(turn(questions.clone()).await, Err(ApiError::QuestionsBusy)));
        drop(first);
        assert!(turn(questions).await.is_ok());
    }
}
