//! A name server whose records the test changes at any time.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use testkit::unreachable::UdpServer;

const A: u16 = 1;
const SRV: u16 = 33;

/// The server. Ends when it is dropped.
pub(super) struct NameServer {
    server: UdpServer,
    zone: Arc<Mutex<Zone>>,
}

/// What the server knows. It denies every other name.
#[derive(Debug, Default)]
struct Zone {
    is_silent: bool,
    addresses: HashMap<String, Vec<Ipv4Addr>>,
    services: HashMap<String, Vec<Service>>,
}

/// An `SRV` record.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) name: &'static str,
}

impl NameServer {
    pub(super) fn start() -> Self {
        let zone = Arc::new(Mutex::new(Zone::default()));
        let known = zone.clone();
        Self { server: UdpServer::start(move |query| known.lock().unwrap().answer(query)), zone }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// How many questions there were.
    pub(super) fn questions(&self) -> usize {
        self.server.count()
    }

    /// Sets the addresses of a name.
    pub(super) fn set(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.zone.lock().unwrap().addresses.insert(name.to_owned(), addresses.to_vec());
    }

    /// Denies a name from now on.
    pub(super) fn deny(&self, name: &str) {
        self.zone.lock().unwrap().addresses.remove(name);
    }

    /// Sets the services of a name.
    pub(super) fn set_services(&self, name: &str, services: &[Service]) {
        self.zone.lock().unwrap().services.insert(name.to_owned(), services.to_vec());
    }

    /// Answers nothing, or everything again.
    pub(super) fn be_silent(&self, is_silent: bool) {
        self.zone.lock().unwrap().is_silent = is_silent;
    }
}

impl Zone {
    /// An answer whose records are valid for 0 seconds (RFC 1035, section 4.1).
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        if self.is_silent {
            return None;
        }
        let (name, end) = read_name(query)?;
        let question = query.get(12..end + 4)?;
        let kind = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
        let records: Vec<Vec<u8>> = match kind {
            A => self.addresses.get(&name).into_iter().flatten().map(|of| of.octets().to_vec()).collect(),
            SRV => self.services.get(&name).into_iter().flatten().map(Service::data).collect(),
            _ => Vec::new(),
        };
        let is_known = self.addresses.contains_key(&name) || self.services.contains_key(&name);
        let code = if is_known { 0x80 } else { 0x83 };
        let head = [&query[..2], &[0x81, code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0], question];
        let mut answer = head.concat();
        for data in records {
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0]);
            answer.extend((data.len() as u16).to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

impl Service {
    /// Priority, weight, port and name (RFC 2782).
    fn data(&self) -> Vec<u8> {
        let mut data = vec![0, 1];
        data.extend(self.weight.to_be_bytes());
        data.extend(self.port.to_be_bytes());
        for label in self.name.split('.') {
            data.push(label.len() as u8);
            data.extend(label.as_bytes());
        }
        data.push(0);
        data
    }
}

/// The name of the question in lower case, and where it ends.
fn read_name(query: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}
