//! A TCP relay that can be slow, stall, or cut its connections: a bad line between two real programs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::background::Background;

/// The kernel's buffers. With the defaults, a slow relay would accept a megabyte at once.
const KERNEL_BUFFER: usize = 4096;
/// The number of pieces in which a slow relay passes on a second's bytes.
const SLICES: u64 = 20;
/// The most bytes that are read at a time.
const CHUNK: usize = 16 * 1024;

/// A relay from an address of its own to another. Dropping it resets its connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<RelayState>,
    _thread: Background,
}

#[derive(Debug)]
struct RelayState {
    /// Bytes per second in each direction of each connection.
    rate: watch::Sender<Rate>,
    cut: Notify,
    connections: AtomicUsize,
    /// Bytes passed on, in both directions.
    relayed: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    Unlimited,
    /// At least 1.
    BytesPerSecond(u64),
    Stalled,
}

impl Relay {
    /// Starts a relay to `target` without a limit.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start(target: SocketAddr) -> Self {
        let listener = listen().expect("a relay can listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(RelayState {
            rate: watch::Sender::new(Rate::Unlimited),
            cut: Notify::new(),
            connections: AtomicUsize::new(0),
            relayed: AtomicU64::new(0),
        });
        let own = shared.clone();
        let thread = Background::run(move || accept(listener, target, own));
        Self { address, shared, _thread: thread }
    }

    /// The address of the relay.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes on at most this many bytes per second, in each direction of each connection; 0 stalls the
    /// relay, with the connections kept open. Also applies to open connections.
    pub fn limit(&self, bytes_per_second: u64) {
        self.shared.rate.send_replace(match bytes_per_second {
            0 => Rate::Stalled,
            rate => Rate::BytesPerSecond(rate),
        });
    }

    /// Removes the limit.
    pub fn unlimit(&self) {
        self.shared.rate.send_replace(Rate::Unlimited);
    }

    /// Resets all open connections. New ones are accepted.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// Number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Number of bytes passed on so far, in both directions.
    pub fn relayed(&self) -> u64 {
        self.shared.relayed.load(Ordering::Relaxed)
    }
}

/// Accepted connections inherit the buffers of their listener.
fn listen() -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

async fn accept(listener: std::net::TcpListener, target: SocketAddr, shared: Arc<RelayState>) {
    let listener = TcpListener::from_std(listener).expect("a listener fits the runtime");
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        connections.spawn(async move {
            // An error affects a single connection: both its sides see it.
            relay(client, target, &shared).await.ok();
        });
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, shared: &RelayState) -> io::Result<()> {
    let cut = shared.cut.notified();
    let mut server = connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Unlike owned halves, these do not end the stream when they are dropped.
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let both = async {
        tokio::try_join!(pump(from_client, to_server, shared), pump(from_server, to_client, shared))
    };
    let end = tokio::select! {
        end = both => end.map(drop),
        () = cut => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if end.is_err() {
        // Closing is then a reset, and drops unsent bytes.
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
    }
    end
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(KERNEL_BUFFER as u32)?;
    socket.set_send_buffer_size(KERNEL_BUFFER as u32)?;
    socket.connect(target).await
}

/// Passes on one direction until its end, which it also passes on.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &RelayState) -> io::Result<()> {
    let mut rate = shared.rate.subscribe();
    let mut buffer = vec![0; CHUNK];
    loop {
        let now = *rate.wait_for(|rate| *rate != Rate::Stalled).await.expect("its sender is shared");
        let (size, pause) = slice(now);
        let length = tokio::select! {
            length = from.read(&mut buffer[..size]) => length?,
            // The limit may stall the relay from now on.
            _ = rate.changed() => continue,
        };
        if length == 0 {
            return to.shutdown().await;
        }
        // Counted before the other side can have seen the bytes.
        shared.relayed.fetch_add(length as u64, Ordering::Relaxed);
        to.write_all(&buffer[..length]).await?;
        if let Some(of_full_slice) = pause {
            tokio::time::sleep(of_full_slice.mul_f64(length as f64 / size as f64)).await;
        }
    }
}

/// How much to read, and how long to wait after that much.
fn slice(rate: Rate) -> (usize, Option<Duration>) {
    let Rate::BytesPerSecond(rate) = rate else { return (CHUNK, None) };
    let size = (rate / SLICES).clamp(1, CHUNK as u64);
    (size as usize, Some(Duration::from_secs_f64(size as f64 / rate as f64)))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::http::Client;
    use crate::origin::{Answer, Origin};
    use crate::wait;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn limited_relay_takes_its_time() {
        let origin = Origin::start();
        origin.answer(Answer::status(200).size(20_000));
        let relay = Relay::start(origin.address());
        let client = Client::new(relay.address());
        assert_eq!(client.get("/").await.unwrap().expect(200).body.len(), 20_000);
        relay.limit(40_000);
        let start = Instant::now();
        assert_eq!(client.get("/").await.unwrap().expect(200).body.len(), 20_000);
        assert!(start.elapsed() > Duration::from_millis(400), "{:?}", start.elapsed());
        assert!(relay.relayed() > 40_000);
        assert_eq!(relay.connections(), origin.connections());
    }

    #[tokio::test]
    async fn stalled_relay_keeps_its_connections_until_the_stall_ends() {
        let origin = Origin::start();
        let relay = Relay::start(origin.address());
        let client = Client::new(relay.address());
        client.get("/").await.unwrap().expect(200);
        relay.limit(0);
        let stalled = client.get("/");
        tokio::pin!(stalled);
        let early = tokio::time::timeout(Duration::from_millis(100), &mut stalled).await;
        assert!(early.is_err(), "answered while stalled");
        relay.unlimit();
        tokio::time::timeout(SOON, stalled).await.unwrap().unwrap().expect(200);
    }

    #[tokio::test]
    async fn cut_relay_resets_what_is_open_and_accepts_anew() {
        let origin = Origin::start();
        let relay = Relay::start(origin.address());
        let mut open = TcpStream::connect(relay.address()).await.unwrap();
        wait::until(SOON, "relayed", || origin.connections() == 1).await;
        relay.cut();
        let end = tokio::time::timeout(SOON, open.read(&mut [0])).await.unwrap();
        assert!(end.is_err(), "{end:?}");
        Client::new(relay.address()).get("/").await.unwrap().expect(200);
    }
}
