//! Runs the phases of the plugins of one request.

use std::sync::Arc;

use super::answer::Answer;
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
    for index in 0..running.chain.slots().len() {
        let Some(instance) = chosen(&running.chain.slots()[index], running) else { continue };
        running.chosen.push(instance.clone());
        if outcome.is_ok() && instance.phases.has(Phases::ACCESS) {
            outcome = run(&instance, &mut Exchange::new(incoming, around, running)).await;
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
    for index in 0..running.chain.slots().len() {
        let Some(instance) = chosen(&running.chain.slots()[index], running) else { continue };
        running.chosen.push(instance.clone());
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

fn chosen(slot: &super::chain::Slot, running: &Running) -> Option<Arc<Instance>> {
    let (route, service) = running.scope();
    let consumer = running.consumer.as_ref().filter(|_| slot.is_of_consumers());
    let own =
        consumer.zip(running.plugins.as_ref()).and_then(|(consumer, all)| all.of_consumer(&consumer.id));
    slot.choose(own, route, service).cloned()
}

/// Lets the plugins look at the header of an answer, in their order.
pub fn answer(
    incoming: &mut Incoming,
    around: &Surroundings<'_>,
    running: &mut Running,
    answer: &mut Answer,
) {
    for (name, value) in &running.answer_fields {
        answer.fields.set(name.written(), value.text());
    }
    let instances = std::mem::take(&mut running.chosen);
    for instance in instances.iter().filter(|instance| instance.phases.has(Phases::ANSWER)) {
        instance.behaviour().answer(&mut Exchange::new(incoming, around, running), answer);
    }
    running.chosen = instances;
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
    let instances = std::mem::take(&mut running.chosen);
    let mut changing = instances.iter().filter(|instance| instance.phases.has(Phases::ANSWER));
    let body = changing.try_fold(body, |body, instance| {
        instance.behaviour().body(&mut Exchange::new(incoming, around, running), answer, body)
    });
    // They see the answer to a failure, too.
    running.chosen = instances;
    body
}

/// Lets the plugins see a request that has ended, in their order.
pub fn ended(ended: &Ended<'_>) {
    let instances = ended.running.into_iter().flat_map(|running| &running.chosen);
    for instance in instances.filter(|instance| instance.phases.has(Phases::LOG)) {
        instance.behaviour().log(ended);
    }
}
