//! The two commands as a new user runs them.

use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::http::Response;
use testkit::wait;

use crate::installation::{DEADLINE, Installation, Running};

#[tokio::test]
async fn the_story_by_hand_and_again_after_ctrl_c() {
    let installation = Installation::new();
    let mut running = installation.run().await;
    for line in commands(&running) {
        // The printed text is for a terminal: each command must work as it stands.
        let output = Command::new("sh").args(["-c", &line]).output().expect("sh can be run");
        assert!(output.status.success(), "{line}");
        if line.contains(&installation.proxy.number().to_string()) {
            served(&installation).await;
        } else {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.starts_with("HTTP/1.1 20"), "{line}: {text}");
        }
    }
    let status = installation.admin_client().get("/clustering/status").await.unwrap();
    assert_node(&status);
    ends_well(&installation, &mut running, Signal::SIGINT).await;

    let mut running = installation.run().await;
    served(&installation).await;
    ends_well(&installation, &mut running, Signal::SIGTERM).await;
}

#[tokio::test]
async fn a_port_in_use_is_named_before_anything_is_started() {
    let installation = Installation::new();
    let _taken = TcpListener::bind(installation.proxy.address()).unwrap();
    let mut running = installation.start();
    assert_eq!(running.wait_exit().await.code(), Some(1));
    let output = running.output();
    let port = installation.proxy.number().to_string();
    assert!(output.contains(&port) && output.contains("RUN_PROXY_PORT"), "{output}");
    assert!(!installation.data().exists());
}

#[tokio::test]
async fn when_the_control_plane_is_killed_traffic_goes_on_and_it_can_be_started_again() {
    let installation = Installation::new();
    let mut running = installation.run().await;
    for line in &commands(&running)[..2] {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{line}");
    }
    served(&installation).await;
    kill(pid_of(&installation, "gibbon-control run"), Signal::SIGKILL).unwrap();
    let again = wait::eventually(DEADLINE, || {
        let output = running.output();
        let told = output.contains("control has ended, the others go on");
        let line = output.lines().map(str::trim).find(|line| line.starts_with("env ") && told);
        std::future::ready(line.map(str::to_owned).ok_or(output))
    })
    .await;
    served(&installation).await;

    let mut control = Command::new("sh").args(["-c", &format!("exec {again}")]).spawn().unwrap();
    let admin = installation.admin_client();
    wait::eventually(DEADLINE, || async {
        admin.get("/services/test").await.map(|answer| answer.expect(200))
    })
    .await;
    control.kill().unwrap();
    control.wait().unwrap();
    ends_well(&installation, &mut running, Signal::SIGINT).await;
}

/// The lines of the printed text that are commands.
fn commands(running: &Running) -> Vec<String> {
    let output = running.output();
    let lines = output.lines().map(str::trim).filter(|line| line.starts_with("curl "));
    let commands: Vec<_> = lines.map(|line| line.replace("curl -i", "curl -si")).collect();
    assert_eq!(commands.len(), 5, "{output}");
    commands
}

async fn served(installation: &Installation) {
    let client = installation.proxy_client();
    wait::eventually(DEADLINE, || async {
        let response = client.get("/get").await.map_err(|error| format!("{error:#}"))?;
        if response.status == 200 { Ok(()) } else { Err(format!("{} {}", response.status, response.text())) }
    })
    .await;
}

fn assert_node(status: &Response) {
    let nodes: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    let nodes = nodes.as_object().unwrap();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    let node = nodes.values().next().unwrap();
    let hash = node["config_hash"].as_str().unwrap();
    assert!(hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    assert!(node["last_seen"].as_i64().unwrap() > 0);
}

async fn ends_well(installation: &Installation, running: &mut Running, signal: Signal) {
    running.signal(signal);
    let status = running.wait_exit().await;
    let output = running.output();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(!output.contains("killing it"), "{output}");
    assert_eq!(installation.processes(), Vec::<String>::new());
}

fn pid_of(installation: &Installation, command: &str) -> Pid {
    let processes = installation.processes();
    let line = processes.iter().find(|line| line.contains(command)).expect("the program is running");
    let pid = line.trim_start_matches("/proc/").split(' ').next().unwrap();
    Pid::from_raw(pid.parse().unwrap())
}
