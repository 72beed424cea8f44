//! Servers that do not answer: a name server that drops every query, a machine that is gone.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

use crate::background::Background;

/// Larger than any datagram.
const DATAGRAM: usize = 65_536;

/// A UDP server on loopback that records datagrams, and is silent where its script says so.
#[derive(Debug)]
pub struct UdpServer {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    _thread: Background,
}

impl UdpServer {
    /// Starts a server that never answers.
    ///
    /// # Panics
    ///
    /// When it cannot bind.
    pub fn silent() -> Self {
        Self::start(|_| None)
    }

    /// Starts a server that answers a datagram with the result of `script`; `None` is no answer.
    ///
    /// # Panics
    ///
    /// When it cannot bind.
    pub fn start(script: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a server can bind on loopback");
        socket.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = socket.local_addr().expect("a bound socket has an address");
        let received = Arc::default();
        let own = Arc::clone(&received);
        let thread = Background::run(move || serve(socket, own, script));
        Self { address, received, _thread: thread }
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All datagrams so far.
    pub fn received(&self) -> Vec<Vec<u8>> {
        lock(&self.received).clone()
    }

    /// Number of datagrams so far.
    pub fn count(&self) -> usize {
        lock(&self.received).len()
    }
}

async fn serve(
    socket: std::net::UdpSocket,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    script: impl Fn(&[u8]) -> Option<Vec<u8>>,
) {
    let socket = UdpSocket::from_std(socket).expect("a socket fits the runtime");
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // An error belongs to an earlier answer whose receiver is gone.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        lock(&received).push(buffer[..length].to_vec());
        if let Some(answer) = script(&buffer[..length]) {
            socket.send_to(&answer, from).await.ok();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while this is held")
}

/// A TCP address that neither accepts nor refuses, like a machine that is gone. The queue of its listener is
/// full, and the kernel drops further attempts to connect.
pub struct Blackhole {
    address: SocketAddr,
    _listener: Socket,
    _in_queue: std::net::TcpStream,
}

impl Blackhole {
    /// Reserves an address and fills its queue.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback can be bound");
        listener.listen(0).expect("a bound socket can listen");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("a bound socket has an address");
        // The queue accepts one more connection than its length.
        let in_queue = std::net::TcpStream::connect(address).expect("the first one is accepted");
        Self { address, _listener: listener, _in_queue: in_queue }
    }

    /// The address that does not answer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Debug for Blackhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blackhole").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;
    use crate::wait;

    const SOON: Duration = Duration::from_secs(10);
    const BRIEFLY: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn silent_server_remembers_and_does_not_answer() {
        let server = UdpServer::silent();
        let client = client(&server).await;
        client.send(b"a question").await.unwrap();
        wait::until(SOON, "received", || server.count() == 1).await;
        assert_eq!(server.received(), [b"a question"]);
        assert!(timeout(BRIEFLY, client.recv(&mut [0])).await.is_err());
    }

    #[tokio::test]
    async fn script_answers_some_and_not_others() {
        let server = UdpServer::start(|question| question.starts_with(b"?").then(|| b"!".to_vec()));
        let client = client(&server).await;
        client.send(b"no question").await.unwrap();
        client.send(b"?").await.unwrap();
        let mut answer = [0; 10];
        let length = timeout(SOON, client.recv(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer[..length], b"!");
        assert_eq!(server.count(), 2);
    }

    #[tokio::test]
    async fn blackhole_neither_accepts_nor_refuses() {
        let hole = Blackhole::start();
        assert!(timeout(BRIEFLY, TcpStream::connect(hole.address())).await.is_err());
    }

    async fn client(server: &UdpServer) -> UdpSocket {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(server.address()).await.unwrap();
        client
    }
}
