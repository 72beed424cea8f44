//! A private PostgreSQL: its own folder, its own port on loopback, and no durability unless requested.
//!
//! [`shared`] is one server for all tests of a process, in which each test makes a [`Postgres::database`] of
//! its own. A test that stops, kills or restarts the server takes one for itself with [`Postgres::start`].
//!
//! Each server has a watchdog: a shell that waits for the end of the test process, stops the server and
//! removes its folder. Statics are never dropped, and a test process may be killed.

mod server;

use std::path::PathBuf;
use std::process::Child;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ports::{self, Port};

/// The timeout of a start or a stop.
const DEADLINE: Duration = Duration::from_secs(60);

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    port: Port,
    /// The server's user, if it differs from the tests' user.
    owner: Option<server::Owner>,
    folder: PathBuf,
    durable: bool,
    running: Option<Child>,
    watchdog: Child,
    databases: AtomicU32,
}

/// The server that the tests of this process share. The first call starts it.
///
/// # Panics
///
/// Those of [`Postgres::start`].
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

impl Postgres {
    /// Starts a server that loses data when the machine fails (`fsync=off`).
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        Self::make(false)
    }

    /// Starts a server that is durable, to measure what a write costs.
    ///
    /// # Panics
    ///
    /// Those of [`Postgres::start`].
    pub fn start_durable() -> Self {
        Self::make(true)
    }

    /// Makes a new, empty database and returns its URL.
    ///
    /// # Panics
    ///
    /// When the server does not run.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database of this name.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{}@{}/{database}", server::USER, self.port)
    }

    /// Runs SQL with `psql` and returns its output, unaligned and without headings.
    ///
    /// # Panics
    ///
    /// When the command fails: with the message of `psql`.
    pub fn execute(&self, database: &str, sql: &str) -> String {
        server::psql(&self.url(database), sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The port of the server, also while it does not run.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// The processes of the server.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn pids(&self) -> Vec<u32> {
        let server = self.running().id();
        std::iter::once(server).chain(server::children(server)).collect()
    }

    /// Stops the server as a machine that is shut down would.
    ///
    /// # Panics
    ///
    /// When it does not run, or does not stop.
    pub fn stop(&mut self) {
        self.end(Signal::SIGINT);
    }

    /// Kills the server: its next start recovers from the log.
    ///
    /// # Panics
    ///
    /// Those of [`Postgres::stop`].
    pub fn kill9(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// Ends the server as `pg_ctl -m immediate` does: it drops its connections and writes nothing more, and
    /// its next start recovers from the log.
    ///
    /// # Panics
    ///
    /// Those of [`Postgres::stop`].
    pub fn crash(&mut self) {
        self.end(Signal::SIGQUIT);
    }

    /// Starts the server again, on the same port and data.
    ///
    /// # Panics
    ///
    /// When it runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "PostgreSQL runs already");
        self.running = Some(server::start(&self.folder, self.owner, self.port.number(), self.durable));
    }

    /// Starts the server again if it has ended by itself, as a service manager does: a server whose recovery
    /// fails, too, ends.
    ///
    /// # Panics
    ///
    /// Those of [`Postgres::start_again`].
    pub fn revive(&mut self) {
        if self.running.as_mut().is_some_and(|server| matches!(server.try_wait(), Ok(Some(_)))) {
            self.running = None;
            self.start_again();
        }
    }

    /// Stops the server, or kills it, and starts it again.
    ///
    /// # Panics
    ///
    /// Those of [`Postgres::stop`] and [`Postgres::start_again`].
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Stops every process of the server (SIGSTOP): connections stay open, but nothing answers. Its children have
    /// left its process group for sessions of their own.
    ///
    /// # Panics
    ///
    /// When it does not run, or does not stop.
    pub fn freeze(&self) {
        server::stop_all(self.running());
    }

    /// Ends a [`Postgres::freeze`].
    ///
    /// # Panics
    ///
    /// Those of [`Postgres::freeze`].
    pub fn thaw(&self) {
        for pid in self.pids() {
            // A process that was killed meanwhile needs no signal.
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGCONT).ok();
        }
    }

    fn make(durable: bool) -> Self {
        let owner = server::owner();
        let folder = server::make_folder(owner);
        let watchdog = server::watch(&folder);
        server::initialize(&folder, owner);
        let port = ports::reserve();
        let running = Some(server::start(&folder, owner, port.number(), durable));
        Self { port, owner, folder, durable, running, watchdog, databases: AtomicU32::new(0) }
    }

    fn end(&mut self, signal: Signal) {
        let mut server = self.running.take().expect("PostgreSQL runs");
        send(&server, signal);
        server::wait_exit(&mut server, DEADLINE);
    }

    fn running(&self) -> &Child {
        self.running.as_ref().expect("PostgreSQL runs")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.running.take() {
            send(&server, Signal::SIGCONT);
            send(&server, Signal::SIGQUIT);
            server::wait_exit(&mut server, DEADLINE);
        }
        self.watchdog.kill().ok();
        self.watchdog.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn send(process: &Child, signal: Signal) {
    let pid = i32::try_from(process.id()).expect("a pid fits");
    // The caller waits for a process that has ended; nothing is lost.
    kill(Pid::from_raw(pid), signal).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    #[tokio::test]
    async fn databases_are_apart_and_survive_restarts() {
        let mut postgres = Postgres::start();
        let (first, second) = (postgres.database(), postgres.database());
        assert_ne!(first, second);
        postgres.execute("test_0", "CREATE TABLE a (b int); INSERT INTO a VALUES (7)");
        assert_eq!(postgres.execute("test_1", "SELECT count(*) FROM pg_tables WHERE tablename = 'a'"), "0");
        postgres.restart();
        postgres.kill9();
        postgres.start_again();
        assert_eq!(postgres.execute("test_0", "SELECT b FROM a"), "7");

        let (pid, folder) = (postgres.running.as_ref().unwrap().id(), postgres.folder.clone());
        let stopped = || postgres.pids().into_iter().filter(|pid| crate::pause::is_stopped(*pid)).count();
        postgres.freeze();
        assert!(stopped() > 3 && stopped() == postgres.pids().len());
        postgres.thaw();
        wait::until(DEADLINE, "the server and its children do not go on", || stopped() == 0).await;
        drop(postgres);
        assert!(!folder.exists() && !PathBuf::from(format!("/proc/{pid}")).exists());
    }
}
