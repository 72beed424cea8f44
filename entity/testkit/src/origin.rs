//! An HTTP/1.1 origin that answers as scripted and records the requests that it received.
//!
//! It runs on a thread and runtime of its own, so that a test may block, and ends on drop. Without a script
//! it answers 200 with the request as JSON: `{"method", "target", "headers": {name: value}, "body"}`, the
//! names in lower case.

mod answer;
mod serve;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use crate::background::Background;
use crate::ports::{self, Port};

pub use answer::Answer;

/// A running origin.
#[derive(Debug)]
pub struct Origin {
    /// Must end before the port is reserved by another.
    thread: Option<(Background, ports::Close)>,
    port: Arc<Port>,
    shared: Arc<OriginState>,
}

/// A request that the origin received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The number of the connection, from 0.
    pub connection: usize,
    /// When the last byte of the request arrived.
    pub at: Instant,
    /// The method as it was sent.
    pub method: String,
    /// The target as it was sent.
    pub target: String,
    /// The header fields, in their order and spelling.
    pub headers: Vec<(String, String)>,
    /// The body without the transfer coding.
    pub body: Vec<u8>,
}

impl Origin {
    /// Starts an origin.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start() -> Self {
        let port = Arc::new(ports::reserve());
        let shared = Arc::new(OriginState::default());
        let thread = Some(spawn(port.address(), shared.clone()));
        Self { thread, port, shared }
    }

    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of the listener, as `http://127.0.0.1:20000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.port)
    }

    /// Sets the answer to all further requests.
    pub fn answer(&self, answer: Answer) {
        self.answer_with(move |_| answer.clone());
    }

    /// Sets a function that answers all further requests.
    pub fn answer_with(&self, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        self.shared.script().always = Arc::new(script);
    }

    /// Sets the answer to one request, after those already scripted. Further requests are answered as before.
    pub fn answer_once(&self, answer: Answer) {
        self.shared.script().once.push_back(answer);
    }

    /// All requests so far, in the order in which they were complete.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests().clone()
    }

    /// The last request.
    ///
    /// # Panics
    ///
    /// When there was none.
    pub fn last(&self) -> Received {
        self.shared.requests().last().cloned().expect("the origin has received a request")
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.shared.requests().len()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests().clear();
    }

    /// Stops listening and resets all connections; the kernel refuses further ones.
    pub fn stop(&mut self) {
        drop(self.thread.take());
    }

    /// Listens again, at the same address.
    pub fn restart(&mut self) {
        self.stop();
        self.thread = Some(spawn(self.port.address(), self.shared.clone()));
    }
}

impl Received {
    /// The first header field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All header fields of this name, in any case.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// The state that the handle and the thread share.
#[derive(Debug, Default)]
struct OriginState {
    script: Mutex<Script>,
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
}

struct Script {
    once: VecDeque<Answer>,
    always: Arc<dyn Fn(&Received) -> Answer + Send + Sync>,
}

impl OriginState {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("nothing panics while the script is held")
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Received>> {
        self.requests.lock().expect("nothing panics while the requests are held")
    }

    /// Records a request and returns its answer.
    fn receive(&self, received: Received) -> Answer {
        let mut script = self.script();
        let once = script.once.pop_front();
        let always = script.always.clone();
        drop(script);
        let answer = once.unwrap_or_else(|| always(&received)).for_request(&received);
        self.requests().push(received);
        answer
    }
}

impl Default for Script {
    fn default() -> Self {
        Self { once: VecDeque::new(), always: Arc::new(|_| Answer::echo()) }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("once", &self.once).finish_non_exhaustive()
    }
}

fn spawn(address: SocketAddr, shared: Arc<OriginState>) -> (Background, ports::Close) {
    // Bound here, so that a client may connect as soon as this returns.
    let listener = ports::bind(|| std::net::TcpListener::bind(address));
    let close = ports::Close::after(&listener);
    (Background::run(move || serve::listen(listener, shared)), close)
}

#[cfg(test)]
mod tests;
