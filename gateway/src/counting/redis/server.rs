//! One server: its connection, which all requests share, and whether it is known to be away.
//!
//! A request waits for the first connection, within the timeout. A server that could not be reached, or did not
//! answer a command in time, is away: requests do not wait for it until the connection is made again. So of many
//! requests to a silent server those wait that were sent before the first timeout, and each no longer than the
//! timeout.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use smallvec::SmallVec;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};
use uuid::Uuid;

use super::bounded::Bounded;
use super::dial::Dial;
use super::failure::RedisFailure;
use super::script::Script;
use super::terms::RedisTerms;

/// The first delay until a connection is made again. It doubles up to [`LONGEST_DELAY`].
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A connection that was used this long makes the next delay a first one again.
const STABLE: Duration = Duration::from_secs(10);

/// One server.
#[derive(Debug)]
pub struct Server {
    pub(super) terms: RedisTerms,
    /// The plugin that asked for it first, for logs of refused addresses.
    plugin: Uuid,
    state: watch::Sender<State>,
    /// A command has failed on the connection.
    suspected: Notify,
}

#[derive(Clone)]
enum State {
    /// Nobody knows yet.
    New,
    Connected(MultiplexedConnection),
    Away,
}

impl Server {
    pub(super) fn new(terms: RedisTerms, plugin: Uuid) -> Self {
        Self { terms, plugin, state: watch::Sender::new(State::New), suspected: Notify::new() }
    }

    /// Whether the server is known to be away.
    pub fn is_away(&self) -> bool {
        matches!(*self.state.borrow(), State::Away)
    }

    /// Runs a script, within the timeout of the server.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[Vec<u8>],
        arguments: &[String],
    ) -> Result<SmallVec<[f64; 8]>, RedisFailure> {
        let deadline = Instant::now() + self.terms.timeout;
        let mut connection =
            timeout_at(deadline, self.connection()).await.map_err(|_| RedisFailure::TimedOut)??;
        let ran = timeout_at(deadline, script.run(&mut connection, keys, arguments)).await;
        let answer = ran.unwrap_or(Err(RedisFailure::TimedOut));
        if answer.as_ref().is_err_and(|failure| failure.is_of_connection()) {
            self.suspected.notify_one();
        }
        answer
    }

    /// The connection; waits for the first one.
    async fn connection(&self) -> Result<MultiplexedConnection, RedisFailure> {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| !matches!(state, State::New)).await;
        match &*known.map_err(|_| RedisFailure::Away)? {
            State::Connected(connection) => Ok(connection.clone()),
            State::New | State::Away => Err(RedisFailure::Away),
        }
    }

    /// Keeps a connection for as long as it runs.
    pub(super) async fn keep(self: Arc<Self>, dial: Arc<dyn Dial>) {
        let (mut delay, mut reported, info) = (FIRST_DELAY, None, self.info());
        loop {
            let opened = timeout(self.terms.timeout, self.open(&*dial, &info)).await;
            match opened.unwrap_or(Err(RedisFailure::TimedOut)) {
                Ok((connection, driver)) => {
                    if reported.take().is_some() {
                        info!("{}: connected again", self.terms);
                    }
                    let since = Instant::now();
                    self.use_while(connection, driver).await;
                    if since.elapsed() >= STABLE {
                        delay = FIRST_DELAY;
                    }
                    warn!("{}: the connection broke, or a command was not answered in time", self.terms);
                    reported = Some(RedisFailure::Broken);
                }
                Err(failure) => {
                    self.state.send_replace(State::Away);
                    if reported.replace(failure) != Some(failure) {
                        warn!("{}: {failure}", self.terms);
                    }
                }
            }
            // With jitter, so that many nodes do not come at once.
            sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// Opens a connection. Returns what drives it, too.
    async fn open<'i>(
        &self,
        dial: &dyn Dial,
        info: &'i RedisConnectionInfo,
    ) -> Result<(MultiplexedConnection, impl Future<Output = ()> + use<'i>), RedisFailure> {
        let stream = Bounded::new(dial.dial(&self.terms, self.plugin).await?);
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(MultiplexedConnection::new_with_config(info, stream, config).await?)
    }

    /// What a new connection begins with.
    fn info(&self) -> RedisConnectionInfo {
        let database = self.terms.database.into();
        let mut info = RedisConnectionInfo::default().set_db(database).set_skip_set_lib_name();
        if let Some(username) = &self.terms.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.terms.password {
            info = info.set_password(password.expose());
        }
        info
    }

    /// Lets requests use a connection until it breaks or is suspected.
    async fn use_while(&self, mut connection: MultiplexedConnection, driver: impl Future<Output = ()>) {
        // An earlier connection's.
        let _earlier = timeout(Duration::ZERO, self.suspected.notified()).await;
        let greeted = async {
            // A server that accepts connections and answers nothing is away.
            let ping = redis::cmd("PING");
            let answer = timeout(self.terms.timeout, ping.query_async::<()>(&mut connection)).await;
            if matches!(answer, Ok(Ok(()))) {
                self.state.send_replace(State::Connected(connection.clone()));
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = driver => {}
            () = greeted => {}
            () = self.suspected.notified() => {}
        }
        self.state.send_replace(State::Away);
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "New",
            Self::Connected(_) => "Connected",
            Self::Away => "Away",
        })
    }
}
