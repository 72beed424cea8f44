//! Makes system calls of a running program fail, or kill it, by `strace`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::plane::DEADLINE;
use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running `strace`. Dropped, it lets go of the programs, which go on as if nothing had been.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
}

impl Tracer {
    /// Has the system calls named first answered as said, for example `fsync:error=EIO`.
    ///
    /// # Panics
    ///
    /// When `strace` is not installed, or may not trace.
    pub async fn inject(pid: u32, inject: &str) -> Self {
        Self::attach(&[pid], inject, None).await
    }

    /// [`Tracer::inject`] for calls that touch one file alone.
    ///
    /// # Panics
    ///
    /// As of [`Tracer::inject`].
    pub async fn inject_at(pid: u32, inject: &str, file: &Path) -> Self {
        Self::attach(&[pid], inject, Some(file)).await
    }

    /// [`Tracer::inject`] for several programs.
    ///
    /// # Panics
    ///
    /// As of [`Tracer::inject`].
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
        // Killed outright it would leave threads stopped.
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).ok();
        self.child.wait().ok();
    }
}

fn every_thread_is_traced(pid: u32) -> bool {
    // One that has ended makes no system calls.
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}
