//! The targets of an upstream, as one configuration has them, with the addresses that their names have now.
//!
//! A change of the upstream, or of one of its targets, makes a new group; the others stay. What must outlive a group
//! (health, counts, look-ups, probes) is shared between groups by the parts of [`Balancing`](super::Balancing).

mod members;
mod probes;
mod shared;
mod terms;
mod tls;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use uuid::Uuid;

pub(super) use self::shared::Shared;
pub use self::terms::{
    Affinity, CookieTerms, GroupTarget, GroupTerms, HashInput, Operation, Probing, Retry, Speaks, TargetTerms,
};
use self::tls::TlsCache;
use super::balancer::{Balancer, Chosen, NoTarget, RetryPermit, Wish, ZonePreference};
use super::{Host, InvalidName, Terms, UpstreamTls};
use crate::dns::{Answer, Query, SrvUse, Subscription, Watched};

/// The targets of an upstream.
pub struct Group {
    terms: Arc<GroupTerms>,
    targets: Vec<Named>,
    balancer: Arc<Balancer>,
    shared: Arc<Shared>,
    tls: TlsCache,
    /// Whether it is the upstream's, whose probes it sets. Held while they are set.
    live: Mutex<bool>,
    /// Ends with the group.
    subscriptions: Mutex<Vec<Subscription>>,
}

/// A target, and the look-ups of its name.
#[derive(Debug)]
struct Named {
    target: GroupTarget,
    /// `None` for an address.
    watched: Option<Arc<Watched>>,
}

impl Group {
    /// Creates the group that follows `earlier`, the one of the same upstream.
    pub(super) fn new(
        terms: Arc<GroupTerms>,
        targets: Vec<GroupTarget>,
        earlier: Option<&Self>,
        shared: &Arc<Shared>,
    ) -> Arc<Self> {
        let watch = |target: GroupTarget| {
            let watched = match &target.terms.host {
                Host::Address(_) => None,
                Host::Name(name) => {
                    let query = || Query::new(name, terms.dns, SrvUse::Named);
                    shared.names.as_ref().map(|names| names.watch(query()))
                }
            };
            Named { target, watched }
        };
        let targets: Vec<_> = targets.into_iter().map(watch).collect();
        let members = members::of(&terms, &targets, shared);
        let mut settings = terms.balancing.clone();
        // Without a zone of its own, a data plane prefers none.
        settings.zone =
            settings.zone.zip(shared.zone.clone()).map(|(zone, own)| ZonePreference { own, ..zone });
        let balancer = match earlier {
            Some(earlier) => earlier.balancer.succeed(settings, members),
            None => Balancer::new(terms.id, settings, members, &shared.slots),
        };
        let group = Arc::new(Self {
            terms,
            targets,
            balancer,
            shared: Arc::clone(shared),
            tls: TlsCache::default(),
            live: Mutex::new(false),
            subscriptions: Mutex::default(),
        });
        group.subscribe();
        group
    }

    /// What the upstream's entity says.
    pub fn terms(&self) -> &GroupTerms {
        &self.terms
    }

    /// Chooses an address.
    ///
    /// # Errors
    /// When no target may serve the request now.
    pub fn choose(&self, wish: &Wish<'_>) -> Result<Chosen, NoTarget> {
        self.balancer.choose(wish)
    }

    /// Waits for a target that has room for another request.
    ///
    /// # Errors
    /// When too many wait already, or for too long, or when no target is available any more.
    pub async fn wait_for_place(&self, wish: &Wish<'_>) -> Result<Chosen, NoTarget> {
        self.balancer.wait_for_place(wish).await
    }

    /// Begins a retry, if the budget allows one more. It ends when the permit is dropped.
    pub fn begin_retry(&self) -> Option<RetryPermit> {
        self.balancer.begin_retry()
    }

    /// Waits for the first answers to names, if no target has an address yet; at most for `limit`, and not if
    /// too many requests wait. Returns whether there is an address.
    pub async fn first_answers(&self, limit: Duration) -> bool {
        let names = self.targets.iter().filter_map(|named| named.watched.as_ref());
        let unknown = names.filter(|watched| !watched.is_looked_up());
        let mut waits: FuturesUnordered<_> = unknown.map(|watched| watched.first(limit)).collect();
        if waits.is_empty() {
            // An answer may have come that nobody has taken yet.
            let has_answer = |watched: &Arc<Watched>| !watched.current().endpoints.is_empty();
            let mut answered = self.targets.iter().filter_map(|named| named.watched.as_ref());
            if self.balancer.is_empty() && answered.any(has_answer) {
                self.refresh();
            }
            return !self.balancer.is_empty();
        }
        let Ok(_place) = self.shared.waiting.try_acquire() else { return false };
        // The first name that has an address is enough.
        while self.balancer.is_empty() && waits.next().await.is_some() {
            self.refresh();
        }
        !self.balancer.is_empty()
    }

