//! Signals amid requests, and before there are any.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::Signal;
use testkit::http::Client;
use testkit::wait;

use crate::program::{Node, Running, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn signals_without_a_meaning_end_nothing() {
    let node = Node::new();
    let running = Running(node.command("run").spawn().unwrap());
    let (status, proxy) = (Client::new(node.status.address()), Client::new(node.proxy.address()));
    wait::eventually(SOON, || status.get("/status")).await;
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGPIPE, Signal::SIGWINCH] {
        running.signal(signal);
        // A request after the signal is answered after the signal was handled, or the signal would have ended
        // the program.
        for _ in 0..20 {
            proxy.get("/").await.unwrap().expect(503);
        }
    }
    ends_well(running).await;
}

/// As a program that rotates logs does it: rename, then a signal.
#[tokio::test(flavor = "multi_thread")]
async fn signal_opens_the_access_log_again() {
    for signal in [Signal::SIGUSR1, Signal::SIGHUP] {
        let (node, folder) = (Node::new(), tempfile::tempdir().unwrap());
        let [path, old] = ["access", "access.1"].map(|name| folder.path().join(name));
        let running = Running(node.command("run").env("GIBBON_ACCESS_LOG__PATH", &path).spawn().unwrap());
        let (status, proxy) = (Client::new(node.status.address()), Client::new(node.proxy.address()));
        wait::eventually(SOON, || status.get("/status")).await;
        let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
        proxy.get("/before").await.unwrap().expect(503);
        wait::until(SOON, "the first line is written", || text(&path).contains("/before")).await;
        std::fs::rename(&path, &old).unwrap();
        running.signal(signal);
        let again = async {
            while !path.exists() {
                proxy.get("/after").await.unwrap().expect(503);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, again).await.unwrap();
        assert!(text(&old).contains("/before"));
        ends_well(running).await;
        // The last lines are written before the end.
        assert!(text(&path).ends_with("}\n") && text(&path).contains("/after"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_stop_in_the_first_moments_ends_it_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        for _ in 0..5 {
            let node = Node::new();
            let mut running = Running(node.command("run").spawn().unwrap());
            handles_signals(&running.0).await;
            running.signal(signal);
            assert_eq!(running.exit_code().await, Some(0), "{signal}");
        }
    }
}

/// A step that may take long: a predecessor that does not release the state folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_stop_ends_a_start_that_waits() {
    let node = Node::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = node.command("run");
    command.env("LISTEN_FDS", "1").env("LISTEN_PREDECESSOR", std::process::id().to_string());
    let theirs = FdMapping { parent_fd: OwnedFd::from(theirs), child_fd: 3 };
    let mut running = Running(command.fd_mappings(vec![theirs]).unwrap().spawn().unwrap());
    drop(command);
    let (ours, asked) = tokio::task::spawn_blocking(move || {
        let mut asked = [0];
        std::io::Read::read_exact(&mut &ours, &mut asked).unwrap();
        (ours, asked)
    })
    .await
    .unwrap();
    assert_eq!(asked, *b"P");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.exit_code().await, Some(0));
    drop(ours);
}

async fn ends_well(mut running: Running) {
    running.signal(Signal::SIGTERM);
    assert_eq!(running.exit_code().await, Some(0));
}

/// Waits until the process has a handler for each stop signal. Before that it is not yet this program.
async fn handles_signals(process: &Child) {
    let status = format!("/proc/{}/status", process.id());
    let wanted = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT]
        .iter()
        .fold(0_u64, |mask, signal| mask | 1 << (*signal as i32 - 1));
    wait::until(SOON, "handlers are set", || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        caught & wanted == wanted
    })
    .await;
}
