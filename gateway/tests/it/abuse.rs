//! Attacks by HTTP/2 clients: each consists of handmade frames, on several connections at a time, against the
//! program as a process. Its memory stays bounded, and other clients are served meanwhile.

mod frames;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use testkit::http::Client;
use testkit::origin::Answer;
use testkit::plane::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::upgrade::Stage;
use frames::{Flags, Frames, Kind};

const CONNECTIONS: usize = 8;
/// Open streams of one connection: the lowest limit that HTTP/2 recommends.
const STREAMS: u32 = 100;
/// The longest time of an attack. It ends earlier when all of its connections have ended.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How much the program may grow, with all connections of an attack.
const GROWTH_KB: u64 = 64 << 10;
/// How much of an unread response's body may be held: the bytes that Pingora has read and not yet written, in
/// pieces of 64 KiB.
const HELD_KB: u64 = 640;

/// One connection's part of an attack.
struct Attack {
    /// Sent after the preface, beginning with the settings.
    settings: Vec<u8>,
    /// Sent then, again and again; the argument is the number of the round.
    round: fn(u32) -> Vec<u8>,
    rounds: u32,
    /// Whether the answers are read.
    reads: bool,
    growth_kb: u64,
}

/// The fate of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The gateway has closed it.
    Ended,
    /// The gateway has read everything.
    Taken,
    /// The gateway reads no more for now.
    Stuck,
}

impl Attack {
    fn new(rounds: u32, round: fn(u32) -> Vec<u8>) -> Self {
        Self {
            settings: Frames::default().add(Kind::Settings, Flags::NONE, 0, &[]).bytes(),
            round,
            rounds,
            reads: true,
            growth_kb: GROWTH_KB,
        }
    }

    async fn run(&self, to: SocketAddr) -> Outcome {
        let (mut reader, mut writer) = TcpStream::connect(to).await.unwrap().into_split();
        let ended = async {
            let mut answers = vec![0; 64 << 10];
            if !self.reads {
                return std::future::pending().await;
            }
            while reader.read(&mut answers).await.is_ok_and(|read| read > 0) {}
            Outcome::Ended
        };
        let send = async {
            let begin = [frames::PREFACE, &self.settings].concat();
            let all = std::iter::once(begin).chain((0..self.rounds).map(self.round));
            for bytes in all {
                match timeout(Duration::from_secs(3), writer.write_all(&bytes)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Outcome::Ended,
                    Err(_) => return Outcome::Stuck,
                }
            }
            Outcome::Taken
        };
        tokio::select! { outcome = ended => outcome, outcome = send => outcome }
    }
}

/// Runs an attack; returns the fates of its connections.
async fn attack(stage: &Stage, attack: Attack) -> Vec<Outcome> {
    let before = memory_kb(stage, "VmRSS");
    let (to, attack) = (stage.proxy.address(), Arc::new(attack));
    let allowed = attack.growth_kb;
    let mut attackers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let attack = attack.clone();
        attackers.spawn(async move { attack.run(to).await });
    }
    let good = Client::new(to).with_deadline(DEADLINE);
    let all = async { attackers.join_all().await };
    let outcomes = timeout(TIMEOUT, async {
        let mut all = std::pin::pin!(all);
        loop {
            tokio::select! {
                outcomes = &mut all => return outcomes,
                served = good.get("/kept") => drop(served.unwrap().expect(200)),
            }
        }
    });
    let outcomes = outcomes.await.expect("an end");
    good.get("/kept").await.unwrap().expect(200);
    let grown = memory_kb(stage, "VmHWM").saturating_sub(before);
    assert!(grown < allowed, "{grown} kB: {outcomes:?}");
    outcomes
}

fn memory_kb(stage: &Stage, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.main_pid())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok()).unwrap()
}

/// The stream id of a round.
fn stream(round: u32) -> u32 {
    2 * round + 1
}

