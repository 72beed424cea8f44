//! response-ratelimiting: counts what upstreams say was used of something, and refuses more of it.
//!
//! An upstream names in a field what a request has used: `videos=2, sms=1`. The answer that uses up a limit
//! passes. The next one that would use more is refused, after the upstream has been asked: the gateway cannot
//! know before. With `block_on_first_violation` a request is refused before it is forwarded.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use model::plugins::counting::CounterPolicy;
use model::plugins::response_ratelimiting::UsedBy;
use smallvec::SmallVec;
use uuid::Uuid;

use super::rate_limiting::{By, NO_SERVER, Name, Periods, periods, value};
use super::{Answer, Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Shared, Step, Unusable};
use crate::counting::clock::unix_millis;
use crate::counting::counters::{Ask, Namespace, Scope, Taken};
use crate::counting::redis::{Keys, RedisTerms, Server};
use crate::error::RequestFailure;
use crate::grpc;
use crate::message::FieldName;

/// The status of a refusal.
const TOO_MANY: u16 = 429;

/// Counts what upstreams say was used, and refuses more of it.
#[derive(Debug)]
pub struct ResponseRatelimiting {
    plugin: Uuid,
    namespace: Namespace,
    by: By,
    things: Box<[Thing]>,
    /// The field in which upstreams say what was used.
    field: Box<str>,
    server: Option<(RedisTerms, OnceLock<Arc<Server>>)>,
    fault_tolerant: bool,
    blocks_early: bool,
    is_hidden: bool,
    /// What keys on a server begin with.
    key: Box<str>,
}

/// Something that is used, and how much of it may be.
#[derive(Debug)]
struct Thing {
    name: Box<str>,
    periods: Periods,
    /// The names of the fields with its limits and with what is left, by period.
    fields: SmallVec<[(Box<str>, Box<str>); 2]>,
    /// The field with what is left of it in any period.
    remaining: FieldName,
}

/// What a request keeps from its first phase for its answer.
#[derive(Debug)]
struct Begun {
    plugin: Uuid,
    asks: Vec<Ask>,
    /// What had been used, as the server said.
    seen: Option<(Taken, Vec<Keys>)>,
}

impl Plugin for ResponseRatelimiting {
    type Config = model::plugins::ResponseRatelimiting;

    const PHASES: Phases = Phases::ACCESS.with(Phases::ANSWER);

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let of_scope = terms.scope;
        let (route, service) = (of_scope.route.unwrap_or_default(), of_scope.service.unwrap_or_default());
        let server = match config.policy {
            CounterPolicy::Local => None,
            CounterPolicy::Redis => Some((RedisTerms::new(&config.redis).ok_or(NO_SERVER)?, OnceLock::new())),
        };
        let things = config.limits.iter().map(|(name, periods)| Thing::new(name, periods));
        Ok(Self {
            plugin: terms.id,
            namespace: Namespace::new(&Scope { route, service }, b"response-ratelimiting"),
            by: match config.limit_by {
                UsedBy::Consumer => By::Consumer,
                UsedBy::Credential => By::Credential,
                UsedBy::Ip => By::Address,
            },
            things: things.collect::<Result<_, _>>()?,
            field: config.header_name.as_str().into(),
            server,
            fault_tolerant: config.fault_tolerant,
            blocks_early: config.block_on_first_violation,
            is_hidden: config.hide_client_headers,
            key: format!("response-ratelimit:{route}:{service}:").into(),
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let (shared, now) = (exchange.shared(), unix_millis());
        let asks = self.asks(exchange, shared);
        let Some((terms, known)) = &self.server else {
            let taken = shared.counters.take(&asks, now);
            return Step::Done(self.begin(exchange, asks, &taken, None));
        };
        let server = known.get_or_init(|| shared.redis.server(terms, self.plugin));
        let keys = self.keys(exchange, now);
        Step::wait(async move {
            match server.look(&asks, &keys, now).await {
                Ok(taken) => self.begin(exchange, asks, &taken.clone(), Some((taken, keys))),
                Err(_) if self.fault_tolerant => Ok(()),
                Err(_) => Err(Box::new(Reply::failure(RequestFailure::Internal))),
            }
        })
    }

    fn answer(&self, exchange: &mut Exchange<'_>, answer: &mut Answer) {
        let used = self.used(answer);
        answer.fields.remove(&self.field);
        let Some(begun) = exchange.kept::<Begun>().filter(|begun| begun.plugin == self.plugin) else {
            return;
        };
        let asks = self.costly(&begun.asks, &used);
        let taken = self.count(exchange.shared(), &asks, begun.seen.as_ref());
        if !self.is_hidden {
            self.show(&asks, &taken, answer);
        }
        if !taken.allowed {
            answer.refuse(http::StatusCode::from_u16(TOO_MANY).unwrap_or_default());
            if exchange.is_grpc() {
                let outcome = grpc::outcome(TOO_MANY, "");
                outcome.iter().for_each(|(name, value)| answer.fields.set(name.lower().as_str(), value));
            }
        }
    }
}

impl ResponseRatelimiting {
    /// An ask for each period of each thing, without a cost.
    fn asks(&self, exchange: &Exchange<'_>, shared: &Shared) -> Vec<Ask> {
        let mut name = Name::new();
        self.by.name(exchange, &mut name);
        let end = name.len();
        let mut asks = Vec::new();
        for thing in &self.things {
            name.truncate(end);
            name.extend_from_slice(thing.name.as_bytes());
            let subject = shared.counters.subject(&self.namespace, &name);
            let ask = |(period, limit)| Ask { subject, period, limit, sliding: false, cost: 0.0 };
            asks.extend(thing.periods.iter().copied().map(ask));
        }
        asks
    }

