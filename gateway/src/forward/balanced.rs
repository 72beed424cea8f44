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
    let Context { target: Some(Target { service, group: Some(group), .. }), upstream, .. } = context else {
        return Err(RequestFailure::Internal.into());
    };
    let Some(balanced) = &mut upstream.balanced else { return Err(RequestFailure::Internal.into()) };
    upstream.attempts = upstream.attempts.saturating_add(1);
    // The first attempt has just begun.
    let now = upstream.started.filter(|_| upstream.attempts == 1).unwrap_or_else(Instant::now);
    choose(balanced, group, forwarder.resolve_timeout, now).await?;
    let Some((chosen, _)) = &balanced.chosen else { return Err(RequestFailure::Internal.into()) };
    let of_service = ServiceTerms { terms: &service.terms, trust: service.trust.as_ref() };
    let terms = group
        .connection_terms(&of_service, chosen)
        .map_err(|error| UpstreamFailure::Tls(error.to_string().into()))?;
    let address = [chosen.identity().address];
    let own = service.deadlines();
    let connect = time_left(group, upstream.started).map_or(own.connect, |left| left.min(own.connect));
    let deadlines = Timeouts { connect, ..own };
    match forwarder.pool.connect(&terms, &address, deadlines).await {
        Ok(connected) => Ok(connected),
        Err(failed) => {
            balanced.failed(&failed);
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
    let chosen = match group.choose(&wish) {
        // In boxes: these would be part of the future of every request.
        Err(NoTarget::Full) => Box::pin(group.wait_for_place(&wish)).await,
        // Perhaps no name has been looked up yet.
        Err(NoTarget::Empty) if Box::pin(group.first_answers(limit)).await => group.choose(&wish),
        chosen => chosen,
    };
    let chosen = chosen.map_err(|none| match none {
        NoTarget::Full => RequestFailure::UpstreamFull,
        NoTarget::Empty | NoTarget::Unhealthy | NoTarget::BelowThreshold => RequestFailure::NoTarget,
    })?;
    balanced.chosen = Some((chosen, now));
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

/// Whether the upstream allows another attempt after this failure. `is_sent`: a target may have seen the
/// request.
pub(super) fn may_retry(context: &mut Context, cause: &UpstreamFailure, is_idempotent: bool) -> bool {
    let Some(group) = context.target.as_ref().and_then(|target| target.group.clone()) else { return false };
    let retry = &group.terms().retry;
    let (listed, is_sent) = match cause {
        UpstreamFailure::Connect(_) | UpstreamFailure::Tls(_) => (retry.on_connect, false),
        UpstreamFailure::ConnectTimedOut => (retry.on_connect || retry.on_timeout, false),
        UpstreamFailure::NotProcessed(_) => (true, false),
        UpstreamFailure::TimedOut(_) => (retry.on_timeout, true),
        UpstreamFailure::Closed { .. } | UpstreamFailure::Invalid(_) | UpstreamFailure::Broken(_) => {
            (retry.on_reset, true)
        }
        UpstreamFailure::HeaderTooLarge | UpstreamFailure::WrongLength | UpstreamFailure::Status(_) => {
            (false, true)
        }
    };
    listed && (!is_sent || is_idempotent || retry.any_method) && begin_retry(context, &group)
}

/// Whether the upstream wants another attempt after this status.
pub(super) fn retries_status(context: &mut Context, status: u16, is_idempotent: bool) -> bool {
    let Some(group) = context.target.as_ref().and_then(|target| target.group.clone()) else { return false };
    let retry = &group.terms().retry;
    retry.statuses.contains(status) && (is_idempotent || retry.any_method) && begin_retry(context, &group)
}

/// Takes a place of the budget, while there is time.
fn begin_retry(context: &mut Context, group: &Group) -> bool {
    let begun = context.upstream.started;
    let is_late = |total: Duration| begun.is_some_and(|begun| begun.elapsed() >= total);
    if !context.may_retry() || group.terms().retry.total_timeout.is_some_and(is_late) {
        return false;
    }
    let Some(balanced) = &mut context.upstream.balanced else { return false };
    balanced.permit = None;
    balanced.permit = group.begin_retry();
    balanced.permit.is_some()
}
