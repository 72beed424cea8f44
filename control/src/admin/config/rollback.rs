//! `POST /config/rollback?to=N`: makes the configuration that of an earlier revision again, at one new
//! revision.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use model::{Common, HIDDEN, Map, Times};
use tokio::sync::OwnedSemaphorePermit;
use wire::Key;

use super::answer::{self, Counts};
use super::options::RollbackOptions;
use super::{ATTEMPTS, beside, changes, write};
use crate::admin::{Context, SharedAdmin};
use crate::declarative::{Difference, Held, Planned, Routes};
use crate::error::ApiError;
use crate::kinds;
use crate::kinds::credential;
use crate::store::{self, Document, Past, StoreError};

/// The most entities that a message names.
const NAMED: usize = 20;

pub(super) async fn roll_back(
    State(admin): State<SharedAdmin>,
    context: Context,
    request: Request,
) -> Result<Response, ApiError> {
    let options = RollbackOptions::parse(request.uri().query().unwrap_or_default())?;
    let turn = Arc::clone(&admin.config.documents).try_acquire_owned().map_err(|_| ApiError::ConfigBusy)?;
    let turn = Arc::new(turn);
    for _ in 1..ATTEMPTS {
        match attempt(&admin, &context, options, &turn).await {
            Err(ApiError::Store(StoreError::Changed)) => {}
            done => return done,
        }
    }
    attempt(&admin, &context, options, &turn).await
}

async fn attempt(
    admin: &SharedAdmin,
    context: &Context,
    options: RollbackOptions,
    turn: &Arc<OwnedSemaphorePermit>,
) -> Result<Response, ApiError> {
    let past = admin.state.store.past(options.to).await?;
    let head = past.head;
    // The next one waits for the end of the work, also when the client disconnects.
    let working = Arc::clone(turn);
    if options.dry_run {
        return beside(move || {
            let _turn = working;
            let mut routes = Routes::default();
            past.then.iter().for_each(|entity| routes.add(entity.key, &entity.body));
            Ok(answer::dry_run(&difference(past)?, &routes.disagreements(), head))
        })
        .await;
    }
    let difference = beside(move || {
        let _turn = working;
        difference(past)
    })
    .await?;
    if difference.is_empty() {
        return Ok(answer::unchanged(&difference, head, false));
    }
    let counts = Counts::of(&difference);
    let changes = beside(move || Ok(changes(difference, None))).await?;
    let revision = write(admin, context, Arc::clone(turn), (head, changes)).await?;
    Ok(answer::applied(&counts, revision))
}

/// What makes the configuration of now that of then.
fn difference(past: Past) -> Result<Difference, ApiError> {
    // What operators do at run time stays as it is.
    let described = |document: &Document| !model::is_operational(document.key.kind);
    let now = past.now.into_iter().filter(described);
    let mut now: HashMap<Key, Held> = now.map(super::held).collect();
    let (mut difference, mut lost) = (Difference::default(), Vec::new());
    for then in past.then.into_iter().filter(described) {
        let before = now.remove(&then.key);
        if before.as_ref().is_some_and(|before| is_as_then(before, &then)) {
            difference.unchanged += 1;
            continue;
        }
        match planned(&then, before) {
            // It differs in secrets that are not kept, or not at all.
            Ok(planned) if planned.changes_nothing() => difference.unchanged += 1,
            Ok(planned) => difference.puts.push(planned),
            Err(reason) => {
                lost.push(format!("{}/{}: {reason}", model::collection(then.key.kind), then.key.id))
            }
        }
    }
    if !lost.is_empty() {
        let more = lost.len().saturating_sub(NAMED);
        lost.truncate(NAMED);
        return Err(ApiError::NotKept { entities: lost, more });
    }
    difference.deletes = now.into_iter().collect();
    Ok(difference.ordered())
}

fn is_as_then(now: &Held, then: &Document) -> bool {
    (&now.body, &now.tags, now.created_at) == (&then.body, &then.tags, then.created_at)
}

/// The change of an entity. A secret that is not kept is that of now.
fn planned(then: &Document, before: Option<Held>) -> Result<Planned, String> {
    let kind = model::described(then.key.kind).ok_or("this version does not know the kind")?;
    let mut fields: Map = serde_json::from_slice(&then.body).map_err(|error| error.to_string())?;
    if kind.kind() == model::kind::KEYAUTH_CREDENTIAL {
        credential::restored(&mut fields, before.as_ref().map(|before| &before.body[..]));
    } else if let Some(before) = &before {
        kind.reveal(&before.body, &mut fields);
    }
    let mut hidden = None;
    kind.each_secret(&mut fields, &mut |path, value| {
        if value.as_str() == Some(HIDDEN) {
            hidden.get_or_insert_with(|| path.to_owned());
        }
    });
    if let Some(field) = hidden {
        return Err(format!("the value of {field} is not kept"));
    }
    let bytes = serde_json::to_vec(&fields).map_err(|error| error.to_string())?;
    let content = kind.content(&bytes).map_err(|error| error.to_string())?;
    // A secret of now may not fit what was then.
    let now = store::now_in_milliseconds();
    let checked = kinds::check(kind, &content, Times::Milliseconds.seconds(now));
    checked.map_err(|violations| violations.to_string())?;
    let (id, created_at, tags) = (then.key.id, then.created_at, then.tags.clone());
    let common = Common { id, created_at, updated_at: kind.times().of_milliseconds(now), tags };
    Ok(Planned { kind: then.key.kind, common, content, before })
}
