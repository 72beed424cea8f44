//! Makes system calls of a running program fail, or kill it, by `strace`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::plane::DEADLINE;
use testkit::wait;

/// A running `strace`. Dropped, it lets go of the program, which goes on as if nothing had been.
pub(crate) struct Tracer {
    child: Child,
}

impl Tracer {
    /// Has the system calls named first answered as said, for example `fsync:error=EIO`.
    pub(crate) async fn inject(pid: u32, inject: &str) -> Self {
        Self::inject_at(pid, inject, None).await
    }

    /// The same for calls that touch one file alone.
    pub(crate) async fn inject_at(pid: u32, inject: &str, file: Option<&Path>) -> Self {
        let (calls, _) = inject.split_once(':').unwrap();
        let only = file.map(|file| format!("--trace-path={}", file.display()));
        let child = Command::new("strace")
            .args(["--quiet=all", "--follow-forks", "--attach", &pid.to_string()])
            .args(["--trace", calls, "--inject", inject, "--output", "/dev/null"])
            .args(only)
            .stdin(Stdio::null())
            .spawn()
            .expect("strace is installed (.ci/install does it)");
        let tracer = Self { child };
        wait::until(DEADLINE, "every thread is traced", || every_thread_is_traced(pid)).await;
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Killed outright it would leave threads stopped.
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).ok();
        self.child.wait().ok();
    }
}

fn every_thread_is_traced(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}
