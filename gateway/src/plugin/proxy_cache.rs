//! proxy-cache: keeps answers of upstreams, and gives them to later requests.
//!
//! Kong's plugin keeps too little and shares too much. Here a type without parameters has any, Vary is obeyed,
//! requests for one answer wait for the first of them, and nothing private is kept unless the configuration
//! says so. The store is one for the process; it outlives every change of the configuration.

mod request;
mod tap;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, Method};
use model::Word;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use self::tap::RecordingTap;
use super::{Answer, Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, ReplyBody, Step, Unusable};
use crate::answer_cache::{
    AdmissionTerms, CountedField, Directives, Fields, Head, KeyTerms, Keys, Lead, MediaType, Purges, Stored,
    Turn, Use, Waited, Waiting, hex,
};
use crate::message::{FieldName, NamedHeader};
use crate::metrics::CacheMetrics;
use crate::names::{self, Name};

/// A client that sends this field is shown the fields about the cache, whatever the configuration says.
const DEBUG: HeaderName = HeaderName::from_static("kong-debug");

/// Keeps answers of upstreams, and gives them to later requests.
#[derive(Debug)]
pub struct ProxyCache {
    id: Uuid,
    methods: Vec<Method>,
    key: KeyTerms,
    admission: AdmissionTerms,
    shows: Shows,
}

/// The fields that answers get.
#[derive(Clone, Copy, Debug)]
struct Shows {
    age: bool,
    status: bool,
    key: bool,
}

/// What a request keeps until its answer comes.
#[derive(Debug)]
struct Pending {
    verdict: Verdict,
    /// `None` when its answer is not kept.
    keys: Option<Keys>,
    since: Purges,
    lead: Mutex<Option<Lead>>,
    /// Whether the request has been counted. An answer whose body cannot be changed is followed by another one.
    is_counted: AtomicBool,
}

/// What the cache has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It had the answer.
    Hit,
    /// It has none.
    Miss,
    /// It has one that the request may not have.
    Refresh,
    /// The request or its answer is of no concern to it.
    Bypass,
}

/// What is to be done for a request.
enum Looked {
    Reply(Box<Reply>),
    GoOn,
    Wait(Waiting),
}

impl Plugin for ProxyCache {
    type Config = model::plugins::ProxyCache;

    const PHASES: Phases = Phases::ACCESS.with(Phases::ANSWER);

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let seconds = |number: i64| Duration::from_secs(number.unsigned_abs());
        let methods = config.request_method.iter();
        let headers = &config.response_headers;
        Ok(Self {
            id: terms.id,
            methods: methods.filter_map(|method| method.as_str().parse().ok()).collect(),
            key: KeyTerms {
                ignore_case: config.ignore_uri_case,
                arguments: config.vary_query_params.clone().unwrap_or_default(),
                fields: config.vary_headers.iter().flatten().filter_map(|name| counted(name)).collect(),
            },
            admission: AdmissionTerms {
                statuses: config.response_code.clone(),
                types: config.content_type.iter().filter_map(|text| MediaType::parse(text)).collect(),
                ttl: seconds(config.cache_ttl),
                // Less than a second means "for ever" in Kong, whose memory ends it; here the time of freshness.
                storage_ttl: config.storage_ttl.filter(|ttl| *ttl > 0).map(seconds),
                cache_control: config.cache_control,
                private: config.store_private,
            },
            shows: Shows { age: headers.age, status: headers.status, key: headers.key },
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let directives = request::directives(exchange.headers());
        if !self.concerns(exchange, &directives) {
            exchange.keep(Pending::bypass(exchange.shared().answers.purges()));
            return Step::GO_ON;
        }
        if request::has_body(exchange) {
            return Step::wait(self.look_with_body(exchange, directives));
        }
        match self.look(exchange, &[], directives) {
            Looked::Reply(reply) => Step::Done(Err(reply)),
            Looked::GoOn => Step::GO_ON,
            Looked::Wait(waiting) => Step::wait(self.wait(exchange, waiting, directives)),
        }
    }

    fn answer(&self, exchange: &mut Exchange<'_>, answer: &mut Answer) {
        let Some(pending) = exchange.kept::<Pending>() else { return };
        let (verdict, keys) = (pending.verdict, pending.keys);
        if verdict == Verdict::Hit {
            return;
        }
        let is_kept = keys.is_some_and(|keys| self.record(exchange, pending, answer, &keys));
        if !is_kept {
            pending.give_up(exchange);
        }
        let verdict = if is_kept { verdict } else { Verdict::Bypass };
        if !pending.is_counted.swap(true, Ordering::Relaxed) {
            verdict.count(exchange.shared().answers.metrics());
        }
        let debug = exchange.headers().contains_key(DEBUG);
        if self.shows.status || debug {
            answer.fields.set(names::CACHE_STATUS.written, verdict.as_str());
        }
        if let Some(keys) = keys.filter(|_| self.shows.key || debug) {
            answer.fields.set(names::CACHE_KEY.written, hex(&keys.shown));
        }
    }
}

impl ProxyCache {
    /// Whether answers to such a request are kept at all.
    fn concerns(&self, exchange: &Exchange<'_>, directives: &Directives) -> bool {
        let forbids = self.admission.cache_control && (directives.no_store || directives.no_cache);
        !forbids && self.methods.contains(exchange.method()) && request::is_cacheable(exchange)
    }

