//! The layers: the crates and modules that each part of a program must not name.

use std::sync::OnceLock;

use crate::assert_none;
use crate::imports::{Modules, made_up, module_of};
use crate::source::{Source, below, is_test, is_within, module};

/// Modules that must not name these crates and modules, nor reach them by a re-export.
struct Layer {
    rule: &'static str,
    part: Part,
    never: &'static [&'static str],
}

/// The modules of a rule. Each one listed must exist: renaming a module does not end a rule.
enum Part {
    Only(&'static [&'static str]),
    /// All modules of a package, also future ones, except these.
    AllBut(&'static str, &'static [&'static str]),
}

const PURE: Layer = Layer {
    rule: "matching, the holder of the table, the session and the apply path know no proxy",
    part: Part::Only(&[
        "gateway/src/route",
        "gateway/src/section",
        "gateway/src/table",
        "gateway/src/live",
        "gateway/src/cluster/session",
        "gateway/src/cluster/apply",
    ]),
    never: &["pingora", "pingora_core", "pingora_http", "pingora_proxy"],
};

/// Modules that start, stop, configure or watch the program, those that receive from the cluster, the files that
/// configure look-ups, which the thread of the look-ups reads, and the files of lines, which a thread of their
/// own writes.
const BESIDE_REQUESTS: &[&str] = &[
    "gateway/src/app",
    "gateway/src/cluster",
    "gateway/src/config",
    "gateway/src/dns/files",
    "gateway/src/drain",
    "gateway/src/echo",
    "gateway/src/health",
    "gateway/src/lib",
    "gateway/src/line_files",
    "gateway/src/main",
    "gateway/src/notify",
    "gateway/src/status",
    "gateway/src/upgrade",
    "gateway/src/upstream_metrics",
];

const REQUEST_PATH: Layer = Layer {
    rule: "a request waits for nothing of the cluster, and does not touch the disk",
    part: Part::AllBut("gateway/src", BESIDE_REQUESTS),
    never: &["cluster", "fs", "File", "OpenOptions"],
};

const CONFIGURATION_WITHOUT_LOCKS: Layer = Layer {
    rule: "a request takes no lock on the configuration",
    part: Part::Only(&[
        "gateway/src/context",
        "gateway/src/error",
        "gateway/src/forward",
        "gateway/src/grpc",
        "gateway/src/http1",
        "gateway/src/message",
        "gateway/src/certified_keys",
        "gateway/src/live",
        "gateway/src/proxy",
        "gateway/src/request",
        "gateway/src/respond",
        "gateway/src/route",
        "gateway/src/section",
        "gateway/src/table",
    ]),
    never: &["Mutex", "RwLock"],
};

const STORE: Layer = Layer {
    rule: "the store knows no HTTP",
    part: Part::Only(&["control/src/store"]),
    never: &["axum", "http", "hyper", "StatusCode", "admin"],
};

const ADMIN: Layer = Layer {
    rule: "the Admin API writes no SQL",
    part: Part::Only(&["control/src/admin"]),
    never: &["sea_orm", "sea_query", "sqlx", "migration"],
};

const DECLARATIVE: Layer = Layer {
    rule: "the declarative form knows neither HTTP nor the database, and opens nothing",
    part: Part::Only(&["control/src/declarative"]),
    never: &["axum", "http", "hyper", "admin", "sea_orm", "sqlx", "store", "fs", "File"],
};

const WIRE: Layer = Layer {
    rule: "the protocol and the model have no clock and open nothing",
    part: Part::Only(&["entity/wire/src", "entity/model/src"]),
    never: &["Instant", "SystemTime", "fs", "TcpStream", "TcpListener", "UdpSocket", "thread", "env"],
};

impl Layer {
    fn breaches(&self, modules: &Modules, sources: &[Source]) -> Vec<String> {
        let named = sources.iter().flat_map(|source| self.never.iter().flat_map(|name| source.names(name)));
        named.chain(sources.iter().flat_map(|source| self.reached(modules, source))).collect()
    }

    /// Resolves re-exports, which the path does not show.
    fn reached(&self, modules: &Modules, source: &Source) -> Vec<String> {
        let module = module_of(&source.path).unwrap_or_default();
        let never = |path: &[String]| path.iter().any(|part| self.never.contains(&part.as_str()));
        let reached = modules.reached(&module);
        let breaches = reached.iter().filter(|reached| never(&reached.path) && !never(&reached.said));
        breaches
            .map(|reached| {
                let (said, path) = (reached.said.join("::"), reached.path.join("::"));
                format!("{}:{}: {said} is {path}", source.path, reached.line)
            })
            .collect()
    }

    fn sources(&self) -> Vec<Source> {
        match self.part {
            Part::Only(modules) => modules.iter().flat_map(|path| shipped(module(path))).collect(),
            Part::AllBut(package, others) => {
                for path in others {
                    module(path);
                }
                let of_others = |source: &Source| others.iter().any(|path| is_within(&source.path, path));
                shipped(below(package)).into_iter().filter(|source| !of_others(source)).collect()
            }
        }
    }

    #[track_caller]
    fn holds(&self) {
        assert_none(self.rule, &self.breaches(workspace(), &self.sources()));
    }
}

fn workspace() -> &'static Modules {
    static MODULES: OnceLock<Modules> = OnceLock::new();
    MODULES.get_or_init(Modules::of_workspace)
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
fn the_declarative_form_opens_nothing() {
    DECLARATIVE.holds();
}

#[test]
fn the_protocol_and_the_model_have_no_clock() {
    WIRE.holds();
}

#[test]
fn the_apply_path_alone_publishes_a_table() {
    let others = but(shipped(below("gateway/src")), "gateway/src/cluster/apply");
    assert_none(
        "gateway/src/cluster/apply alone publishes a table",
        &others.iter().flat_map(publications).collect::<Vec<_>>(),
    );
}

#[test]
fn errors_get_their_status_in_one_place() {
    for program in ["gateway/src", "control/src"] {
        // The status listener has no part in serving: its 503 is the state that it is asked for.
        let others = but(shipped(below(program)), &format!("{program}/error"));
        let others = but(others, &format!("{program}/status"));
        assert_none(
            "error.rs alone chooses the status of a failure",
            &others.iter().flat_map(|source| failure_statuses(workspace(), source)).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn each_breach_would_be_found() {
    let breach = |text: &str| Source::parse("made/up.rs", text);
    let breaks = |layer: &Layer, text: &str| !layer.breaches(&Modules::default(), &[breach(text)]).is_empty();

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

    assert_eq!(publications(&breach("self.live.publish(table)")).len(), 1);
    assert!(publications(&breach("pub fn publish(&self, table: Table)")).is_empty());

    let statuses = |text: &str| failure_statuses(&Modules::default(), &breach(text)).len();
    assert_eq!(statuses("return (StatusCode::NOT_FOUND, body)"), 1);
    assert_eq!(statuses("session.respond_error(502).await"), 1);
    assert_eq!(statuses("ResponseHeader::build(404, None)"), 1);
    assert_eq!(statuses("Response::builder().status(429)"), 1);
    assert_eq!(statuses("stream.write_all(b\"HTTP/1.1 400 Bad Request\\r\\n\\r\\n\")"), 1);
    assert_eq!(statuses("const REFUSAL: &str = \"HTTP/1.0 503 \""), 1);
    assert_eq!(statuses("StatusCode::NO_CONTENT; Duration::from_millis(500); \"HTTP/1.1 200 OK\""), 0);
}

#[test]
fn re_export_does_not_hide_a_breach() {
    let files = [
        ("gateway/src/lib.rs", "pub mod face; pub mod cluster; pub mod route;"),
        (
            "gateway/src/face.rs",
            "pub use crate::cluster::Status as State; pub use pingora::http; pub use node::Code;",
        ),
        ("gateway/src/cluster.rs", "pub struct Status;"),
        ("entity/node/src/lib.rs", "pub use http::StatusCode as Code;"),
        (
            "gateway/src/route.rs",
            "use crate::face::{http, State}; fn f() { http::a(); crate::face::Code::NOT_FOUND }",
        ),
    ];
    let modules = made_up(&files);
    let source = Source::parse(files[4].0, files[4].1);
    let breaches = |layer: &Layer| layer.breaches(&modules, std::slice::from_ref(&source)).len();
    assert_eq!((breaches(&REQUEST_PATH), breaches(&PURE)), (1, 2));
    assert_eq!(failure_statuses(&modules, &source).len(), 1);
}

/// Strings that begin as SQL statements; messages begin in lower case.
fn sql(source: &Source) -> Vec<String> {
    const STATEMENTS: &[&str] = &["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE "];
    source.literals(|text| STATEMENTS.iter().any(|statement| text.trim_start().starts_with(statement)))
}

fn publications(source: &Source) -> Vec<String> {
    [source.says(&[".", "publish", "("]), source.says(&["Live", "::", "publish"])].concat()
}

/// Finds statuses from 400 on: by name, by number, and in bytes of HTTP/1.
fn failure_statuses(modules: &Modules, source: &Source) -> Vec<String> {
    const GOOD: &[&str] = &["OK", "CREATED", "ACCEPTED", "NO_CONTENT", "SWITCHING_PROTOCOLS", "NOT_MODIFIED"];
    const TAKE_A_NUMBER: &[&str] =
        &["from_u16", "build", "respond_error", "respond_error_with_body", "status", "HTTPStatus"];
    let constant =
        |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !GOOD.contains(&name);
    let number = |text: &str| text.parse::<u16>().is_ok_and(|status| (400..600).contains(&status));
    let said = source.triples(|first, second, third| match (first, second) {
        ("StatusCode", "::") => constant(third),
        (call, "(") => TAKE_A_NUMBER.contains(&call) && number(third),
        _ => false,
    });
    let bytes = source.literals(|text| {
        let versions = ["HTTP/1.0 ", "HTTP/1.1 "];
        let statuses = versions.iter().flat_map(|version| text.split(version).skip(1));
        statuses.filter_map(|rest| rest.get(..3)).any(number)
    });
    let renamed = |path: &[String], name: &str| {
        let is_status = |pair: &[String]| pair[0] == name && constant(&pair[1]);
        path.windows(2).any(is_status)
    };
    let module = module_of(&source.path).unwrap_or_default();
    let reached = modules.reached(&module).into_iter();
    let reached = reached
        .filter(|reached| renamed(&reached.path, "StatusCode") && !renamed(&reached.said, "StatusCode"))
        .map(|reached| format!("{}:{}: {}", source.path, reached.line, reached.path.join("::")));
    said.into_iter().chain(bytes).chain(reached).collect()
}

/// Removes a module, which must exist, and everything below it.
fn but(sources: Vec<Source>, path: &str) -> Vec<Source> {
    module(path);
    sources.into_iter().filter(|source| !is_within(&source.path, path)).collect()
}

/// Removes tests: they may do what the program may not.
fn shipped(sources: Vec<Source>) -> Vec<Source> {
    sources.into_iter().filter(|source| !is_test(&source.path)).map(Source::without_tests).collect()
}
