//! What the parts of a program may know of each other, read from their sources.

use crate::assert_none;
use crate::source::{Source, below, is_test, module};

/// Modules that must not name paths into these crates and modules.
struct Layer {
    rule: &'static str,
    modules: &'static [&'static str],
    never: &'static [&'static str],
}

const PURE: Layer = Layer {
    rule: "matching, the holder of the table, the session and the apply path know no proxy",
    modules: &[
        "gateway/src/route",
        "gateway/src/live",
        "gateway/src/cluster/session",
        "gateway/src/cluster/apply",
    ],
    never: &["pingora", "pingora_core", "pingora_http", "pingora_proxy"],
};

const REQUEST_PATH: Layer = Layer {
    rule: "a request waits for nothing of the cluster, and does not touch the disk",
    modules: &[
        "gateway/src/proxy",
        "gateway/src/context",
        "gateway/src/limit",
        "gateway/src/listener",
        "gateway/src/live",
        "gateway/src/request",
        "gateway/src/respond",
        "gateway/src/route",
        "gateway/src/upstream",
        "gateway/src/error",
    ],
    never: &["cluster", "fs", "File", "OpenOptions"],
};

const CONFIGURATION_WITHOUT_LOCKS: Layer = Layer {
    rule: "a request takes no lock on the configuration",
    modules: &["gateway/src/proxy", "gateway/src/context", "gateway/src/live", "gateway/src/route"],
    never: &["Mutex", "RwLock"],
};

const STORE: Layer = Layer {
    rule: "the store knows no HTTP",
    modules: &["control/src/store"],
    never: &["axum", "http", "hyper", "StatusCode", "admin"],
};

const ADMIN: Layer = Layer {
    rule: "the Admin API writes no SQL",
    modules: &["control/src/admin"],
    never: &["sea_orm", "sea_query", "sqlx", "migration"],
};

const WIRE: Layer = Layer {
    rule: "the published form has no clock and opens nothing",
    modules: &["entity/wire/src"],
    never: &["Instant", "SystemTime", "fs", "TcpStream", "TcpListener", "UdpSocket", "thread", "env"],
};

impl Layer {
    fn breaches(&self, sources: &[Source]) -> Vec<String> {
        sources.iter().flat_map(|source| self.never.iter().flat_map(|name| source.names(name))).collect()
    }

    #[track_caller]
    fn holds(&self) {
        let sources: Vec<_> = self.modules.iter().flat_map(|path| shipped(module(path))).collect();
        assert_none(self.rule, &self.breaches(&sources));
    }
}

#[test]
fn the_pure_parts_know_no_proxy() {
    PURE.holds();
}

#[test]
fn a_request_waits_for_nothing_but_the_upstream() {
    REQUEST_PATH.holds();
    CONFIGURATION_WITHOUT_LOCKS.holds();
}

#[test]
fn the_store_knows_no_http_and_the_admin_api_no_sql() {
    STORE.holds();
    ADMIN.holds();
    let sources = shipped(module("control/src/admin"));
    assert_none(ADMIN.rule, &sources.iter().flat_map(sql).collect::<Vec<_>>());
}

#[test]
fn the_published_form_has_no_clock() {
    WIRE.holds();
}

#[test]
fn rows_meet_their_published_form_in_one_place() {
    let others =
        shipped(below("control/src")).into_iter().filter(|source| source.path != "control/src/snapshot.rs");
    assert_none(
        "rows become their published form in control/src/snapshot.rs alone",
        &others.flat_map(|source| rows_and_wire(&source)).collect::<Vec<_>>(),
    );
}

#[test]
fn the_apply_path_alone_publishes_a_table() {
    let others = shipped(below("gateway/src"))
        .into_iter()
        .filter(|source| !source.path.starts_with("gateway/src/cluster/apply"));
    assert_none(
        "gateway/src/cluster/apply alone publishes a table",
        &others.flat_map(|source| publications(&source)).collect::<Vec<_>>(),
    );
}

