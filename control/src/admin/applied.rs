//! `?wait=applied`: delays the answer to a write until every connected data plane has applied it. Otherwise
//! the answer names each data plane that has not, with the reason. The write stands either way.
//!
//! The registry knows the data planes that are connected here. The database knows those of other control
//! planes, each of which writes to it once a second.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::Response;
use entity::data_plane::Model;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::REVISION;
use super::{Admin, clustering};
use crate::cluster::Pending;
use crate::error::ApiError;
use crate::publish::HeldBack;

/// How long one read of the database serves all waiting requests.
const FRESH: Duration = Duration::from_millis(100);
/// Writes that wait at the same time. A further one is answered at once, from the present state.
const WAITING: usize = 1000;

/// The timeout if the query does not set one.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum timeout, in seconds.
const MAX_WAIT_SECONDS: f64 = 60.0;

/// The `wait=applied` of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wait {
    timeout: Duration,
}

impl Wait {
    /// Parses `wait=applied`, and `timeout` in seconds, from a query.
    pub(super) fn parse(query: &str) -> Result<Option<Self>, ApiError> {
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        match value("wait").as_deref() {
            None => return Ok(None),
            Some("applied") => {}
            Some(_) => return Err(invalid("wait", "expected: applied")),
        }
        let Some(seconds) = value("timeout") else { return Ok(Some(Self { timeout: TIMEOUT })) };
        let seconds = seconds.parse().ok().filter(|seconds| (0.0..=MAX_WAIT_SECONDS).contains(seconds));
        let seconds = seconds.ok_or(invalid("timeout", "expected seconds, from 0 to 60"))?;
        Ok(Some(Self { timeout: Duration::from_secs_f64(seconds) }))
    }

    /// Waits if the response is that of a successful write, and adds the result of the wait to it.
    pub(super) async fn for_data_planes(self, response: &mut Response, admin: &Admin) {
        let revision =
            response.headers().get(REVISION).and_then(|revision| revision.to_str().ok()?.parse().ok());
        let Some(revision) = revision else { return };
        let place = admin.elsewhere.places.try_acquire();
        let timeout = if place.is_ok() { self.timeout } else { Duration::ZERO };
        let deadline = Instant::now() + timeout;
        // Until then the data planes may hold equal revision numbers of an epoch that the database has left.
        let published = timeout_at(deadline, admin.state.publisher.caught_up()).await.is_ok();
        let pending = match timeout_at(deadline, settled(admin, revision)).await {
            Ok(pending) => Ok(pending),
            Err(_) => pending(admin, revision).await,
        };
        let applied = published && pending.as_ref().is_ok_and(Vec::is_empty);
        let applied = if applied { "true" } else { "false" };
        response.headers_mut().insert("gibbon-applied", HeaderValue::from_static(applied));
        let held_back = admin.state.publisher.held_back();
        for data_plane in pending.unwrap_or_else(|_| admin.state.registry.pending(revision)) {
            if let Ok(told) = HeaderValue::try_from(tell(&data_plane, held_back.as_ref())) {
                response.headers_mut().append("gibbon-pending", told);
            }
        }
    }
}

/// Waits until each data plane that lacks the revision has rejected it, or the guard holds it back from it:
/// waiting longer would change nothing. Returns these data planes.
async fn settled(admin: &Admin, revision: u64) -> Vec<Pending> {
    let publisher = &admin.state.publisher;
    let refused = |data_plane: &Pending| {
        data_plane.refused.is_some() || (data_plane.other_epoch && publisher.held_back().is_some())
    };
    let (mut changes, mut head) = (admin.state.registry.changes(), admin.state.head.clone());
    loop {
        changes.borrow_and_update();
        head.borrow_and_update();
        let mut pending = admin.state.registry.pending(revision);
        if !pending.iter().all(refused) {
            // The senders live as long as the registry and the publisher do.
            tokio::select! {
                _ = changes.changed() => {}
                _ = head.changed() => {}
            }
            continue;
        }
        if let Ok(elsewhere) = elsewhere(admin, revision).await
            && elsewhere.iter().all(refused)
        {
            pending.extend(elsewhere);
            return pending;
        }
        tokio::time::sleep(FRESH).await;
    }
}

/// Returns the data planes that do not hold the revision.
async fn pending(admin: &Admin, revision: u64) -> Result<Vec<Pending>, ApiError> {
    let mut pending = admin.state.registry.pending(revision);
    pending.extend(elsewhere(admin, revision).await?);
    Ok(pending)
}

async fn elsewhere(admin: &Admin, revision: u64) -> Result<Vec<Pending>, ApiError> {
    let rows = admin.elsewhere.rows(admin).await?;
    let head = *admin.state.head.borrow();
    Ok(rows.iter().filter_map(|row| Pending::of(row, head, revision)).collect())
}

/// The data planes of other control planes, read once for all waiting requests.
#[derive(Debug)]
pub(super) struct Elsewhere {
    read: Mutex<Option<(Instant, Arc<[Model]>)>>,
    /// Limits the waiting requests.
    places: Semaphore,
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self { read: Mutex::default(), places: Semaphore::new(WAITING) }
    }
}

impl Elsewhere {
    /// Returns the rows of the database, at most [`FRESH`] old.
    async fn rows(&self, admin: &Admin) -> Result<Arc<[Model]>, ApiError> {
        let mut read = self.read.lock().await;
        if let Some((_, rows)) = read.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(Arc::clone(rows));
        }
        let begun = Instant::now();
        let rows: Arc<[Model]> = clustering::elsewhere(admin).await?.into();
        *read = Some((begun, Arc::clone(&rows)));
        Ok(rows)
    }
}

/// Formats one line of ASCII, since a header's value takes no other characters.
fn tell(data_plane: &Pending, held_back: Option<&HeldBack>) -> String {
    let reason = match (&data_plane.refused, held_back) {
        (Some(reason), _) => format!("refused: {reason}"),
        (None, Some(held_back)) if data_plane.other_epoch => format!("held back: {}", held_back.reason),
        (None, _) => "not live yet".to_owned(),
    };
    let reason: String = reason.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
    format!("{}; {reason}", data_plane.node_id)
}

const fn invalid(name: &'static str, message: &'static str) -> ApiError {
    ApiError::InvalidOption { name, message: Cow::Borrowed(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read() {
        let seconds = |seconds| Some(Wait { timeout: Duration::from_secs_f64(seconds) });
        assert_eq!(Wait::parse("a=b").unwrap(), None);
        assert_eq!(Wait::parse("wait=applied").unwrap(), seconds(10.0));
        assert_eq!(Wait::parse("x=1&wait=applied&timeout=0.5").unwrap(), seconds(0.5));
        for bad in [
            "wait=",
            "wait=yes",
            "wait=applied&timeout=soon",
            "wait=applied&timeout=61",
            "wait=applied&timeout=-1",
        ] {
            assert!(Wait::parse(bad).is_err(), "{bad}");
        }
    }
}
