//! The connection for an attempt, while the client is watched: one that left must not wait for an upstream that
//! does not answer.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::time::Instant;

use super::{Failure, Forwarder, balanced};
use crate::client::{Ends, Incoming, Request};
use crate::context::Context;
use crate::dns::Addresses;
use crate::error::RequestFailure;
use crate::section::Service;
use crate::upstream::{Host, Upstream};

/// Connects to the address of the next attempt, and counts the attempt.
pub(super) async fn connect(
    forwarder: &Forwarder,
    incoming: &mut Incoming,
    context: &mut Context,
) -> Result<Upstream, Failure> {
    let Incoming { request, client, ends, .. } = incoming;
    let mut connecting = pin!(dial(forwarder, (request, ends), context));
    poll_fn(|task| match connecting.as_mut().poll(task) {
        Poll::Ready(connected) => Poll::Ready(connected),
        Poll::Pending => match client.poll_gone(task) {
            Poll::Ready(gone) => Poll::Ready(Err(RequestFailure::from(gone).into())),
            Poll::Pending => Poll::Pending,
        },
    })
    .await
}

async fn dial(
    forwarder: &Forwarder,
    asked: (&Request, &Ends),
    context: &mut Context,
) -> Result<Upstream, Failure> {
    let begun = *context.upstream.started.get_or_insert_with(Instant::now);
    if let Some(notes) = &mut context.notes {
        notes.begin_try(if context.upstream.attempts == 0 { begun } else { Instant::now() });
    }
    let is_balanced = context.target.as_ref().is_some_and(|target| target.group.is_some());
    let connected = if is_balanced {
        balanced::connect(forwarder, asked, context).await?
    } else {
        resolve_and_connect(forwarder, context).await?
    };
    if let Some(notes) = &mut context.notes {
        notes.connect(connected.address());
    }
    let metrics = &forwarder.metrics;
    if connected.was_reused() { &metrics.upstream_reused } else { &metrics.upstream_fresh }.inc();
    Ok(connected)
}

/// Connects to an address of the service's own host.
async fn resolve_and_connect(forwarder: &Forwarder, context: &mut Context) -> Result<Upstream, Failure> {
    let Context { target: Some(target), upstream, notes, .. } = context else {
        return Err(RequestFailure::Internal.into());
    };
    let service = &*target.service;
    if upstream.addresses.is_none() {
        let begun = notes.as_ref().map(|_| Instant::now());
        upstream.addresses = Some(resolve(forwarder, service).await?);
        if let (Some(notes), Some(begun)) = (&mut *notes, begun) {
            notes.looked_up = Some((begun, begun.elapsed()));
        }
    }
    let addresses = upstream.addresses.as_ref().ok_or(RequestFailure::Internal)?;
    let first = upstream.attempts;
    upstream.attempts = upstream.attempts.saturating_add(1);
    // The one whose turn it is first, then the others, should it not answer.
    let in_turn = (0..addresses.len()).map(|at| addresses.nth(usize::from(first) + at));
    let in_turn: smallvec::SmallVec<[SocketAddr; 4]> =
        in_turn.map(|address| SocketAddr::new(address, service.port)).collect();
    if let Some(notes) = notes {
        notes.connect(in_turn.first().copied());
    }
    Ok(forwarder.pool.connect(&service.terms, &in_turn, service.deadlines()).await?)
}

/// The addresses of a service that the policy allows.
async fn resolve(forwarder: &Forwarder, service: &Service) -> Result<Addresses, RequestFailure> {
    let (name, addresses) = match &service.host {
        Host::Address(address) => (None, Addresses::one(*address)),
        Host::Name(name) => {
            let found = forwarder.names.resolve(name).await.ok_or(RequestFailure::NameResolution)?;
            (Some(&**name), found)
        }
    };
    // Every attempt uses one of these: the gateway connects to no other address.
    let may_dial =
        |address| forwarder.policy.allows(service.id, name, SocketAddr::new(address, service.port));
    addresses.only(may_dial).ok_or(RequestFailure::UpstreamDenied)
}
