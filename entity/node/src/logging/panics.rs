//! Logs panics. The standard hook writes to the standard error stream itself: a thread that serves would wait
//! there for the reader of that stream.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing::{dispatcher, error};

/// Logs each panic of this process, with a backtrace where `RUST_BACKTRACE` asks for one.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    let text = format!("thread '{name}' panicked at {place}: {message}{backtrace}");
    if dispatcher::has_been_set() {
        error!("{text}");
    } else {
        super::print_line(&text);
    }
}
