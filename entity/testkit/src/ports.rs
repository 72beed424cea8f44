//! Ports for servers under test.
//!
//! To bind to port 0, note the number and release it is a race. Before the server binds, the kernel may give
//! the number to an outgoing connection, or to another test. So the numbers here are outside the kernel's
//! ephemeral range, and a lock file holds each for as long as it is in use.

use std::fs::{File, OpenOptions, Permissions};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fmt, io};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::time::Instant;

/// The range of reserved ports, without the kernel's ephemeral range.
const RANGE: Range<u16> = 20_000..30_000;
/// How long a port may still be in use that was given up.
const DEADLINE: Duration = Duration::from_secs(10);

/// A port on loopback that nobody else gets while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

/// Reserves a port.
///
/// # Panics
///
/// When none is free, or the lock files cannot be made.
pub fn reserve() -> Port {
    let folder = folder();
    let ephemeral = ephemeral_range();
    let candidates = || RANGE.filter(|number| !ephemeral.contains(number));
    // Processes that start at about the same time begin at different ports, so that they seldom try each
    // other's locks.
    let start = spread() as usize % candidates().count().max(1);
    candidates()
        .cycle()
        .skip(start)
        .take(RANGE.len())
        .find_map(|number| try_reserve(&folder, number))
        .unwrap_or_else(|| panic!("no free port in {RANGE:?} outside of {ephemeral:?}"))
}

impl Port {
    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// Formats `127.0.0.1:20000`.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

fn try_reserve(folder: &std::path::Path, number: u16) -> Option<Port> {
    let path = folder.join(number.to_string());
    // A lock file that cannot be opened belongs to another user, and so does its port.
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).ok()?;
    lock.try_lock().ok()?;
    let port = Port { number, _lock: lock };
    is_free(port.address()).ok()?;
    Some(port)
}

/// Fails if somebody listens there. The socket that tries does not listen: a process that another thread starts has
/// a copy of it until its program begins, and would keep the port.
fn is_free(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Closes a listener on drop, also for a process that another thread starts and that has a copy of it until its
/// program begins: from then on, the kernel refuses connections.
#[derive(Debug)]
pub struct Close(TcpListener);

impl Close {
    /// For a listener that is dropped before.
    ///
    /// # Panics
    ///
    /// When it cannot be duplicated.
    pub fn after(listener: &TcpListener) -> Self {
        Self(listener.try_clone().expect("a listener can be duplicated"))
    }
}

impl Drop for Close {
    fn drop(&mut self) {
        // It may have ended already.
        SockRef::from(&self.0).shutdown(Shutdown::Both).ok();
    }
}

/// Makes a socket on a reserved port, where this process may have closed one a moment ago: a process that another
/// thread starts has a copy of that until its program begins.
///
/// # Panics
///
/// When the port is in use for longer, or the socket cannot be made.
pub fn bind<T>(mut make: impl FnMut() -> io::Result<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        match make() {
            Ok(socket) => return socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("a reserved port cannot be bound: {error}"),
        }
    }
}

/// The lock files stay: removing one would let two processes lock two files of the same name.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join("gibbon-test-ports");
    if std::fs::create_dir(&folder).is_ok() {
        // Shared by all users of the machine, as the ports are.
        std::fs::set_permissions(&folder, Permissions::from_mode(0o1777)).ok();
    }
    assert!(folder.is_dir(), "cannot make the folder of port locks {}", folder.display());
    folder
}

fn ephemeral_range() -> Range<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) => first..last,
        _ => 32_768..60_999,
    }
}

fn spread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::process::id().wrapping_mul(613).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpStream;
    use std::os::unix::process::CommandExt;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_port_is_given_to_one_at_a_time_and_can_be_bound() {
        let ports: Vec<_> = (0..50).map(|_| reserve()).collect();
        let numbers: HashSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        let first = &ports[0];
        assert!(try_reserve(&folder(), first.number()).is_none());
        let listener = TcpListener::bind(first.address()).unwrap();
        assert!(is_free(first.address()).is_err());
        drop(listener);
        bind(|| TcpListener::bind(first.address()));
    }

    /// Without it, about one in a thousand found its port in use.
    #[test]
    fn processes_that_start_meanwhile_keep_no_port() {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Also when a port is in use.
            let _end = End(&done);
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        std::process::Command::new("true").process_group(0).status().unwrap();
                    }
                });
            }
            for _ in 0..300 {
                let port = reserve();
                for _ in 0..2 {
                    let listener = bind(|| TcpListener::bind(port.address()));
                    let close = Close::after(&listener);
                    drop((listener, close));
                    let refused = TcpStream::connect(port.address()).unwrap_err();
                    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
                }
            }
        });
    }

    struct End<'a>(&'a AtomicBool);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
