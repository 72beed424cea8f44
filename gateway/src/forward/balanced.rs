//! A request to an upstream: which target an attempt goes to, and what its outcome says of the target.

mod affinity;
mod cookie;

use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::cookie::{new as new_cookie, write as write_cookie};
use super::{Failure, Forwarder};
use crate::client::{Ends, Request};
use crate::context::Context;
use crate::error::RequestFailure;
use crate::request::Target;
use crate::upstream::balancer::{NoTarget, Wish};
use crate::upstream::{Balanced, Group, ServiceTerms, Timeouts, Upstream, UpstreamFailure};

/// Connects to the target of the next attempt.
pub(super) async fn connect(
    forwarder: &Forwarder,
    asked: (&Request, &Ends),
    context: &mut Context,
) -> Result<Upstream, Failure> {
    let group = context.target.as_ref().and_then(|target| target.group.as_deref());
    if let (Some(group), None) = (group, &context.upstream.balanced) {
        let found = affinity::find(group.terms(), asked, context, &forwarder.trusted);
        context.upstream.balanced = Some(found);
    }
    let Context { target: Some(Target { service, group: Some(group), .. }), upstream, notes, .. } = context
    else {
        return Err(RequestFailure::Internal.into());
    };
    let Some(balanced) = &mut upstream.balanced else { return Err(RequestFailure::Internal.into()) };
    upstream.attempts = upstream.attempts.saturating_add(1);
    // The first attempt has just begun.
    let now = upstream.started.filter(|_| upstream.attempts == 1).unwrap_or_else(Instant::now);
    choose(balanced, group, forwarder.resolve_timeout, now).await?;
    let Some((chosen, _)) = &balanced.chosen else { return Err(RequestFailure::Internal.into()) };
    let of_service = ServiceTerms { terms: &service.terms, trust: service.trust.as_ref() };
    let address = [chosen.identity().address];
    if let Some(notes) = notes {
        notes.connect(Some(chosen.identity().address));
    }
    let terms = match group.connection_terms(&of_service, chosen) {
        Ok(terms) => terms,
        Err(error) => {
            let failed = UpstreamFailure::Tls(error.to_string().into());
            balanced.failed(&failed);
            return Err(failed.into());
        }
    };
    let own = service.deadlines();
    let left = time_left(group, upstream.started);
    if left == Some(Duration::ZERO) {
        // The request has waited for too long, which is not the target's fault.
        return Err(RequestFailure::UpstreamTimeout.into());
    }
    let connect = left.map_or(own.connect, |left| left.min(own.connect));
    let deadlines = Timeouts { connect, ..own };
    match forwarder.pool.connect(&terms, &address, deadlines).await {
        Ok(connected) => Ok(connected),
        Err(failed) => {
            if !is_late(group, upstream.started) {
                balanced.failed(&failed);
            }
            Err(failed.into())
        }
    }
}

/// Chooses the address of the next attempt, and forgets that of the last one.
async fn choose(
    balanced: &mut Balanced,
    group: &Group,
    limit: Duration,
    now: Instant,
) -> Result<(), RequestFailure> {
    let retry = &group.terms().retry;
    if let Some((last, _)) = balanced.chosen.take()
        && retry.other_target
    {
        balanced.tried.add(&last);
    }
    let wish = Wish { key: balanced.key, sticky: balanced.sticky, tried: &balanced.tried, now };
    let mut begun = now;
    let chosen = match group.choose(&wish) {
        // In boxes: these would be part of the future of every request.
        Err(NoTarget::Full) => {
            let chosen = Box::pin(group.wait_for_place(&wish)).await;
            begun = Instant::now();
            chosen
        }
        // Perhaps no name has been looked up yet.
        Err(NoTarget::Empty) if Box::pin(group.first_answers(limit)).await => {
            begun = Instant::now();
            group.choose(&Wish { now: begun, ..wish })
        }
        chosen => chosen,
    };
    let chosen = chosen.map_err(|none| match none {
        NoTarget::Full => RequestFailure::UpstreamFull,
        NoTarget::Empty | NoTarget::Unhealthy | NoTarget::BelowThreshold => RequestFailure::NoTarget,
    })?;
    balanced.chosen = Some((chosen, begun));
    Ok(())
}

/// The longest time that an attempt which begins now may take until the header of its answer, if the upstream limits
/// it.
pub(super) fn attempt_limit(context: &Context) -> Option<Duration> {
    let group = context.target.as_ref()?.group.as_ref()?;
    time_left(group, context.upstream.started)
}

fn time_left(group: &Group, begun: Option<Instant>) -> Option<Duration> {
    let retry = &group.terms().retry;
    let left = retry.total_timeout.zip(begun).map(|(total, begun)| total.saturating_sub(begun.elapsed()));
    [retry.per_try_timeout, left].into_iter().flatten().min()
}

/// Whether the upstream allows another attempt after this failure. `was_sent`: the request was sent to its end.
pub(super) fn may_retry(
    context: &mut Context,
    cause: &UpstreamFailure,
    is_idempotent: bool,
    was_sent: bool,
) -> bool {
    let Some(group) = context.target.as_ref().and_then(|target| target.group.clone()) else { return false };
    let retry = &group.terms().retry;
    // Whether it is listed, and whether a target may have seen the request.
    let (listed, is_seen) = match cause {
        UpstreamFailure::Connect(_) | UpstreamFailure::Tls(_) => (retry.on_connect, false),
        UpstreamFailure::ConnectTimedOut => (retry.on_connect || retry.on_timeout, false),
        UpstreamFailure::NotProcessed(_) => (true, false),
        UpstreamFailure::TimedOut(_) => (retry.on_timeout, true),
        UpstreamFailure::Closed { .. } | UpstreamFailure::Invalid(_) | UpstreamFailure::Broken(_) => {
            let before_sent = retry.on_reset_before_sent && (!was_sent || is_idempotent);
            (retry.on_reset || before_sent, true)
        }
        UpstreamFailure::HeaderTooLarge | UpstreamFailure::WrongLength | UpstreamFailure::Status(_) => {
            (false, true)
        }
    };
    listed && (!is_seen || is_idempotent || retry.any_method) && begin_retry(context, &group)
}

/// Whether the upstream wants another attempt after this status.
pub(super) fn retries_status(context: &mut Context, status: u16, is_idempotent: bool) -> bool {
    let Some(group) = context.target.as_ref().and_then(|target| target.group.clone()) else { return false };
    let retry = &group.terms().retry;
    retry.statuses.contains(status) && (is_idempotent || retry.any_method) && begin_retry(context, &group)
}

/// Whether the time of all attempts is up. What failed then says nothing of a target.
pub(super) fn is_late(group: &Group, begun: Option<Instant>) -> bool {
    let total = group.terms().retry.total_timeout;
    total.zip(begun).is_some_and(|(total, begun)| begun.elapsed() >= total)
}

/// Takes a place of the budget, while there is time.
fn begin_retry(context: &mut Context, group: &Group) -> bool {
    if !context.may_retry() || is_late(group, context.upstream.started) {
        return false;
    }
    let Some(balanced) = &mut context.upstream.balanced else { return false };
    balanced.permit = None;
    balanced.permit = group.begin_retry();
    balanced.permit.is_some()
}
