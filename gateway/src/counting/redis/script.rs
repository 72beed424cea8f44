//! What a server does with counters, each in one step and one round trip.

use std::sync::LazyLock;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, ServerErrorKind};
use smallvec::SmallVec;

use super::failure::RedisFailure;

/// The most numbers of an answer.
const MOST: usize = 4096;

/// A script, and the name by which a server that has it runs it.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    name: String,
}

/// Counts a request on all counters, if all limits have something left. Returns what counted before.
///
/// Keys: for each counter its key, and the key of the window before. Arguments: for each counter what the
/// request counts, the limit, the time until it is forgotten in milliseconds, and the part of the window before
/// that counts.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local usage, over, seen = {}, false, {}
for i = 1, #KEYS / 2 do
  local at = 4 * i
  local used = tonumber(redis.call('GET', KEYS[2 * i - 1]) or 0) or 0
  local left = tonumber(ARGV[at])
  if left > 0 then
    used = used + math.ceil((tonumber(redis.call('GET', KEYS[2 * i]) or 0) or 0) * left)
  end
  if tonumber(ARGV[at - 3]) > 0 and tonumber(ARGV[at - 2]) - used <= 0 then over = true end
  usage[i] = string.format('%.17g', used)
end
if not over then
  for i = 1, #KEYS / 2 do
    local key = KEYS[2 * i - 1]
    if not seen[key] then
      seen[key] = true
      redis.call('INCRBYFLOAT', key, ARGV[4 * i - 3])
      redis.call('PEXPIRE', key, ARGV[4 * i - 1])
    end
  end
end
return usage",
    )
});

/// Returns the counters. Keys: those of the counters.
pub(super) static LOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local usage = {}
for i = 1, #KEYS do
  usage[i] = string.format('%.17g', tonumber(redis.call('GET', KEYS[i]) or 0) or 0)
end
return usage",
    )
});

/// Adds to counters, whatever their limits. Returns what they are then; 0 for one that cannot be counted on.
///
/// Keys: those of the counters. Arguments: for each counter what is added, and the time until it is forgotten in
/// milliseconds.
pub(super) static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local totals = {}
for i = 1, #KEYS do
  local total = redis.pcall('INCRBYFLOAT', KEYS[i], ARGV[2 * i - 1])
  if type(total) == 'table' then
    totals[i] = '0'
  else
    redis.call('PEXPIRE', KEYS[i], ARGV[2 * i])
    totals[i] = total
  end
end
return totals",
    )
});

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let name = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, name }
    }

    /// Runs it by its name, and with its text on a server that does not have it.
    pub(super) async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        keys: &[Vec<u8>],
        arguments: &[String],
    ) -> Result<SmallVec<[f64; 8]>, RedisFailure> {
        let by_name: Result<Vec<String>, _> =
            command("EVALSHA", &self.name, keys, arguments).query_async(connection).await;
        let answer = match by_name {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", self.text, keys, arguments).query_async(connection).await
            }
            answer => answer,
        };
        numbers(&answer?).ok_or(RedisFailure::Broken)
    }
}

fn command(name: &str, script: &str, keys: &[Vec<u8>], arguments: &[String]) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(key.as_slice());
    }
    for argument in arguments {
        command.arg(argument);
    }
    command
}

fn numbers(texts: &[String]) -> Option<SmallVec<[f64; 8]>> {
    let number = |text: &String| text.parse::<f64>().ok().filter(|number| number.is_finite());
    if texts.len() > MOST { None } else { texts.iter().map(number).collect() }
}
