//! Asks a running data plane, through its status listener, whether it is ready.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Timeout of the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the status listener at `listen`.
///
/// # Errors
/// One line with the reason why it is not ready, or cannot be asked.
pub fn ask(listen: SocketAddr) -> Result<String, String> {
    let address = reachable(listen);
    let answer = exchange(address).map_err(|error| {
        format!("cannot ask {address}: {error}; is the gateway running, with this status.listen?")
    })?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
    if status == "200" { Ok(body.to_owned()) } else { Err(format!("not ready: {status} {body}")) }
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /status/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    // A status answer is small; more than this is from another program.
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Replaces the address of a listener on all interfaces by this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
