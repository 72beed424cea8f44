//! A private redis: a real server on loopback that can be killed, started again and made silent.

use std::fmt::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::certs::Pair;
use crate::pause;
use crate::ports::{self, Port};

/// The longest time until it answers.
const SOON: Duration = Duration::from_secs(20);

/// A server without persistence. Dropping it kills it.
#[derive(Debug)]
pub struct Redis {
    port: Port,
    settings: String,
    password: Option<&'static str>,
    is_tls: bool,
    server: Option<Child>,
    folder: TempDir,
}

impl Redis {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed, or does not answer.
    pub fn start() -> Self {
        Self::begin("", None)
    }

    /// Starts one that demands this password.
    ///
    /// # Panics
    ///
    /// As [`Redis::start`] does.
    pub fn with_password(password: &'static str) -> Self {
        Self::begin(&format!("requirepass {password}\n"), Some(password))
    }

    /// Starts one that speaks TLS alone, with this certificate.
    ///
    /// # Panics
    ///
    /// As [`Redis::start`] does.
    pub fn with_tls(pair: &Pair) -> Self {
        let (cert, key) = (pair.cert.display(), pair.key.display());
        let tls = format!("tls-cert-file {cert}\ntls-key-file {key}\ntls-auth-clients no\n");
        Self::begin(&tls, None)
    }

    fn begin(more: &str, password: Option<&'static str>) -> Self {
        let (port, folder) = (ports::reserve(), tempfile::tempdir().expect("a folder can be made"));
        let mut settings = String::from("bind 127.0.0.1\nsave \"\"\nappendonly no\ndaemonize no\n");
        let is_tls = more.contains("tls-cert-file");
        let own = if is_tls { "port 0\ntls-port" } else { "port" };
        write!(settings, "{own} {}\ndir {}\n{more}", port.number(), folder.path().display())
            .expect("a string takes everything");
        let mut redis = Self { port, settings, password, is_tls, server: None, folder };
        redis.start_again();
        redis
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Starts it again after [`Redis::kill`], without any data.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn start_again(&mut self) {
        let file = self.folder.path().join("redis.conf");
        std::fs::write(&file, &self.settings).expect("the settings can be written");
        let mut command = Command::new("redis-server");
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.server =
            Some(command.spawn().expect("redis-server is installed (apt-get install redis-server)"));
        let end = Instant::now() + SOON;
        while self.run(&["PING"]).trim() != "PONG" {
            assert!(Instant::now() < end, "redis does not answer on {}", self.port);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it. Its data is lost.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().ok();
            server.wait().ok();
        }
    }

    /// Lets it accept connections and do nothing else.
    pub fn stall(&self) {
        self.server.iter().for_each(|server| pause::stop(server.id()));
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.server.iter().for_each(|server| pause::go_on(server.id()));
    }

    /// Runs a command by its own client, and returns what that prints.
    ///
    /// # Panics
    ///
    /// When `redis-cli` is not installed.
    pub fn run(&self, command: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.args(["-h", "127.0.0.1", "-p", &self.port.number().to_string()]);
        if self.is_tls {
            client.args(["--tls", "--insecure"]);
        }
        if let Some(password) = self.password {
            client.env("REDISCLI_AUTH", password);
        }
        let output = client.args(command).output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
