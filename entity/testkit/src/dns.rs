//! A name server that knows the records of the test, and lies, fails, is slow or is silent as scripted.
//!
//! It runs on a thread and runtime of its own, over UDP and TCP on one port. Answers of more than 512 bytes are
//! truncated over UDP. Names that it does not know are denied.

mod message;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::message::Question;
use crate::background::Background;
use crate::ports::{self, Port};

/// The longest answer over UDP without extensions (RFC 1035, section 4.2.1).
const UDP_BYTES: usize = 512;

/// A running name server.
#[derive(Debug)]
pub struct DnsServer {
    /// Must end before the port is reserved by another.
    thread: Option<(Background, ports::Close)>,
    port: Port,
    zone: Arc<Mutex<Zone>>,
}

/// A record, without its name and TTL.
#[derive(Clone, Debug)]
pub enum Record {
    /// An address of IPv4.
    A(Ipv4Addr),
    /// An address of IPv6.
    Aaaa(Ipv6Addr),
    /// The name for which this one is an alias.
    Cname(String),
    /// A place at which a service runs.
    Srv {
        /// The lowest one is used first.
        priority: u16,
        /// The share among records of the same priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The name of the host.
        target: String,
    },
}

/// How queries are answered.
#[derive(Clone, Copy, Debug, Default)]
pub enum Behaviour {
    /// With the records.
    #[default]
    Answer,
    /// With the records, after this time.
    Slow(Duration),
    /// With this response code: 2 is a server failure, 3 denies the name, 5 refuses.
    Code(u8),
    /// Not at all.
    Silent,
}

/// A query that the server received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name in lower case, without a trailing dot.
    pub name: String,
    /// The type: 1 is `A`, 28 is `AAAA`, 33 is `SRV`.
    pub kind: u16,
    /// Whether it came over TCP.
    pub over_tcp: bool,
}

#[derive(Debug, Default)]
struct Zone {
    /// The TTL in seconds and the records of each name.
    records: HashMap<String, (u32, Vec<Record>)>,
    behaviour: Behaviour,
    /// Instead, for these names.
    of_name: HashMap<String, Behaviour>,
    asked: Vec<Asked>,
}

impl DnsServer {
    /// Starts a name server without records.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start() -> Self {
        let (port, zone) = (ports::reserve(), Arc::default());
        let mut server = Self { thread: None, port, zone };
        server.resume();
        server
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Replaces the records of a name. `ttl` is in seconds.
    pub fn set(&self, name: &str, ttl: u32, records: impl IntoIterator<Item = Record>) {
        self.zone().records.insert(name.to_owned(), (ttl, records.into_iter().collect()));
    }

    /// Changes the answers to all queries.
    pub fn does(&self, behaviour: Behaviour) {
        self.zone().behaviour = behaviour;
    }

    /// Changes the answers to queries for one name.
    pub fn does_for(&self, name: &str, behaviour: Behaviour) {
        self.zone().of_name.insert(name.to_owned(), behaviour);
    }

    /// All queries so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.zone().asked.clone()
    }

    /// Closes the port: queries are refused by the kernel.
    pub fn stop(&mut self) {
        self.thread = None;
    }

    /// Opens the port again.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn resume(&mut self) {
        let (address, zone) = (self.address(), self.zone.clone());
        let udp = ports::bind(|| std::net::UdpSocket::bind(address));
        let tcp = ports::bind(|| std::net::TcpListener::bind(address));
        udp.set_nonblocking(true).expect("a socket can be made non-blocking");
        tcp.set_nonblocking(true).expect("a socket can be made non-blocking");
        let close = ports::Close::after(&tcp);
        self.thread = Some((Background::run(move || serve(udp, tcp, zone)), close));
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        lock(&self.zone)
    }
}

async fn serve(udp: std::net::UdpSocket, tcp: std::net::TcpListener, zone: Arc<Mutex<Zone>>) {
    let udp = Arc::new(UdpSocket::from_std(udp).expect("this runtime has a reactor"));
    let tcp = TcpListener::from_std(tcp).expect("this runtime has a reactor");
    let mut tasks = JoinSet::new();
    let mut query = vec![0; UDP_BYTES];
    loop {
        tokio::select! {
            Ok((length, from)) = udp.recv_from(&mut query) => {
                let (udp, zone, query) = (udp.clone(), zone.clone(), query[..length].to_vec());
                tasks.spawn(async move {
                    if let Some(answer) = answer(&zone, &query, false).await {
                        // The client may be gone.
                        udp.send_to(&answer, from).await.ok();
                    }
                });
            }
            Ok((stream, _)) = tcp.accept() => {
                tasks.spawn(serve_tcp(stream, zone.clone()));
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Answers queries with their length before them (RFC 1035, section 4.2.2), until the client leaves.
async fn serve_tcp(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        if let Some(answer) = answer(&zone, &query, true).await {
            let length = u16::try_from(answer.len()).expect("answers of tests are short");
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

async fn answer(zone: &Mutex<Zone>, query: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
    let question = Question::read(query)?;
    let behaviour = {
        let mut zone = lock(zone);
        zone.asked.push(Asked { name: question.name.clone(), kind: question.kind, over_tcp });
        zone.of_name.get(&question.name).copied().unwrap_or(zone.behaviour)
    };
    match behaviour {
        Behaviour::Answer => {}
        Behaviour::Slow(delay) => sleep(delay).await,
        Behaviour::Code(code) => return Some(question.answer(code, 0, &[])),
        Behaviour::Silent => return None,
    }
    let zone = lock(zone);
    let Some((ttl, records)) = zone.records.get(&question.name) else {
        return Some(question.answer(3, 0, &[]));
    };
    let answer = question.answer(0, *ttl, records);
    Some(if over_tcp || answer.len() <= UDP_BYTES { answer } else { question.truncated() })
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().expect("no test panics while it holds the zone")
}
