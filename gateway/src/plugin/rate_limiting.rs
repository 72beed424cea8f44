//! rate-limiting: refuses requests beyond what may come in a period.
//!
//! A request is counted before it is forwarded, on all limits or on none. Counters are those of this node
//! ([`Counters`]), those of a server of redis, or those of this node that a
//! server brings together with others by a timer.

mod fields;
mod identifier;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::plugins::counting::CounterPolicy;
use model::plugins::rate_limiting::{FurtherLimit, WindowType};
use smallvec::SmallVec;
use uuid::Uuid;

pub(in crate::plugin) use self::fields::value;
pub(in crate::plugin) use self::identifier::{By, Name};
use super::{Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Shared, Step, Unusable};
use crate::counting::clock::unix_millis;
use crate::counting::counters::{Ask, Counters, Namespace, Period, Scope, Subject, Taken};
use crate::counting::redis::{Keys, RedisTerms, Server, Synced};
use crate::error::RequestFailure;

/// What a request asks for. Without memory of its own for limits of four periods.
type Asks = SmallVec<[Ask; 4]>;
/// Limits by period, the shortest first.
pub(in crate::plugin) type Periods = SmallVec<[(Period, f64); 2]>;

/// Refuses requests beyond what may come in a period.
#[derive(Debug)]
pub struct RateLimiting {
    plugin: Uuid,
    namespace: Namespace,
    limits: SmallVec<[Limit; 1]>,
    sliding: bool,
    place: Place,
    fault_tolerant: bool,
    is_hidden: bool,
    status: u16,
    message: Box<str>,
}

/// One limit: by what requests are counted apart, and how many may come.
#[derive(Debug)]
struct Limit {
    by: SmallVec<[By; 1]>,
    periods: Periods,
    /// What its keys on a server begin with.
    key: Box<str>,
}

/// Where counters are.
#[derive(Debug)]
enum Place {
    Here,
    /// On a server, with each request.
    Server(RedisTerms, OnceLock<Arc<Server>>),
    /// Here, and by a timer on a server.
    Synced(RedisTerms, Duration, OnceLock<Arc<Synced>>),
}

impl Plugin for RateLimiting {
    type Config = model::plugins::RateLimiting;

    const PHASES: Phases = Phases::ACCESS.with(Phases::PREPARE);

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let of_scope = terms.scope;
        let scope = Scope {
            route: of_scope.route.unwrap_or_default(),
            service: of_scope.service.unwrap_or_default(),
        };
        let mut limits = SmallVec::new();
        limits.push(Limit::first(config, &scope)?);
        for further in &config.additional_limits {
            limits.push(Limit::further(further, &scope)?);
        }
        Ok(Self {
            plugin: terms.id,
            namespace: Namespace::new(&scope, b"rate-limiting"),
            limits,
            sliding: config.window_type == WindowType::Sliding,
            place: Place::new(config)?,
            fault_tolerant: config.fault_tolerant,
            is_hidden: config.hide_client_headers,
            status: config.status(),
            message: config.error_message.as_str().into(),
        })
    }

    fn prepare(&self, exchange: &Exchange<'_>) -> Option<Subject> {
        exchange.consumer()?;
        let limit = self.limits.first().filter(|limit| limit.by[..] == [By::Consumer])?;
        let counters = &exchange.shared().counters;
        let subject = self.subject(limit, exchange, counters);
        if !matches!(self.place, Place::Server(..)) {
            limit.periods.iter().for_each(|(period, _)| counters.prefetch(subject, *period));
        }
        Some(subject)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let (shared, now) = (exchange.shared(), unix_millis());
        let asks = self.asks(exchange, shared);
        match &self.place {
            Place::Here => {
                let taken = shared.counters.take(&asks, now);
                Step::Done(self.decide(exchange, &asks, &taken))
            }
            Place::Synced(terms, every, known) => {
                let synced = known.get_or_init(|| shared.redis.synced(terms, self.plugin, *every));
                Step::Done(self.take_synced(exchange, &asks, shared, synced, now))
            }
            Place::Server(terms, known) => {
                let server = known.get_or_init(|| shared.redis.server(terms, self.plugin));
                let keys = self.keys(exchange, &asks, now);
                Step::wait(async move {
                    let taken = server.take(&asks, &keys, now).await;
                    match taken {
                        Ok(taken) => self.decide(exchange, &asks, &taken),
                        Err(_) => self.without_counters(),
                    }
                })
            }
        }
    }
}

impl RateLimiting {
    fn asks(&self, exchange: &Exchange<'_>, shared: &Shared) -> Asks {
        let mut asks = Asks::new();
        let mut prepared = exchange.prepared(self.plugin);
        for limit in &self.limits {
            // That is of the first one.
            let subject = prepared.take().unwrap_or_else(|| self.subject(limit, exchange, &shared.counters));
            asks.extend(limit.periods.iter().map(|period| self.ask(subject, *period)));
        }
        asks
    }

