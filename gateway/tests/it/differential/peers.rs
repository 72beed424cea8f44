//! nginx and HAProxy as proxies, in the foreground, with minimal configurations.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use testkit::http::Client;
use testkit::plane::DEADLINE;
use testkit::ports::{self, Port};
use testkit::wait;

/// A running proxy. Ends when it is dropped.
pub(super) struct Peer {
    port: Port,
    child: Child,
    _folder: TempDir,
}

impl Peer {
    pub(super) fn nginx(origin: SocketAddr) -> Self {
        Self::start("nginx", |port, folder| {
            let folder = folder.display();
            format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
                 events {{}}
                 http {{
                   access_log off;
                   client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
                   uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
                   server {{
                     listen {port};
                     location / {{
                       proxy_pass http://{origin};
                       proxy_http_version 1.1;
                       proxy_set_header Connection '';
                       proxy_set_header Host $http_host;
                     }}
                   }}
                 }}"
            )
        })
    }

    pub(super) fn haproxy(origin: SocketAddr) -> Self {
        Self::start("haproxy", |port, _| {
            format!(
                "defaults
                   mode http
                   timeout connect 2s
                   timeout client 5s
                   timeout server 5s
                 frontend f
                   bind {port}
                   default_backend b
                 backend b
                   server o {origin}\n"
            )
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(super) async fn wait_ready(&self) {
        let client = Client::new(self.address());
        wait::eventually(DEADLINE, || client.get("/")).await;
    }

    fn start(program: &str, config: impl Fn(&Port, &Path) -> String) -> Self {
        let (port, folder) = (ports::reserve(), tempfile::tempdir().unwrap());
        let file = folder.path().join("config");
        std::fs::write(&file, config(&port, folder.path())).unwrap();
        let mut command = Command::new(program);
        match program {
            "nginx" => command.arg("-p").arg(folder.path()).arg("-c").arg(file),
            _ => command.arg("-db").arg("-f").arg(file),
        };
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let child = command.env("PATH", path).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}: {error}; .ci/install installs it"));
        Self { port, child, _folder: folder }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