fn request(frames: Frames, stream: u32) -> Frames {
    frames.add(Kind::Headers, Flags::END_STREAM | Flags::END_HEADERS, stream, &frames::get("/kept"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_at_once() {
    let stage = Stage::start(&[]).await;
    let reset = |round| {
        let cancel = 8_u32.to_be_bytes();
        request(Frames::default(), stream(round))
            .add(Kind::Reset, Flags::NONE, stream(round), &cancel)
            .bytes()
    };
    let outcomes = attack(&stage, Attack::new(100_000, reset)).await;
    assert_eq!(outcomes, [Outcome::Ended; CONNECTIONS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_never_ends() {
    let stage = Stage::start(&[]).await;
    let more = |round| {
        let field = frames::literal("x-more", &"x".repeat(8000));
        match round {
            0 => Frames::default().add(Kind::Headers, Flags::END_STREAM, 1, &frames::get("/kept")).bytes(),
            _ => Frames::default().add(Kind::Continuation, Flags::NONE, 1, &field).bytes(),
        }
    };
    let outcomes = attack(&stage, Attack::new(100_000, more)).await;
    assert_eq!(outcomes, [Outcome::Ended; CONNECTIONS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_continuations_of_a_header() {
    let stage = Stage::start(&[]).await;
    let more = |round| match round {
        0 => Frames::default().add(Kind::Headers, Flags::END_STREAM, 1, &frames::get("/kept")).bytes(),
        _ => Frames::default().add(Kind::Continuation, Flags::NONE, 1, &[]).bytes(),
    };
    let outcomes = attack(&stage, Attack::new(100_000, more)).await;
    assert_eq!(outcomes, [Outcome::Ended; CONNECTIONS]);
}

/// A field of 4,000 bytes is put into the table, and each further use of it takes one byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_grows_when_it_is_unpacked() {
    let stage = Stage::start(&[]).await;
    let bomb = |round| {
        let stored = frames::indexed_literal("x-bomb", &"x".repeat(4000 * usize::from(round == 0)));
        let block = [frames::get("/kept"), stored, vec![0x80 | 62; 12_000]].concat();
        let flags = Flags::END_STREAM | Flags::END_HEADERS;
        Frames::default().add(Kind::Headers, flags, stream(round), &block).bytes()
    };
    attack(&stage, Attack::new(500, bomb)).await;
    assert_eq!(
        stage.origin.requests().iter().filter(|request| request.header("x-bomb").is_some()).count(),
        0
    );
}

/// Each frame asks for an answer, and the client reads none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_pings_whose_answers_nobody_reads() {
    let stage = Stage::start(&[]).await;
    let settings =
        |_| (0..100).fold(Frames::default(), |all, _| all.add(Kind::Settings, Flags::NONE, 0, &[])).bytes();
    let pings =
        |_| (0..100).fold(Frames::default(), |all, _| all.add(Kind::Ping, Flags::NONE, 0, &[0; 8])).bytes();
    for round in [settings, pings] {
        attack(&stage, Attack { reads: false, ..Attack::new(20_000, round) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_nothing() {
    let stage = Stage::start(&[]).await;
    let nothing = |round| match round {
        0 => {
            let post = frames::post("/kept");
            Frames::default().add(Kind::Headers, Flags::END_HEADERS, 1, &post).bytes()
        }
        _ => (0..100).fold(Frames::default(), |all, _| all.add(Kind::Data, Flags::NONE, 1, &[])).bytes(),
    };
    attack(&stage, Attack::new(2_000, nothing)).await;
}

/// Many responses of a megabyte on each connection, none of which may be sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes() {
    let stage = Stage::start(&[("proxy.body_timeout", "1s")]).await;
    stage.origin.answer(Answer::status(200).size(1 << 20));
    let no_window = [0, 4, 0, 0, 0, 0];
    let settings = Frames::default().add(Kind::Settings, Flags::NONE, 0, &no_window).bytes();
    let ask = |round| match round {
        0..STREAMS => request(Frames::default(), stream(round)).bytes(),
        // Until the gateway stops reading.
        _ => {
            std::thread::sleep(Duration::from_millis(1));
            Frames::default().add(Kind::Ping, Flags::NONE, 0, &[0; 8]).bytes()
        }
    };
    let growth_kb = GROWTH_KB + CONNECTIONS as u64 * u64::from(STREAMS) * HELD_KB;
    attack(&stage, Attack { settings, growth_kb, ..Attack::new(2_000, ask) }).await;
    let in_flight = || async {
        let metrics = Client::new(stage.status_address()).get("/metrics").await.unwrap();
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        if text.contains("\ngibbon_http_requests_in_flight 0\n") {
            Ok(())
        } else {
            Err("requests are in flight")
        }
    };
    testkit::wait::eventually(DEADLINE, in_flight).await;
}