    fn subject(&self, limit: &Limit, exchange: &Exchange<'_>, counters: &Counters) -> Subject {
        let mut name = Name::new();
        limit.by.iter().for_each(|by| by.name(exchange, &mut name));
        counters.subject(&self.namespace, &name)
    }

    fn ask(&self, subject: Subject, (period, limit): (Period, f64)) -> Ask {
        Ask { subject, period, limit, sliding: self.sliding, cost: 1.0 }
    }

    /// The keys of all asks, on a server.
    fn keys(&self, exchange: &Exchange<'_>, asks: &[Ask], now: u64) -> Vec<Keys> {
        let mut keys = Vec::with_capacity(asks.len());
        for limit in &self.limits {
            let begin = limit.key(exchange);
            keys.extend(limit.periods.iter().map(|(period, _)| Keys::new(&begin, None, *period, now)));
        }
        keys
    }

    /// Counts on this node, and notes what is to be sent.
    fn take_synced(
        &self,
        exchange: &mut Exchange<'_>,
        asks: &[Ask],
        shared: &Shared,
        synced: &Synced,
        now: u64,
    ) -> Outcome {
        if !self.fault_tolerant && synced.server().is_away() {
            return self.without_counters();
        }
        let taken = shared.counters.take(asks, now);
        if taken.allowed {
            let mut all = asks.iter();
            for limit in &self.limits {
                for (ask, (period, _)) in all.by_ref().zip(&limit.periods) {
                    synced.note(ask, taken.now, || {
                        Keys::new(&limit.key(exchange), None, *period, taken.now).current
                    });
                }
            }
        }
        self.decide(exchange, asks, &taken)
    }

    fn decide(&self, exchange: &mut Exchange<'_>, asks: &[Ask], taken: &Taken) -> Outcome {
        if !self.is_hidden {
            let mut set = exchange.answer_headers();
            fields::each(asks, taken, |name, value| set(name.into(), value));
        }
        if taken.allowed {
            return Ok(());
        }
        Err(Box::new(Reply::message(self.status, Cow::Owned(self.message.to_string()))))
    }

    /// What becomes of a request that nobody can count.
    fn without_counters(&self) -> Outcome {
        if self.fault_tolerant { Ok(()) } else { Err(Box::new(Reply::failure(RequestFailure::Internal))) }
    }
}

impl Limit {
    fn first(config: &model::plugins::RateLimiting, scope: &Scope) -> Result<Self, Unusable> {
        let by = By::new(config.limit_by, config.header_name.as_deref(), config.path.as_deref());
        let by = SmallVec::from_iter([by.ok_or(NO_NAME)?]);
        let key = format!("ratelimit:{}:{}:", scope.route, scope.service);
        Ok(Self { by, periods: periods(&config.limits()), key: key.into() })
    }

    fn further(config: &FurtherLimit, scope: &Scope) -> Result<Self, Unusable> {
        let (header, path) = (config.header_name.as_deref(), config.path.as_deref());
        let by = config.limit_by.iter().map(|by| By::new(*by, header, path));
        let by = by.collect::<Option<SmallVec<_>>>().ok_or(NO_NAME)?;
        let words: Vec<_> = config.limit_by.iter().map(|by| model::Word::as_str(*by)).collect();
        let key = format!("ratelimit:{}:{}:{}:", scope.route, scope.service, words.join(","));
        Ok(Self { by, periods: periods(&config.limits()), key: key.into() })
    }

    /// The beginning of its keys on a server, for one request.
    fn key(&self, exchange: &Exchange<'_>) -> Vec<u8> {
        let mut key = self.key.as_bytes().to_vec();
        for (index, by) in self.by.iter().enumerate() {
            if index > 0 {
                key.push(b',');
            }
            by.identify(exchange).write(&mut key);
        }
        key
    }
}

/// `limit_by` needs the name of a header, or a path.
const NO_NAME: Unusable = Unusable {
    field: "limit_by",
    message: Cow::Borrowed("needs a header_name that a header can have, or a path"),
};

/// The policy needs a server.
pub(in crate::plugin) const NO_SERVER: Unusable =
    Unusable { field: "redis", message: Cow::Borrowed("names no host") };

impl Place {
    fn new(config: &model::plugins::RateLimiting) -> Result<Self, Unusable> {
        if config.policy == CounterPolicy::Local {
            return Ok(Self::Here);
        }
        let terms = RedisTerms::new(&config.redis).ok_or(NO_SERVER)?;
        Ok(match config.synced_every() {
            Some(every) => Self::Synced(terms, every.seconds(), OnceLock::new()),
            None => Self::Server(terms, OnceLock::new()),
        })
    }
}

/// The limits that are set, the shortest period first.
pub(in crate::plugin) fn periods(limits: &[Option<model::Number>; 6]) -> Periods {
    Period::ALL
        .into_iter()
        .zip(limits)
        .filter_map(|(period, limit)| Some((period, (*limit)?.get())))
        .collect()
}

const _: () = assert!(model::plugins::counting::PERIODS.len() == Period::ALL.len());
