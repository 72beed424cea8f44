//! A server that answers every request on every address of loopback, as a process of its own: its processor time is
//! not that of the bench.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;

/// Makes the program of the bench the server.
const SERVE: &str = "GIBBON_BENCH_SERVE";

/// The process of the server. Ends with this value.
#[derive(Debug)]
pub struct Responder {
    port: u16,
    child: Child,
}

impl Responder {
    /// Starts the program of the bench once more. Its `main` begins with [`is_this`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.env(SERVE, "1").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().unwrap(), child }
    }

    /// The port, on each address.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether this process is the server.
pub fn is_this() -> bool {
    std::env::var_os(SERVE).is_some()
}

/// Serves until the process is killed.
///
/// # Panics
/// When it cannot listen.
pub fn run() {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(serve());
}

async fn serve() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    let listener = socket.listen(16_384).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr().unwrap().port()).unwrap();
    out.flush().unwrap();
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream) {
    let mut request = [0; 1024];
    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}
