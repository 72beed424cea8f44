//! Runs the phases of the plugins of one request.

use std::sync::Arc;

use super::answer::Answer;
use super::chain::Slot;
use super::ended::Ended;
use super::exchange::{Exchange, Surroundings};
use super::instance::Instance;
use super::running::Running;
use super::{Outcome, Phases, Step};
use crate::client::Incoming;
use crate::error::RequestFailure;
use crate::request;

/// The plugin that answers preflights.
const CORS: &str = "cors";

/// Lets each plugin look at the request, in their order, until one answers. The instances behind that one are
/// still chosen: they see the answer.
///
/// # Errors
/// The answer of a plugin.
pub async fn access(incoming: &mut Incoming, around: &Surroundings<'_>, running: &mut Running) -> Outcome {
    let mut outcome = Ok(());
    request::remove_claims(&mut incoming.request, &incoming.ends, around.trusted);
    let chain = running.chain().clone();
    for slot in chain.slots() {
        let own = own(slot, around, running);
        running.chosen.choose(own.clone());
        let Some(instance) = own.as_ref().or(slot.base()) else { continue };
        if outcome.is_ok() && instance.phases.has(Phases::ACCESS) {
            // A limit by consumer looks at no field. If one is by a field, `headers()` makes a copy.
            if !instance.phases.has(Phases::PREPARE) {
                incoming.request.merge_late();
            }
            outcome = run(instance, &mut Exchange::new(incoming, around, running)).await;
        }
    }
    // Of a long answer, nothing of an earlier configuration stays but what runs.
    running.plugins = None;
    outcome
}

/// Lets the plugin for preflights answer one to a route that does not take its method. The others see the answer.
///
/// # Errors
/// The answer.
pub fn preflight(incoming: &mut Incoming, around: &Surroundings<'_>, running: &mut Running) -> Outcome {
    let mut outcome = Ok(());
    let chain = running.chain().clone();
    for slot in chain.slots() {
        let own = own(slot, around, running);
        running.chosen.choose(own.clone());
        let Some(instance) = own.as_ref().or(slot.base()) else { continue };
        if instance.terms.name == CORS
            && let Step::Done(done) =
                instance.behaviour().access(&mut Exchange::new(incoming, around, running))
        {
            outcome = done;
        }
    }
    outcome
}

async fn run(instance: &Instance, exchange: &mut Exchange<'_>) -> Outcome {
    match instance.behaviour().access(exchange) {
        Step::Done(outcome) => outcome,
        Step::Wait(future) => future.await,
    }
}

/// The instance of the consumer's own that runs in a slot.
fn own(slot: &Slot, around: &Surroundings<'_>, running: &Running) -> Option<Arc<Instance>> {
    let consumer = running.consumer.as_ref().filter(|_| slot.is_of_consumers())?;
    let of_consumer = running.plugins.as_ref()?.of_consumer(&consumer.id)?;
    let (route, service) = (around.route(Some(running)), around.service(Some(running)));
    slot.own(of_consumer, route.map(|route| route.id), service.map(|service| service.id)).cloned()
}

/// Lets the plugins look at the header of an answer, in their order.
pub fn answer(
    incoming: &mut Incoming,
    around: &Surroundings<'_>,
    running: &mut Running,
    answer: &mut Answer,
) {
    if running.has(Phases::ANSWER) {
        // They look fields up in a shared request: to move late ones costs less than a copy.
        incoming.request.merge_late();
    }
    for (name, value) in running.answer_fields.iter() {
        answer.fields.set(name.written(), value);
    }
    let chosen = running.chosen.clone();
    for instance in chosen.iter().filter(|instance| instance.phases.has(Phases::ANSWER)) {
        instance.behaviour().answer(&mut Exchange::new(incoming, around, running), answer);
    }
}

/// Lets the plugins change the whole body of an answer, in their order.
///
/// # Errors
/// The failure that is the answer in its place.
pub fn whole_body(
    incoming: &mut Incoming,
    around: &Surroundings<'_>,
    running: &mut Running,
    answer: &mut Answer,
    body: Vec<u8>,
) -> Result<Vec<u8>, RequestFailure> {
    let chosen = running.chosen.clone();
    let mut changing = chosen.iter().filter(|instance| instance.phases.has(Phases::ANSWER));
    changing.try_fold(body, |body, instance| {
        instance.behaviour().body(&mut Exchange::new(incoming, around, running), answer, body)
    })
}

/// Lets the plugins see a request that has ended, in their order.
pub fn ended(ended: &Ended<'_>) {
    let instances = ended.running.into_iter().flat_map(|running| running.chosen.iter());
    for instance in instances.filter(|instance| instance.phases.has(Phases::LOG)) {
        instance.behaviour().log(ended);
    }
}
