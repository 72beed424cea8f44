//! `POST /config` and `GET /config`: the whole configuration as one document, in Kong's declarative form. A
//! document is applied at one revision, or not at all. `POST /config/rollback` makes it that of an earlier
//! revision again.
//!
//! One document is compared and applied at a time: it may take much memory. The memory has a budget
//! ([`ConfigLimits`]), and the work is done off the runtime's workers, which serve data planes as well.

mod answer;
mod dump;
mod options;
mod rollback;
mod upload;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use model::Common;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use wire::Key;

use self::options::UploadOptions;
pub(super) use self::options::is_dry_run;
use self::upload::Document;
use super::body_memory::{BodyMemory, BodyShare};
use super::{Api, Context, SharedAdmin, credential};
use crate::declarative::{
    Budget, Current, Difference, Format, Held, Planned, ReadError, ReadOptions, Routes, Selection, read,
    select_tags,
};
use crate::error::ApiError;
use crate::kinds;
use crate::kinds::credential::Secrets;
use crate::off_workers::run_off_workers;
use crate::store::{self, Change, Draft, Head, MANY, StoreError};

/// Attempts to apply a document: before each but the last is done, there is another write.
const ATTEMPTS: usize = 5;

/// The bounds of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigLimits {
    /// Bytes of a document.
    pub max_body: usize,
    /// Bytes of memory for a document, the configuration that it is compared with, and the changes.
    pub max_memory: usize,
}

/// Admits documents and dumps.
#[derive(Debug)]
pub(super) struct ConfigTurns {
    /// One document at a time.
    documents: Arc<Semaphore>,
    /// One dump at a time.
    dumps: Arc<Semaphore>,
    /// The documents that are being read have together the memory of the longest one.
    uploads: BodyMemory,
}

impl ConfigTurns {
    pub(super) fn new(limits: ConfigLimits) -> Self {
        Self {
            documents: Arc::new(Semaphore::new(1)),
            dumps: Arc::new(Semaphore::new(1)),
            uploads: BodyMemory::new(limits.max_body),
        }
    }
}

pub(super) fn routes(api: &mut Api) {
    api.route("/config", get(dump::show).post(apply));
    api.route("/config/rollback", post(rollback::roll_back));
}

async fn apply(
    State(admin): State<SharedAdmin>,
    context: Context,
    request: Request,
) -> Result<Response, ApiError> {
    let options = UploadOptions::parse(request.uri().query().unwrap_or_default())?;
    let limits = admin.state.config;
    let uploaded = admin.config.uploads.share();
    let document = upload::read(request, limits.max_body, &uploaded).await?;
    // Only now: a slow client keeps nobody out.
    let turn = Arc::clone(&admin.config.documents).try_acquire_owned().map_err(|_| ApiError::ConfigBusy)?;
    let show_secrets = admin.state.show_secrets;
    let work = Arc::new(Work { document, options, limits, show_secrets, _turn: turn, _uploaded: uploaded });
    for _ in 1..ATTEMPTS {
        match attempt(&admin, &context, &work).await {
            // There was another write meanwhile.
            Err(ApiError::Store(StoreError::Changed | StoreError::Id { .. })) => {}
            done => return done,
        }
    }
    attempt(&admin, &context, &work).await
}

/// A document that is being applied. The next one waits for the end of all work on it, also when the client
/// disconnects.
struct Work {
    document: Document,
    options: UploadOptions,
    limits: ConfigLimits,
    /// Whether API keys are kept beside their hashes.
    show_secrets: bool,
    _turn: OwnedSemaphorePermit,
    _uploaded: BodyShare,
}

/// What a document changes.
struct Compared {
    difference: Difference,
    /// The key of the hashes of API keys, if it is written with them.
    hash_key: Option<Draft>,
}

async fn attempt(admin: &SharedAdmin, context: &Context, work: &Arc<Work>) -> Result<Response, ApiError> {
    let (head, entities) = admin.state.store.every().await?;
    let shared = Arc::clone(work);
    if work.options.dry_run {
        return beside(move || shared.dry_run(entities, head)).await;
    }
    let Compared { difference, hash_key } = beside(move || shared.compare(entities)).await?;
    if difference.is_empty() {
        return Ok(answer::unchanged(&difference, head, work.options.check_hash));
    }
    let counts = answer::Counts::of(&difference);
    let changes = beside(move || Ok(changes(difference, hash_key))).await?;
    let written = write(admin, context, Arc::clone(work), (head, changes)).await;
    let revision = written.map_err(credential::lost_race)?;
    Ok(answer::applied(&counts, revision))
}

