//! Revocations, in the database that the control planes share.

use std::path::Path;

use node::exit::ExitError;
use node::identity::Mode;

use crate::config::Config;
use crate::revocation::{Revoked, Subject};
use crate::store::{Store, StoreError};

pub(super) fn revoke(
    config: Option<&Path>,
    subject: &Subject,
    reason: Option<&str>,
) -> Result<String, ExitError> {
    let config = Config::load(config)?;
    if config.identity.mode == Mode::Shared && matches!(subject, Subject::Node(_)) {
        return Err(ExitError::config(
            "in the shared mode no certificate names a node; revoke the fingerprint of the pair, which cuts off \
             every node that holds it",
        ));
    }
    with_store(&config, async |store| {
        store.revocations().put(subject.kind(), &subject.value(), reason).await
    })?;
    Ok(format!("revoked {subject}: control planes refuse it, and close its connections, within seconds"))
}

pub(super) fn unrevoke(config: Option<&Path>, subject: &Subject) -> Result<String, ExitError> {
    let config = Config::load(config)?;
    let was_there = with_store(&config, async |store| {
        store.revocations().delete(subject.kind(), &subject.value()).await
    })?;
    match was_there {
        true => Ok(format!("{subject} is not revoked any more; it is let in again within seconds")),
        false => Err(ExitError::unavailable(format!(
            "{subject} is not revoked; `pki show --config` lists what is"
        ))),
    }
}

/// Reads the revocations, for look-ups and as text.
pub(super) fn list(config: &Path) -> Result<(Revoked, String), ExitError> {
    let config = Config::load(Some(config))?;
    let rows = with_store(&config, async |store| store.revocations().list().await)?;
    let lines = rows.iter().map(|row| {
        let reason = row.reason.as_deref().unwrap_or("-");
        format!("{:<12} {:<64}  {}  {reason}", row.kind, row.value, super::moment(row.created_at))
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    Ok((rows.into_iter().collect(), text))
}

fn with_store<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(ExitError::internal)?.block_on(async {
        let store = Store::open(&config.database_url).await.map_err(ExitError::unavailable)?;
        work(&store).await.map_err(|error| {
            let database = node::config::mask_secrets(&config.database_url);
            let hint = "`gibbon-control migrate` brings its schema up to date";
            ExitError::unavailable(format!("cannot use the revocations in {database}: {error}; {hint}"))
        })
    })
}