    fn keys(&self, exchange: &Exchange<'_>, now: u64) -> Vec<Keys> {
        let mut begin = self.key.as_bytes().to_vec();
        self.by.identify(exchange).write(&mut begin);
        let of_thing = |thing: &Thing| {
            let of_period = |(period, _): &(_, f64)| Keys::new(&begin, Some(&thing.name), *period, now);
            thing.periods.iter().map(of_period).collect::<Vec<_>>()
        };
        self.things.iter().flat_map(of_thing).collect()
    }

    /// Tells the upstream and the client what was left before the request, or refuses it.
    fn begin(
        &self,
        exchange: &mut Exchange<'_>,
        asks: Vec<Ask>,
        taken: &Taken,
        seen: Option<(Taken, Vec<Keys>)>,
    ) -> Outcome {
        let mut usage = asks.iter().zip(&taken.usage);
        for thing in &self.things {
            let of_thing = usage.by_ref().take(thing.periods.len());
            let Some(left) = of_thing.map(|(ask, usage)| ask.limit - usage).reduce(f64::min) else {
                continue;
            };
            if self.blocks_early && left <= 0.0 {
                let text = format!("API rate limit exceeded for '{}'", thing.name);
                return Err(Box::new(Reply::message(TOO_MANY, Cow::Owned(text))));
            }
            exchange.set_header(&thing.remaining, value(left).into());
            if !self.is_hidden {
                exchange.set_answer_header(&thing.remaining, value(left));
            }
        }
        exchange.keep(Begun { plugin: self.plugin, asks, seen });
        Ok(())
    }

    /// What the upstream says was used, for each thing.
    fn used(&self, answer: &Answer) -> SmallVec<[f64; 4]> {
        let mut used: SmallVec<[f64; 4]> = self.things.iter().map(|_| 0.0).collect();
        if !answer.is_from_upstream() {
            return used;
        }
        let values = answer.fields.get_all(&self.field).filter_map(|value| std::str::from_utf8(value).ok());
        for part in values.flat_map(|value| value.split(',')) {
            let Some((name, number)) = part.split_once('=') else { continue };
            let number = number.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            let thing = self.things.iter().position(|thing| *thing.name == *name.trim());
            if let (Some(thing), Some(number)) = (thing, number) {
                used[thing] = number;
            }
        }
        used
    }

    fn costly(&self, asks: &[Ask], used: &[f64]) -> Vec<Ask> {
        let costs = self.things.iter().zip(used);
        let costs = costs.flat_map(|(thing, used)| thing.periods.iter().map(|_| *used));
        asks.iter().zip(costs).map(|(ask, cost)| Ask { cost, ..*ask }).collect()
    }

    /// Counts what was used. On a server that happens behind the answer, by what it said before.
    fn count(&self, shared: &Shared, asks: &[Ask], seen: Option<&(Taken, Vec<Keys>)>) -> Taken {
        let Some((taken, keys)) = seen else { return shared.counters.take(asks, unix_millis()) };
        let taken = Taken::new(asks, taken.usage.clone(), taken.now, |_| 0);
        if let Some(server) =
            self.server.as_ref().and_then(|(_, known)| known.get()).filter(|_| taken.allowed)
        {
            shared.redis.add_later(server, asks, keys, unix_millis());
        }
        taken
    }

    fn show(&self, asks: &[Ask], taken: &Taken, answer: &mut Answer) {
        let names = self.things.iter().flat_map(|thing| &thing.fields);
        let text = |number| HeaderValue::from(value(number));
        for ((ask, usage), (limit, remaining)) in asks.iter().zip(&taken.usage).zip(names) {
            answer.fields.set(limit, text(ask.limit));
            // As in Kong, also of a refusal, and never below 0. The field without a period may be negative.
            answer.fields.set(remaining, text((ask.limit - usage - ask.cost).max(0.0)));
        }
    }
}

impl Thing {
    fn new(name: &str, limits: &model::plugins::counting::Periods) -> Result<Self, Unusable> {
        let unusable = || Unusable { field: "limits", message: "has a name that no header can have".into() };
        let periods = periods(&limits.limits());
        let field = |what: &str, period: &str| format!("X-RateLimit-{what}-{name}-{period}").into();
        let fields = periods
            .iter()
            .map(|(period, _)| (field("Limit", period.as_str()), field("Remaining", period.as_str())));
        let remaining = FieldName::new(&format!("X-RateLimit-Remaining-{name}")).ok_or_else(unusable)?;
        Ok(Self { name: name.into(), fields: fields.collect(), periods, remaining })
    }
}
