//! Requests at a steady rate, on connections that are kept and on new ones; every failure is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::http::Connection;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// What is asked.
pub(crate) const REQUEST: &[u8] = b"GET /kept HTTP/1.1\r\nHost: h\r\n\r\n";
/// Clients that keep their connections, and those that do not; each asks once in `PACE`: 500 requests in a
/// second.
const KEEPING: usize = 6;
const OPENING: usize = 4;
const PACE: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Load {
    clients: JoinSet<Served>,
    done: Arc<AtomicBool>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) requests: u32,
    /// Answers that said that the connection ends.
    pub(crate) closed: u32,
    pub(crate) failures: Vec<String>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (mut clients, done) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for client in 0..KEEPING + OPENING {
            clients.spawn(ask(address, client < KEEPING, done.clone()));
        }
        Self { clients, done }
    }

    pub(crate) async fn end(self) -> Served {
        self.done.store(true, Ordering::Relaxed);
        self.clients.join_all().await.into_iter().fold(Served::default(), |mut all, served| {
            all.requests += served.requests;
            all.closed += served.closed;
            all.failures.extend(served.failures);
            all
        })
    }
}

async fn ask(address: SocketAddr, keep: bool, done: Arc<AtomicBool>) -> Served {
    let (mut served, mut kept, mut pace) = (Served::default(), None, interval(PACE));
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !done.load(Ordering::Relaxed) {
        pace.tick().await;
        served.requests += 1;
        let fresh = kept.is_none();
        match timeout(DEADLINE, exchange(address, kept.take())).await.context("no answer in time") {
            Ok(Ok((_, true))) => served.closed += 1,
            Ok(Ok((connection, false))) => kept = Some(connection).filter(|_| keep),
            Ok(Err(error)) | Err(error) => served.failures.push(format!("fresh: {fresh}: {error:#}")),
        }
    }
    served
}

/// The connection, and whether it ends.
async fn exchange(address: SocketAddr, kept: Option<Connection>) -> Result<(Connection, bool)> {
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    connection.write(REQUEST).await.context("cannot ask")?;
    let response = connection.read_response(false).await.context("cannot read the answer")?;
    ensure!(response.status == 200, "{} {}", response.status, response.text());
    let ends = response.header("connection") == Some("close");
    Ok((connection, ends))
}