#[test]
fn errors_get_their_status_in_one_place() {
    for program in ["gateway/src", "control/src"] {
        // The status listener has no part in serving: its 503 is the state that it is asked for.
        let own = [format!("{program}/error"), format!("{program}/status.rs")];
        let elsewhere = |source: &Source| !own.iter().any(|path| source.path.starts_with(path.as_str()));
        let others = shipped(below(program)).into_iter().filter(elsewhere);
        assert_none(
            "error.rs alone chooses the status of a failure",
            &others.flat_map(|source| failure_statuses(&source)).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn each_breach_would_be_found() {
    let breach = |text: &str| Source::parse("made/up.rs", text);
    let breaks = |layer: &Layer, text: &str| !layer.breaches(&[breach(text)]).is_empty();

    assert!(breaks(&PURE, "use pingora::http::ResponseHeader;"));
    assert!(breaks(&REQUEST_PATH, "let view = crate::cluster::Status::view(&s).await;"));
    assert!(breaks(&REQUEST_PATH, "std::fs::read(path)"));
    assert!(breaks(&CONFIGURATION_WITHOUT_LOCKS, "use parking_lot::{Mutex, MutexGuard};"));
    assert!(breaks(&STORE, "fn status(&self) -> http::StatusCode;"));
    assert!(breaks(&ADMIN, "use sea_orm::EntityTrait;"));
    assert!(breaks(&WIRE, "let now = std::time::Instant::now();"));
    assert!(!breaks(&WIRE, "use std::time::Duration; // std::fs::read"));

    assert_eq!(sql(&breach("run(\"SELECT id FROM service\")")).len(), 1);
    assert!(sql(&breach("message(\"cannot select from this list\")")).is_empty());

    assert_eq!(rows_and_wire(&breach("fn f(row: entity::route::Model) -> wire::Route;")).len(), 1);
    assert_eq!(
        rows_and_wire(&breach("use entity::{data_plane, service};\nuse wire::{Key, Service};")).len(),
        1
    );
    assert!(rows_and_wire(&breach("use entity::data_plane; use wire::{Ack, Key};")).is_empty());

    assert_eq!(publications(&breach("self.live.publish(table)")).len(), 1);
    assert!(publications(&breach("pub fn publish(&self, table: Table)")).is_empty());

    assert_eq!(failure_statuses(&breach("return (StatusCode::NOT_FOUND, body)")).len(), 1);
    assert_eq!(failure_statuses(&breach("session.respond_error(502).await")).len(), 1);
    assert_eq!(failure_statuses(&breach("ResponseHeader::build(404, None)")).len(), 1);
    assert!(failure_statuses(&breach("StatusCode::NO_CONTENT; Duration::from_millis(500)")).is_empty());
}

/// Statements as they begin; messages are in lower case.
fn sql(source: &Source) -> Vec<String> {
    const STATEMENTS: &[&str] = &["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE "];
    source.literals(|text| STATEMENTS.iter().any(|statement| text.trim_start().starts_with(statement)))
}

/// A file that names the rows of an entity and its published form.
fn rows_and_wire(source: &Source) -> Vec<String> {
    let names = |name: &str| !source.names(name).is_empty();
    let both = |row: &str, published: &str| names("entity") && names(row) && names_of_wire(source, published);
    let found = both("service", "Service") || both("route", "Route");
    found.then(|| format!("{}: rows and their published form", source.path)).into_iter().collect()
}

/// `wire::Name`, or a `use` of it.
fn names_of_wire(source: &Source, name: &str) -> bool {
    let imported = !source.names("wire").is_empty() && !source.names(name).is_empty();
    imported || !source.says(&["wire", "::", name]).is_empty()
}

fn publications(source: &Source) -> Vec<String> {
    [source.says(&[".", "publish", "("]), source.says(&["Live", "::", "publish"])].concat()
}

/// Statuses from 400 on, by name or, where one is given, by number.
fn failure_statuses(source: &Source) -> Vec<String> {
    const GOOD: &[&str] = &["OK", "CREATED", "ACCEPTED", "NO_CONTENT", "SWITCHING_PROTOCOLS", "NOT_MODIFIED"];
    const TAKE_A_NUMBER: &[&str] =
        &["from_u16", "build", "respond_error", "respond_error_with_body", "HTTPStatus"];
    let constant =
        |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !GOOD.contains(&name);
    let number = |text: &str| text.parse::<u16>().is_ok_and(|status| (400..600).contains(&status));
    source.triples(|first, second, third| match (first, second) {
        ("StatusCode", "::") => constant(third),
        (call, "(") => TAKE_A_NUMBER.contains(&call) && number(third),
        _ => false,
    })
}

/// Without tests: they may do what the program may not.
fn shipped(sources: Vec<Source>) -> Vec<Source> {
    sources.into_iter().filter(|source| !is_test(&source.path)).map(Source::without_tests).collect()
}
