//! correlation-id: gives every request an id, by which its way through several programs can be followed.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use model::plugins::CorrelationId as Config;
use model::plugins::correlation_id::IdGenerator;
use uuid::Uuid;

use super::{Answer, Exchange, InstanceTerms, Phases, Plugin, Step, Unusable};
use crate::message::{FieldName, NamedHeader};
use crate::plugin::edits::is_reserved;

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct CorrelationId {
    name: FieldName,
    /// Where the id of a client is.
    sent: NamedHeader,
    generator: IdGenerator,
    echoes: bool,
}

/// The id of a request, for the answer and for the log.
#[derive(Clone, Debug)]
pub(super) struct CorrelationIdOfRequest(pub(super) HeaderValue);

impl Plugin for CorrelationId {
    type Config = Config;

    const PHASES: Phases = Phases::ACCESS.with(Phases::ANSWER);

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        let name = FieldName::new(&config.header_name).zip(NamedHeader::new(&config.header_name));
        let (name, sent) =
            name.ok_or(Unusable { field: "header_name", message: "not the name of a header".into() })?;
        let echoes = config.echo_downstream && !is_reserved(&config.header_name);
        Ok(Self { name, sent, generator: config.generator, echoes })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        self.identify(exchange);
        Step::GO_ON
    }

    /// A request without a route has no id yet.
    fn answer(&self, exchange: &mut Exchange<'_>, answer: &mut Answer) {
        if !self.echoes {
            return;
        }
        let known = exchange.kept::<CorrelationIdOfRequest>().map(|id| id.0.clone());
        let id = known.unwrap_or_else(|| self.identify(exchange));
        answer.fields.set(self.name.written(), id);
    }
}

impl CorrelationId {
    /// Takes the id that the client sent, or makes one and sends it to the upstream.
    fn identify(&self, exchange: &mut Exchange<'_>) -> HeaderValue {
        let sent = self.sent.first(exchange.headers()).filter(|id| !id.is_empty()).cloned();
        let id = sent.unwrap_or_else(|| {
            let id = made(self.generator, exchange.ends().server);
            let id = HeaderValue::try_from(id).expect("ids are of letters, digits, dots, colons and hyphens");
            exchange.set_header(&self.name, id.clone());
            id
        });
        exchange.keep(CorrelationIdOfRequest(id.clone()));
        id
    }
}

/// Makes an id.
fn made(generator: IdGenerator, server: SocketAddr) -> String {
    static PROCESS: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let next = || COUNTER.fetch_add(1, Ordering::Relaxed);
    match generator {
        IdGenerator::Uuid => Uuid::new_v4().to_string(),
        IdGenerator::Counter => format!("{}#{}", *PROCESS, next()),
        IdGenerator::Tracker => tracker(server, process::id(), next(), now()),
    }
}

/// An id of the form `{address}-{port}-{process}-{connection}-{request}-{seconds}`. The gateway does not number
/// connections: the number of the request is that of the process, and stands for both.
fn tracker(server: SocketAddr, process: u32, number: u64, now: Duration) -> String {
    let mut id = String::with_capacity(64);
    let address = server.ip().to_canonical();
    let (seconds, milliseconds) = (now.as_secs(), now.subsec_millis());
    let written = write!(id, "{address}-{}-{process}-{number}-1-{seconds}.{milliseconds:03}", server.port());
    written.expect("a string takes any text");
    id
}

/// The time since 1970. Nothing is decided by it, and the paused clock of tests has none.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_their_generator() {
        let server: SocketAddr = "[::ffff:192.0.2.1]:8000".parse().unwrap();
        let one = || made(IdGenerator::Uuid, server);
        assert!(Uuid::parse_str(&one()).is_ok_and(|id| id.get_version_num() == 4));
        assert_ne!(one(), one());
        let [first, second] = [(); 2].map(|()| made(IdGenerator::Counter, server));
        let [first, second] = [&first, &second].map(|id| id.split_once('#').unwrap());
        assert_eq!(first.0, second.0);
        assert!(second.1.parse::<u64>().unwrap() > first.1.parse().unwrap());
        let tracker = tracker(server, 12, 34, Duration::from_millis(1_700_000_000_007));
        assert_eq!(tracker, "192.0.2.1-8000-12-34-1-1700000000.007");
    }
}