/// Writes changes to the configuration of a head. Very many are written to the end, also when the client
/// disconnects: until then `held` keeps the next document out.
async fn write<T: Send + 'static>(
    admin: &SharedAdmin,
    context: &Context,
    held: T,
    (head, changes): (Head, Vec<Change>),
) -> Result<u64, StoreError> {
    if changes.len() < MANY {
        return admin.state.store.write_after(head, &context.author, changes).await;
    }
    let (store, author) = (admin.state.store.clone(), context.author.clone());
    let write = async move { (store.write_after(head, &author, changes).await, held).0 };
    run_off_workers(write).await
}

/// Runs work off the runtime's workers.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    spawn_blocking(work).await.unwrap_or(Err(ApiError::Panicked))
}

impl Work {
    fn dry_run(&self, entities: Vec<store::Document>, head: Head) -> Result<Response, ApiError> {
        let mut routes = Routes::default();
        entities.iter().for_each(|entity| routes.add(entity.key, &entity.body));
        let Compared { difference, .. } = self.compare(entities)?;
        routes.change(&difference);
        Ok(answer::dry_run(&difference, &routes.disagreements(), head))
    }

    fn compare(&self, entities: Vec<store::Document>) -> Result<Compared, ApiError> {
        let Document { text, format } = &self.document;
        self.compared(text, *format, entities).map_err(|error| self.refusal(error))
    }

    fn compared(
        &self,
        text: &[u8],
        format: Format,
        entities: Vec<store::Document>,
    ) -> Result<Compared, ReadError> {
        let too_large = |_| ReadError::TooLarge(self.limits.max_memory);
        let mut budget = Budget::new(self.limits.max_memory);
        budget.take(text.len()).map_err(too_large)?;
        let hash_key = entities.iter().find(|entity| entity.key.kind == model::kind::HASH_KEY);
        let secrets = Secrets::new(hash_key.map(|stored| &stored.body[..]), self.show_secrets);
        let mut current = Current::new(self.selection(text, format)?);
        for entity in entities {
            let (key, held) = held(entity);
            current.add(key, held, &mut budget).map_err(too_large)?;
        }
        let read_entity = |kind, input, common: &Common, violations, held: Option<&[u8]>| {
            kinds::read_declared(kind, input, common, violations, &secrets, held)
        };
        let options = ReadOptions {
            now: store::now_in_milliseconds(),
            read: &read_entity,
            hash: &|secret| secrets.hash(secret),
        };
        let difference = read(text, format, &options, &mut current, &mut budget)?;
        let is_key = |put: &Planned| put.kind == model::kind::KEYAUTH_CREDENTIAL;
        let hash_key = difference.puts.iter().any(is_key).then(|| secrets.new_key()).flatten();
        Ok(Compared { difference, hash_key })
    }

    /// The tags of the query and those of the document.
    fn selection(&self, text: &[u8], format: Format) -> Result<Selection, ReadError> {
        let mut tags = self.options.select_tags.clone();
        tags.extend(select_tags(text, format)?);
        tags.sort();
        tags.dedup();
        Ok(Selection { tags })
    }

    fn refusal(&self, error: ReadError) -> ApiError {
        match error {
            ReadError::Unreadable(reason) => ApiError::UnreadableConfig(reason),
            ReadError::Invalid(errors) => {
                ApiError::InvalidConfig { errors, flatten: self.options.flatten_errors }
            }
            ReadError::TooLarge(most) => ApiError::ConfigTooLarge(most),
        }
    }
}

/// An entity of the database, for a comparison or a dump.
fn held(document: store::Document) -> (Key, Held) {
    let store::Document { key, body, tags, created_at, updated_at } = document;
    (key, Held { body, tags, created_at, updated_at })
}

fn changes(difference: Difference, hash_key: Option<Draft>) -> Vec<Change> {
    let deletes = difference.deletes.into_iter().map(|(key, held)| Change::Remove(stored(key, held)));
    let puts = difference.puts.into_iter().map(put);
    puts.chain(deletes).chain(hash_key.map(Change::Insert)).collect()
}

fn put(planned: Planned) -> Change {
    let key = planned.key();
    let Planned { kind, common, content, before } = planned;
    let after = Draft::new(kind, common, content);
    match before {
        None => Change::Insert(after),
        Some(held) => Change::Replace { before: stored(key, held), after },
    }
}

/// An entity as it was read from the database.
fn stored(key: Key, held: Held) -> store::Document {
    let Held { body, tags, created_at, updated_at } = held;
    store::Document { key, body, tags, created_at, updated_at }
}

/// The revision of a head, for the header of an answer.
fn revision(head: Head) -> String {
    head.revision.to_string()
}