    /// The terms of connections to a chosen address, for a service with these terms of its own.
    ///
    /// # Errors
    /// When no certificate can have the target's name.
    pub fn connection_terms(
        &self,
        service: &ServiceTerms<'_>,
        chosen: &Chosen,
    ) -> Result<Arc<Terms>, InvalidName> {
        if !service.terms.is_tls() {
            return Ok(Arc::clone(service.terms));
        }
        self.tls.terms(&self.terms, service, self.server_name(chosen))
    }

    /// The host that a chosen address is asked for, without the target's port.
    pub fn server_name<'c>(&'c self, chosen: &'c Chosen) -> &'c str {
        let identity = chosen.identity();
        match identity.server_name.as_deref().filter(|_| self.terms.use_srv_name) {
            Some(name) => name,
            None => &identity.host,
        }
    }

    /// The balancer.
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.balancer
    }

    /// The targets with what DNS says of their names.
    pub fn targets(&self) -> impl Iterator<Item = (&GroupTarget, Option<Arc<Answer>>)> {
        self.targets
            .iter()
            .map(|named| (&named.target, named.watched.as_ref().map(|watched| watched.current())))
    }

    /// The upstream's id.
    pub fn id(&self) -> Uuid {
        self.terms.id
    }

    /// Takes the present answers to names.
    fn refresh(&self) {
        let live = self.live.lock();
        let changed = self.balancer.set_members(|| members::of(&self.terms, &self.targets, &self.shared));
        if changed && *live {
            self.probe();
        }
        drop(live);
        // The text of a failed look-up is reported, too.
        self.shared.moved(self.terms.id, self.named());
    }

    /// Makes the group live: its probes are the upstream's.
    pub(super) fn begin(&self) {
        let mut live = self.live.lock();
        *live = true;
        self.probe();
        drop(live);
        let report = self.balancer.health();
        let unavailable = report.members.iter().filter(|member| !member.available);
        let unavailable = unavailable.map(|member| member.identity.target);
        self.shared.moved(self.terms.id, self.named().chain(unavailable));
    }

    /// Ends that: the group sets no more probes.
    pub(super) fn retire(&self) {
        *self.live.lock() = false;
    }

    /// The targets that are names.
    fn named(&self) -> impl Iterator<Item = Uuid> {
        self.targets.iter().filter(|named| named.watched.is_some()).map(|named| named.target.terms.id)
    }

    fn probe(&self) {
        let Some(prober) = &self.shared.prober else { return };
        match &self.terms.probing {
            Some(probing) => {
                prober.set(
                    self.terms.id,
                    probing.concurrency,
                    probes::of(probing, &self.terms, &self.balancer),
                );
            }
            None => prober.remove(self.terms.id),
        }
    }

    fn subscribe(self: &Arc<Self>) {
        let refresh = |group: &Weak<Self>| {
            if let Some(group) = group.upgrade() {
                group.refresh();
            }
        };
        let watched = self.targets.iter().filter_map(|named| named.watched.as_ref());
        let subscribed = watched.map(|watched| {
            let group = Arc::downgrade(self);
            watched.on_change(move || refresh(&group))
        });
        let subscribed: Vec<_> = subscribed.collect();
        let answered = !subscribed.is_empty();
        *self.subscriptions.lock() = subscribed;
        if answered {
            // An answer may have come before its subscription.
            self.balancer.set_members(|| members::of(&self.terms, &self.targets, &self.shared));
        }
    }
}

/// The terms of a service that an upstream's name is the host of.
#[derive(Clone, Copy, Debug)]
pub struct ServiceTerms<'s> {
    /// The terms of its connections.
    pub terms: &'s Arc<Terms>,
    /// Its certificates.
    pub trust: Option<&'s Arc<UpstreamTls>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.terms.name).finish_non_exhaustive()
    }
}
