//! A COMMIT whose answer never comes: the write is looked up, and the error says whether it was found.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use control::store::{Commit, Store, StoreError};
use testkit::plane::DEADLINE;
use testkit::{postgres, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;

use super::{insert, revision, service};

/// The message of the protocol that commits, less its length.
const COMMIT: &[u8] = b"COMMIT\0";

/// What becomes of the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The server receives it and answers.
    Passes,
    /// The server receives it, and its answer is lost.
    Unanswered,
    /// It is lost, and the server sees the end of the connection.
    Lost,
    /// It is lost, and the server sees nothing at all: the transaction stays open.
    LostForGood,
}

/// Stands between a store and PostgreSQL.
struct Stage {
    store: Store,
    commits: Receiver<Commit>,
    fate: Arc<Mutex<Fate>>,
    _proxy: JoinSet<()>,
}

impl Stage {
    async fn start() -> Self {
        let server = postgres::shared();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let url = server.database().replace(&server.port().to_string(), &address);
        let fate = Arc::new(Mutex::new(Fate::Passes));
        let mut proxy = JoinSet::new();
        proxy.spawn(accept(listener, server.port().address(), fate.clone()));
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        let commits = store.commits();
        Self { store, commits, fate, _proxy: proxy }
    }

    /// Writes while the next COMMIT has this fate.
    async fn write(&self, fate: Fate) -> Result<u64, StoreError> {
        *self.fate.lock().unwrap() = fate;
        let written = insert(&self.store, &service(1, "a")).await;
        assert_eq!(*self.fate.lock().unwrap(), Fate::Passes, "there was no COMMIT");
        written
    }

    async fn write_again(&self) -> u64 {
        let again = || async { insert(&self.store, &service(2, "b")).await };
        wait::eventually(2 * DEADLINE, again).await
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, fate: Arc<Mutex<Fate>>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let fate = fate.clone();
        connections.spawn(async move {
            // An error is the end of the connection.
            relay(client, TcpStream::connect(server).await.unwrap(), &fate).await.ok();
        });
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, fate: &Mutex<Fate>) -> std::io::Result<()> {
    let (mut request, mut answer) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            length = client.read(&mut request) => {
                let request = &request[..length?];
                if request.is_empty() {
                    return Ok(());
                }
                let commits = request.windows(COMMIT.len()).any(|bytes| bytes == COMMIT);
                let fate = if commits {
                    std::mem::replace(&mut *fate.lock().unwrap(), Fate::Passes)
                } else {
                    Fate::Passes
                };
                if fate == Fate::Passes || fate == Fate::Unanswered {
                    server.write_all(request).await?;
                }
                if fate != Fate::Passes {
                    // Until the client gives up.
                    while client.read(&mut answer).await? > 0 {}
                    if fate == Fate::LostForGood {
                        std::future::pending::<()>().await;
                    }
                    return Ok(());
                }
            }
            length = server.read(&mut answer) => {
                let answer = &answer[..length?];
                if answer.is_empty() {
                    return Ok(());
                }
                client.write_all(answer).await?;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_write_without_an_answer_is_found_and_published() {
    let mut stage = Stage::start().await;
    assert_eq!(stage.write(Fate::Unanswered).await.unwrap(), 1);
    assert_eq!(stage.commits.try_recv().unwrap().head.revision, 1);
    assert_eq!(revision(&stage.store).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_whose_commit_was_lost_has_changed_nothing() {
    let mut stage = Stage::start().await;
    let error = stage.write(Fate::Lost).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(stage.commits.try_recv().is_err(), "nothing is published");
    assert_eq!(revision(&stage.store).await, 0);
    assert_eq!(stage.write_again().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_cannot_be_looked_up_has_an_unknown_outcome() {
    let mut stage = Stage::start().await;
    let error = stage.write(Fate::LostForGood).await.unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");
    assert!(stage.commits.try_recv().is_err(), "nothing is published");
    // The server ends the abandoned transaction by itself.
    assert_eq!(stage.write_again().await, 1);
}