    /// Reads the body, on which the answer may depend, and then looks for one.
    async fn look_with_body(&self, exchange: &mut Exchange<'_>, directives: Directives) -> Outcome {
        let body = exchange.body(request::LONGEST_BODY).await?;
        match self.look(exchange, &body, directives) {
            Looked::Reply(reply) => Err(reply),
            Looked::GoOn => Ok(()),
            Looked::Wait(waiting) => self.wait(exchange, waiting, directives).await,
        }
    }

    fn look(&self, exchange: &mut Exchange<'_>, body: &[u8], directives: Directives) -> Looked {
        let store = exchange.shared().answers.clone();
        let keys = request::keys(exchange, body, &self.key);
        let (now, since) = (Instant::now(), store.purges());
        let found = store.find(&keys, exchange.headers(), now);
        let mut verdict = Verdict::Miss;
        if let Some(stored) = found.stored {
            if stored.is_usable(self.usage(directives), now) {
                return Looked::Reply(self.hit(exchange, &stored, &keys, now));
            }
            verdict = Verdict::Refresh;
        }
        if self.admission.cache_control && directives.only_if_cached {
            return Looked::Reply(Box::new(self.absent(&keys)));
        }
        let may_wait = found.may_wait && request::may_lead(exchange.headers());
        let turn = if may_wait { store.flights.turn(found.key, now) } else { Turn::Alone };
        let (lead, looked) = match turn {
            Turn::Lead(lead) => (Some(lead), Looked::GoOn),
            Turn::Wait(waiting) => (None, Looked::Wait(waiting)),
            Turn::Alone => (None, Looked::GoOn),
        };
        exchange.keep(Pending {
            verdict,
            keys: Some(keys),
            lead: Mutex::new(lead),
            ..Pending::bypass(since)
        });
        looked
    }

    /// Waits for the answer to another request. Without one, the request goes to the upstream by itself.
    async fn wait(&self, exchange: &mut Exchange<'_>, waiting: Waiting, directives: Directives) -> Outcome {
        let waited = waiting.end().await;
        exchange.shared().answers.count_wait(waited);
        if waited != Waited::Kept {
            return Ok(());
        }
        let Some(keys) = exchange.kept::<Pending>().and_then(|pending| pending.keys) else { return Ok(()) };
        let now = Instant::now();
        let found = exchange.shared().answers.find(&keys, exchange.headers(), now);
        match found.stored.filter(|stored| stored.is_usable(self.usage(directives), now)) {
            Some(stored) => Err(self.hit(exchange, &stored, &keys, now)),
            None => Ok(()),
        }
    }

    /// The answer to a request for nothing but what is kept.
    fn absent(&self, keys: &Keys) -> Reply {
        let key = HeaderValue::try_from(hex(&keys.shown)).ok().filter(|_| self.shows.key);
        match key {
            Some(key) => Reply::empty(504).with(&names::CACHE_KEY, key),
            None => Reply::empty(504),
        }
    }

