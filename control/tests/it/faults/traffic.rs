//! Clients that send requests to a data plane without a pause, each over a connection that it keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use testkit::http::{Client, Response};
use tokio::task::JoinSet;

/// Clients at work. Dropped, they stop.
pub(super) struct Traffic {
    clients: JoinSet<()>,
    over: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
}

impl Traffic {
    /// Starts this many clients, which expect 200 from this target of a proxy, always.
    pub(super) fn start(proxy: &Client, target: &'static str, clients: usize) -> Self {
        Self::checked(
            proxy,
            clients,
            |_, _| target.to_owned(),
            |_, response| {
                assert_eq!(response.status, 200, "{}", response.text());
            },
        )
    }

    /// Starts this many clients; `target` returns the next target of each, and `check` panics at a wrong
    /// answer. Both receive the number of the client, and `target` also that of the request.
    pub(super) fn checked(
        proxy: &Client,
        clients: usize,
        target: impl Fn(usize, u64) -> String + Clone + Send + 'static,
        check: impl Fn(usize, &Response) + Clone + Send + 'static,
    ) -> Self {
        let (over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let (proxy, over, answers) = (Client::new(proxy.address()), over.clone(), answers.clone());
            let (target, check) = (target.clone(), check.clone());
            tasks.spawn(async move {
                for request in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let response = proxy.get(&target(client, request)).await;
                    check(client, &response.unwrap_or_else(|error| panic!("{error:#}")));
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { clients: tasks, over, answers }
    }

    /// Stops the clients, and returns the number of answers: at least one, and all were right.
    pub(super) async fn end(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let answers = self.answers.load(Ordering::Relaxed);
        assert!(answers > 0, "nobody was answered");
        answers
    }
}
