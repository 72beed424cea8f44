//! Probes against servers on loopback, and the runner under a paused clock.

mod grpc;
mod http;
mod runner;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::exchange::{Exchange, Execute};
use super::plan::{Job, Memory};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: ProbeLimits = ProbeLimits { running: 1000, idle: 1000 };

/// Runs probes, one after the other.
struct Probing {
    exchange: Exchange,
    memory: Memory,
}

impl Probing {
    fn new() -> Self {
        Self { exchange: Exchange::new(LIMITS), memory: Memory::default() }
    }

    async fn run(&self, address: SocketAddr, check: Check) -> ProbeOutcome {
        self.run_within(address, check, 10 * SECOND).await
    }

    async fn run_within(&self, address: SocketAddr, check: Check, timeout: Duration) -> ProbeOutcome {
        let job = Job { probe: Probe { address, check, timeout }, allowed: true };
        self.exchange.execute(&job, &self.memory).await
    }
}

fn is_tcp_failure(outcome: &ProbeOutcome, text: &str) -> bool {
    matches!(outcome, ProbeOutcome::TcpFailure(why) if why.contains(text))
}

fn is_http_failure(outcome: &ProbeOutcome, text: &str) -> bool {
    matches!(outcome, ProbeOutcome::HttpFailure(why) if why.contains(text))
}

/// A server that answers the header of each request with the bytes of its script, `None` with the end of the
/// connection.
struct Scripted {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Scripted {
    async fn start(script: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let (listener, script) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(script));
        let (address, mut tasks) = (listener.local_addr().unwrap(), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = script.clone();
                connections.spawn(async move { serve(stream, &*script).await });
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: &impl Fn(&str) -> Option<Vec<u8>>) {
    let mut header = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        header.push(byte);
        if header.ends_with(b"\r\n\r\n") {
            let Some(answer) = script(std::str::from_utf8(&header).unwrap()) else { return };
            if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            header.clear();
        }
    }
}
