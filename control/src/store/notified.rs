//! Notifications from other control planes on the same PostgreSQL about their commits.
//!
//! A notification is only a hint. Notifications are lost with their connection, so a follower of the head
//! polls as well.

use std::time::Duration;

use sea_orm::sqlx::Error;
use sea_orm::sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use super::open::Address;
use super::{DEADLINE, Store};

/// The channel on which each commit announces its process and its revision.
const CHANNEL: &str = "gibbon_head";

/// Silence after which the connection to the server is probed: a network that was cut says nothing, and sqlx
/// sets no TCP keepalive.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// Between two attempts to listen.
const RETRY: Duration = Duration::from_secs(1);

impl Store {
    /// Returns the last known revision of another control plane's commit; zero when a notification may have
    /// been missed. Changes with each notification.
    pub fn notified(&self) -> watch::Receiver<u64> {
        self.shared.notified.subscribe()
    }

    /// Listens until its future is dropped. SQLite has no notifications.
    pub async fn listen(&self) {
        let Address::Postgres(options) = &self.shared.address else { return std::future::pending().await };
        loop {
            // No other task may use a connection that listens, or on which listening was interrupted.
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(DEADLINE);
            let pool = pool.max_lifetime(None).idle_timeout(None).connect_lazy_with((**options).clone());
            if let Err(error) = self.listen_once(&pool).await {
                debug!(%error, "cannot listen for the commits of other control planes; will try again");
            }
            timeout(DEADLINE, pool.close()).await.ok();
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen_once(&self, pool: &PgPool) -> Result<(), Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            // The future is safe to drop: the bytes of a partial message stay in the connection's buffer.
            let Ok(notice) = timeout(PROBE_AFTER, listener.try_recv()).await else {
                ask(&mut listener).await?;
                continue;
            };
            let notice = notice?;
            // The connection was lost, or the message is from another version: something has changed.
            let (name, revision) = notice.as_ref().and_then(parse).unwrap_or_default();
            if name != self.shared.name {
                self.shared.notified.send_replace(revision);
            }
        }
    }
}

/// Checks that the server answers on this connection.
async fn ask(listener: &mut PgListener) -> Result<(), Error> {
    let answer = timeout(DEADLINE, sea_orm::sqlx::query("SELECT 1").execute(listener)).await;
    let silent = |_| Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut));
    answer.map_err(silent)?.map(drop)
}

/// The expression that sends a notification with the update of the head, once it is committed.
pub(super) fn notice(name: &str) -> String {
    format!("pg_notify('{CHANNEL}', '{name} ' || revision)")
}

fn parse(notice: &PgNotification) -> Option<(&str, u64)> {
    let (name, revision) = notice.payload().split_once(' ')?;
    Some((name, revision.parse().ok()?))
}
