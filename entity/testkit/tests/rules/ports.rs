//! Tests, benches and load tests use free ports. Two runs on one machine, or a program that already runs
//! there, do not disturb each other.

use std::fs;

use crate::source::{Source, below};
use crate::{assert_none, root};

/// Files whose addresses are never bound: they test configuration, or belong to a deployment.
const NOT_BOUND: &[(&str, &str)] = &[
    ("control/tests/it/program.rs", "`check` prints the defaults, and a refused key is not bound"),
    ("control/tests/it/access/browser.rs", "origins and hosts of requests, and a refused key"),
    ("gateway/tests/it/program.rs", "`check` refuses it"),
    ("gateway/tests/it/upstream_policy.rs", "addresses of a configuration that is only parsed"),
    ("entity/testkit/tests/deployed/prometheus.rs", "those of the sample are replaced"),
    ("entity/testkit/tests/rules/ports.rs", "examples of breaches"),
];

const TESTS: [&str; 7] = [
    "benches",
    "control/tests",
    "entity/node/tests",
    "entity/testkit",
    "entity/tests",
    "entity/wire/tests",
    "gateway/tests",
];

/// Scripts that tests run. `deploy/run-local.sh` has defaults, for people.
const SCRIPTS: [&str; 4] = [".ci", "Makefile", "deploy", "load-tests"];

#[test]
fn tests_and_benches_take_free_ports() {
    let folders = TESTS.iter().filter(|folder| root().join(folder).is_dir());
    let sources = folders.flat_map(|folder| below(folder));
    let sources = sources.filter(|source| !NOT_BOUND.iter().any(|(path, _)| source.path == *path));
    let breaches: Vec<_> = sources.flat_map(|source| fixed_ports(&source)).collect();
    assert_none("ports are reserved (testkit::ports), or chosen by the kernel (port 0)", &breaches);
    for (path, _) in NOT_BOUND {
        assert!(root().join(path).is_file(), "there is no {path}: the exception is no longer needed");
    }
}

#[test]
fn scripts_take_free_ports() {
    let mut breaches = Vec::new();
    for path in SCRIPTS.iter().flat_map(|path| scripts(path)) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let lines = text.lines().enumerate().filter(|(_, line)| has_fixed_port(line));
        breaches.extend(lines.map(|(i, line)| format!("{path}:{}: {}", i + 1, line.trim())));
    }
    assert_none("scripts reserve ports, or take them as variables with a default", &breaches);
}

#[test]
fn fixed_port_would_be_found() {
    let found = |text: &str| fixed_ports(&Source::parse("a.rs", text)).len();
    assert_eq!(found(r#"TcpListener::bind("127.0.0.1:8001")"#), 1);
    assert_eq!(found(r#"client("http://localhost:8001/a")"#), 1);
    assert_eq!(found("bind((Ipv4Addr::LOCALHOST, 8001))"), 1);
    assert_eq!(found("SocketAddr::from(([127, 0, 0, 1], 8001))"), 1);
    assert_eq!(
        found(r#"bind("127.0.0.1:0"); bind((Ipv4Addr::LOCALHOST, 0)); from(([127, 0, 0, 1], port))"#),
        0
    );
    assert_eq!(found(r#"format!("http://127.0.0.1:{port}"); "the host 127.0.0.1: 8001 are there""#), 0);

    assert!(has_fixed_port("export RUN_ADMIN_PORT=18001"));
    assert!(has_fixed_port("curl http://127.0.0.1:8001/routes"));
    assert!(!has_fixed_port("admin_port=${RUN_ADMIN_PORT:-8001}"));
    assert!(!has_fixed_port("const ADMIN = __ENV.ADMIN || 'http://127.0.0.1:8001';"));
    assert!(!has_fixed_port("# such as 127.0.0.1:8001"));
    assert!(!has_fixed_port("curl http://127.0.0.1:$RUN_ADMIN_PORT/routes"));
}

fn fixed_ports(source: &Source) -> Vec<String> {
    let fixed = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text != "0" && !text.is_empty();
    let after_a_host = |first: &str, second: &str, third: &str| match (first, second) {
        ("LOCALHOST" | "UNSPECIFIED" | "]", ",") => fixed(third) && third.len() > 3,
        _ => false,
    };
    [source.literals(names_a_port), source.triples(after_a_host)].concat()
}

/// Whether the text has an address of this machine with a port other than 0.
fn names_a_port(text: &str) -> bool {
    const HOSTS: [&str; 5] = ["127.0.0.1:", "localhost:", "0.0.0.0:", "[::1]:", "[::]:"];
    HOSTS.iter().any(|host| {
        text.match_indices(host)
            .any(|(at, _)| text[at + host.len()..].starts_with(|c: char| matches!(c, '1'..='9')))
    })
}

fn has_fixed_port(line: &str) -> bool {
    let code = line.trim_start();
    let comment = code.starts_with('#') || code.starts_with("//");
    let default = code.contains(":-") || code.contains("__ENV.");
    let set = code.split_whitespace().filter_map(|word| word.split_once("PORT=")).any(|(_, value)| {
        value.trim_start_matches(['"', '\'']).starts_with(|c: char| matches!(c, '1'..='9'))
    });
    !comment && !default && (set || names_a_port(code))
}

/// Lists the shell, JavaScript and Python files below a folder, or the file itself.
fn scripts(path: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root().join(path)) else { return vec![path.to_owned()] };
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let scripts = names.filter(|name| {
        !name.contains('.') || [".sh", ".js", ".py"].iter().any(|ending| name.ends_with(ending))
    });
    let paths = scripts.map(|name| format!("{path}/{name}"));
    paths.filter(|path| root().join(path).is_file()).collect()
}
