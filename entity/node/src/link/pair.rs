//! Two connected links in memory.

use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::count::Counted;
use super::pulse::Watched;
use super::{Limits, Link, Stream, websocket};

/// Bytes that one end may send before the other has received them.
const BUFFER: usize = 64 * 1024;

impl Stream for Watched<DuplexStream> {}

/// Both ends of a connection within this process, the client's first. It has no TLS. For tests that pause the
/// clock, which a kernel socket ignores.
pub async fn pair() -> (Link, Link) {
    let (dialler, listener) = tokio::io::duplex(BUFFER);
    (over(dialler, Role::Client).await, over(listener, Role::Server).await)
}

async fn over(stream: DuplexStream, role: Role) -> Link {
    let (stream, pulse) = Watched::new(stream);
    let stream: Box<dyn Stream> = Box::new(stream);
    let (stream, traffic) = Counted::new(stream);
    let socket = WebSocketStream::from_raw_socket(stream, role, Some(websocket(&Limits::default()))).await;
    Link::new(socket, traffic, pulse)
}
