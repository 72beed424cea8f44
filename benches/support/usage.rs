//! The resource usage of another process.

use std::fs;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Processor time of all threads of the process, in microseconds: user and system, from the scheduler's own
/// clock.
///
/// # Panics
/// When there is no such process.
pub fn cpu_us(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let ran = |task: fs::DirEntry| -> Option<f64> {
        // A thread that has just ended has no such file.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    tasks.flatten().filter_map(ran).sum::<f64>() / 1e3
}

/// Pins all threads of a process, and those that they start, to one processor.
///
/// # Panics
/// When there is no such process, or no such processor.
pub fn pin(pid: u32, processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).expect("a processor's number");
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs").flatten() {
        let thread = task.file_name().to_string_lossy().parse().expect("threads have numbers");
        // A thread that has just ended needs none.
        sched_setaffinity(Pid::from_raw(thread), &set).ok();
    }
}

/// The most memory in bytes that was resident at once since the last call, shared pages included.
///
/// # Panics
/// When there is no such process.
pub fn peak_memory(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak can be reset");
    kilobytes(&text, "VmHWM:")
}

/// Memory in bytes; each process counts its share of shared pages (PSS).
///
/// # Panics
/// When there is no such process.
pub fn memory(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
    kilobytes(&text, "Pss:")
}

fn kilobytes(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number of kB") * 1024.0
}
