//! Measures 1,000,000 API keys on a data plane: the memory of each, the look-up of one, and how a changed one is
//! applied. Printed, not timed.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "figures are what this bench is run for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use benches::publisher::{Published, Publisher, published};
use benches::samples::{HEADING, Samples, number};
use benches::usage;
use gateway::cluster::Applier;
use gateway::live::Live;
use model::{Consumer, HashKey, KeyAuthCredential, KeyHasher};
use tokio::time::Instant;
use uuid::Uuid;
use wire::Mode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONSUMERS: usize = 100_000;
/// Credentials of one update: the updates do not count in the memory.
const PORTION: usize = 10_000;
const CHANGES: usize = 2000;
const LOOK_UPS: usize = 1_000_000;
/// Look-ups that are timed at once.
const AT_ONCE: usize = 100;
/// The step through the keys, so that no cache knows the next one.
const STEP: usize = 618_033;

fn main() {
    node::install_tls_provider();
    let credentials = number("GIBBON_BENCH_CREDENTIALS", 1_000_000);
    let key = HashKey::of_bytes(&rand::random());
    let hasher = KeyHasher::new(&key).unwrap();
    let live = Arc::new(Live::new());
    let mut applier = Applier::new(Arc::clone(&live), Arc::default());
    let mut publisher = Publisher::new();

    let begun = usage::memory(std::process::id());
    let consumers: Vec<_> = (0..CONSUMERS).map(consumer).chain([published(HashKey::ID, key)]).collect();
    applier.apply(&publisher.update(Mode::Snapshot, &consumers)).unwrap();
    drop(consumers);
    let before = usage::memory(std::process::id());
    println!("{:.0} bytes a consumer, of {CONSUMERS}", (before - begun) / CONSUMERS as f64);
    for portion in 0..credentials.div_ceil(PORTION) {
        let numbers = portion * PORTION..((portion + 1) * PORTION).min(credentials);
        let all: Vec<_> = numbers.map(|number| credential(&hasher, number, 0)).collect();
        applier.apply(&publisher.update(Mode::Delta, &all)).unwrap();
    }
    let all = usage::memory(std::process::id());
    let copy = publisher.clone();
    let of_publisher = usage::memory(std::process::id()) - all;
    drop(copy);
    println!(
        "{:.0} bytes a credential, of {credentials}",
        (all - before - of_publisher) / credentials as f64
    );

    let table = live.load().clone().unwrap();
    let directory = table.plugins().directory();
    let per_look_up =
        |each: &mut dyn FnMut(&[u8])| each_key(credentials, each).as_secs_f64() * 1e9 / LOOK_UPS as f64;
    let mut look_up = |key: &[u8]| assert!(directory.key_auth(black_box(key), || 0).is_some());
    let [first, later, again] = [(); 3].map(|()| per_look_up(&mut look_up));
    let hash = per_look_up(&mut |key| assert_ne!(hasher.hash(black_box(key)), [0; 32]));
    let quick = per_look_up(&mut |key| assert_ne!(hasher.quick(black_box(key)).seal, 0));
    println!(
        "nanoseconds a look-up at random: {first:.0} the first of a key, {later:.0} and {again:.0} later ones"
    );
    println!("nanoseconds a hash: {hash:.0}, and {quick:.0} the quick one");

    let mut times = Samples::default();
    for number in 0..CHANGES {
        let changed = credential(&hasher, number * STEP % credentials, 2_000_000_000);
        let update = publisher.update(Mode::Delta, &[changed]);
        let begun = Instant::now();
        assert!(applier.apply(black_box(&update)).is_ok());
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    println!("one changed credential, {CHANGES} times, in microseconds\n{HEADING}\n{times}");
}

/// Hands keys at random to `each`, and returns how long that takes. The texts are made some at a time, and not timed:
/// a request has just been read when its key is looked up.
fn each_key(credentials: usize, each: &mut dyn FnMut(&[u8])) -> Duration {
    let mut taken = Duration::ZERO;
    for portion in 0..LOOK_UPS / AT_ONCE {
        let numbers = portion * AT_ONCE..(portion + 1) * AT_ONCE;
        let keys: Vec<_> = numbers.map(|number| text(number * STEP % credentials)).collect();
        let begun = Instant::now();
        keys.iter().for_each(|key| each(key.as_bytes()));
        taken += begun.elapsed();
    }
    taken
}

fn text(number: usize) -> String {
    format!("key-of-a-consumer-{number:08}")
}

/// The id number `number` of a kind: spread as random ones are.
fn id(kind: u128, number: usize) -> Uuid {
    let number = kind << 64 | number as u128;
    uuid::Builder::from_random_bytes(
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_le_bytes(),
    )
    .into_uuid()
}

fn consumer(number: usize) -> Published {
    let username = Some(format!("consumer-{number:06}"));
    published(id(1, number), Consumer { username, ..Consumer::default() })
}

fn credential(hasher: &KeyHasher, number: usize, expires_at: i64) -> Published {
    let credential = KeyAuthCredential {
        consumer: id(1, number % CONSUMERS),
        expires_at: Some(expires_at).filter(|end| *end > 0),
        ..KeyAuthCredential::of_key(hasher, text(number).as_bytes())
    };
    published(id(2, number), credential)
}
