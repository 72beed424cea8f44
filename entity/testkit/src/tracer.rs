//! Makes system calls of a running program fail, or kill it, with `strace`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::plane::DEADLINE;
use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The time that `strace` has to let go of its programs.
const ENDS_IN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// A running `strace`. Dropping it detaches from the programs, which continue undisturbed.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
}

impl Tracer {
    /// Makes the named system calls behave as specified, for example `fsync:error=EIO`.
    ///
    /// # Panics
    ///
    /// When `strace` is not installed, or may not trace.
    pub async fn inject(pid: u32, inject: &str) -> Self {
        Self::attach(&[pid], inject, None).await
    }

    /// Calls [`Tracer::inject`] for system calls on one file alone.
    ///
    /// # Panics
    ///
    /// Those of [`Tracer::inject`].
    pub async fn inject_at(pid: u32, inject: &str, file: &Path) -> Self {
        Self::attach(&[pid], inject, Some(file)).await
    }

    /// Calls [`Tracer::inject`] for several programs.
    ///
    /// # Panics
    ///
    /// Those of [`Tracer::inject`].
    pub async fn inject_all(pids: &[u32], inject: &str) -> Self {
        Self::attach(pids, inject, None).await
    }

    async fn attach(pids: &[u32], inject: &str, file: Option<&Path>) -> Self {
        let (calls, _) = inject.split_once(':').expect("a system call and what it answers");
        let mut command = Command::new("strace");
        command.args(["--quiet=all", "--follow-forks", "--trace", calls, "--inject", inject]);
        command.args(["--output", "/dev/null"]);
        command.args(file.map(|file| format!("--trace-path={}", file.display())));
        pids.iter().for_each(|pid| {
            command.args(["--attach", &pid.to_string()]);
        });
        let child = command.stdin(Stdio::null()).spawn().expect("strace is installed (.ci/install does it)");
        let tracer = Self { child };
        let traced = || pids.iter().all(|pid| every_thread_is_traced(*pid));
        wait::until(DEADLINE, "every thread is traced", traced).await;
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Killed at once it would leave threads stopped. One whose program has ended amid a delay does not end
        // by itself.
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).ok();
        for _ in 0..ENDS_IN.as_millis() / PAUSE.as_millis() {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn every_thread_is_traced(pid: u32) -> bool {
    // A program that has ended makes no system calls.
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}
