//! Stops processes so that they neither answer nor end. A signal alone does so a little later: until then, a process
//! on another processor goes on.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

/// How long stopping may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Stops a process with all of its threads (SIGSTOP), and returns when none of them runs.
///
/// # Panics
///
/// When it goes on.
pub fn stop(pid: u32) {
    let end = Instant::now() + DEADLINE;
    // A process that has ended meanwhile needs no signal.
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGSTOP).ok();
    while !is_stopped(pid) {
        assert!(Instant::now() < end, "process {pid} is not stopped within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets a stopped process go on.
pub fn go_on(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGCONT).ok();
}

/// Whether each thread of a process is stopped, or has ended.
pub fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { return true };
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        state.is_none_or(|state| "TtZX".contains(state))
    })
}