    const fn usage(&self, directives: Directives) -> Use {
        if self.admission.cache_control { Use::Directives(directives) } else { Use::Age(self.admission.ttl) }
    }

    /// The answer from the store.
    fn hit(&self, exchange: &mut Exchange<'_>, stored: &Stored, keys: &Keys, now: Instant) -> Box<Reply> {
        let debug = exchange.headers().contains_key(DEBUG);
        let is_read = matches!(*exchange.method(), Method::GET | Method::HEAD);
        let mut reply = if is_read && stored.is_not_modified(exchange.headers()) {
            let fields = stored.fields_of_not_modified().cloned().collect();
            Reply { fields, ..Reply::empty(304) }
        } else {
            let body = match exchange.is_head() {
                // The length of the body is not known: only answers with a body say it.
                true => ReplyBody::None,
                false => ReplyBody::Raw(None, stored.body.clone()),
            };
            Reply { fields: stored.fields.iter().cloned().collect(), body, ..Reply::empty(stored.status) }
        };
        reply.is_proxied = true;
        let mut add = |shown: bool, name: &'static Name, value: String| {
            if let Some(value) = HeaderValue::try_from(value).ok().filter(|_| shown || debug) {
                reply.fields.push((FieldName::from(name), value));
            }
        };
        Verdict::Hit.count(exchange.shared().answers.metrics());
        add(self.shows.age, &names::AGE, stored.age_at(now).as_secs().to_string());
        add(self.shows.status, &names::CACHE_STATUS, Verdict::Hit.as_str().to_owned());
        add(self.shows.key, &names::CACHE_KEY, hex(&keys.shown));
        exchange
            .keep(Pending { verdict: Verdict::Hit, ..Pending::bypass(exchange.shared().answers.purges()) });
        Box::new(reply)
    }

    /// Records the body of an answer that is kept, and returns whether it is.
    fn record(&self, exchange: &Exchange<'_>, pending: &Pending, answer: &mut Answer, keys: &Keys) -> bool {
        let status = answer.status.as_u16();
        let is_whole = !request::is_for_a_part(exchange.headers());
        if !answer.is_from_upstream() || !is_whole || !self.admission.has(status) {
            return false;
        }
        let Some(mut fields) = Fields::take(answer.fields.iter()) else { return false };
        let Some(admitted) = self.admission.admit(status, &fields, SystemTime::now()) else { return false };
        // Plugins set theirs again on a hit.
        fields.strip(|name| exchange.sets_answer_header(name));
        let head = Head { plugin: self.id, shown: keys.shown, status, fields, admitted };
        let recording = exchange.shared().answers.record(head, keys, exchange.headers(), pending.since);
        answer.tap(Box::new(RecordingTap::new(recording, pending.lead.lock().take())));
        true
    }
}

impl Pending {
    const fn bypass(since: Purges) -> Self {
        let lead = Mutex::new(None);
        Self { verdict: Verdict::Bypass, keys: None, since, lead, is_counted: AtomicBool::new(false) }
    }

    /// Ends the wait of others for an answer that is not kept.
    fn give_up(&self, exchange: &Exchange<'_>) {
        let Some(lead) = self.lead.lock().take() else { return };
        let key = *lead.key();
        if lead.end(false) {
            exchange.shared().answers.note_not_kept(&key, Instant::now());
        }
    }
}

impl Verdict {
    fn count(self, metrics: &CacheMetrics) {
        match self {
            Self::Hit => metrics.hits.inc(),
            Self::Miss => metrics.misses.inc(),
            Self::Refresh => metrics.refreshes.inc(),
            Self::Bypass => metrics.bypasses.inc(),
        }
    }

    /// The word that clients read.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "Hit",
            Self::Miss => "Miss",
            Self::Refresh => "Refresh",
            Self::Bypass => "Bypass",
        }
    }
}

/// The field with this name; `None` for one that no request can have.
fn counted(name: &str) -> Option<CountedField> {
    Some(CountedField { name: name.into(), header: NamedHeader::new(name)? })
}
