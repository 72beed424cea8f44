//! Sends every known spelling of a protected path over raw sockets, beside a route that is open to all. A
//! target that means the protected path arrives at its origin in one form. Any other arrives at the open
//! origin in a form that no reader of the bytes confuses with the protected path.

use gateway::table::Change;
use model::Route;
use testkit::origin::Origin;
use uuid::Uuid;

use crate::support::{Gateway, route, service};

/// The target sent, and the form that arrives at the protected origin.
const PROTECTED: &[(&[u8], &str)] = &[
    (b"/admin", "/admin"),
    (b"/admin/", "/admin/"),
    (b"//admin", "/admin"),
    (b"///admin", "/admin"),
    (b"/admin//users", "/admin/users"),
    (b"//admin//", "/admin/"),
    (b"/./admin", "/admin"),
    (b"/././admin", "/admin"),
    (b"/.//admin", "/admin"),
    (b"/admin/.", "/admin/"),
    (b"/admin/./", "/admin/"),
    (b"/admin/x/..", "/admin/"),
    (b"/x/../admin", "/admin"),
    (b"/x/y/../../admin", "/admin"),
    (b"/../admin", "/admin"),
    (b"/../../admin", "/admin"),
    (b"/x/..//admin", "/admin"),
    (b"/x//../admin", "/admin"),
    (b"/admin/../admin", "/admin"),
    (b"/%61dmin", "/admin"),
    (b"/%61%64%6D%69%6E", "/admin"),
    (b"/%61%64%6d%69%6e", "/admin"),
    (b"/admi%6e", "/admin"),
    (b"/a%64min/users", "/admin/users"),
    (b"/%2e/admin", "/admin"),
    (b"/%2E/admin", "/admin"),
    (b"/x/%2e%2e/admin", "/admin"),
    (b"/x/%2E%2e/admin", "/admin"),
    (b"/x/.%2e/admin", "/admin"),
    (b"/x/%2e./admin", "/admin"),
    (b"/%2e%2e/admin", "/admin"),
    (b"/x%2f/../admin", "/admin"),
    (b"/admin%2fusers", "/admin%2Fusers"),
    (b"/admin\\users", "/admin%5Cusers"),
    (b"/admin%5cusers", "/admin%5Cusers"),
    (b"/admin;x", "/admin;x"),
    (b"/admin;x/users", "/admin;x/users"),
    (b"/x;/../admin", "/admin"),
    (b"/admin%", "/admin%25"),
    (b"/admin#x", "/admin"),
    (b"/admin#/../x", "/admin"),
    (b"/admin?/../x", "/admin?/../x"),
    (b"/x/../admin?a#b", "/admin?a"),
    (b"/x%23/../admin", "/admin"),
    (b"/x%3f/../admin", "/admin"),
    (b"/admin%20", "/admin%20"),
    (b"/admin..", "/admin.."),
    (b"http://h/admin", "/admin"),
    (b"http://h//admin", "/admin"),
    (b"http://h/x/../admin", "/admin"),
    (b"http://h/%61dmin", "/admin"),
    (b"HTTP://h/admin", "/admin"),
    (b"http://H/admin", "/admin"),
    (b"http://h:80/admin", "/admin"),
    (b"http://other/admin", "/admin"),
    (b"/admin/\xc3\xbc", "/admin/%C3%BC"),
    (b"/admin/\xff", "/admin/%FF"),
    (b"/admin/|^[]\"{}`<>", "/admin/%7C%5E%5B%5D%22%7B%7D%60%3C%3E"),
];

/// The target sent, and the form that arrives at the open origin. Double encoding is decoded nowhere, and
/// case counts.
const OPEN: &[(&[u8], &str)] = &[
    (b"/;x", "/;x"),
    (b"/%2561dmin", "/%2561dmin"),
    (b"/%252e%252e/admin", "/%252e%252e/admin"),
    (b"/x/%252e%252e%252fadmin", "/x/%252e%252e%252fadmin"),
    (b"/%%361dmin", "/%2561dmin"),
    (b"/%%32e/admin", "/%252e/admin"),
    (b"/%25%36%31dmin", "/%2561dmin"),
    (b"/x/%c0%ae%c0%ae/admin", "/x/%C0%AE%C0%AE/admin"),
    (b"/%c0%afadmin", "/%C0%AFadmin"),
    (b"/\xc0\xafadmin", "/%C0%AFadmin"),
    (b"/x/\xc0\xae\xc0\xae/admin", "/x/%C0%AE%C0%AE/admin"),
    (b"/\xffadmin", "/%FFadmin"),
    (b"/%e0%80%afadmin", "/%E0%80%AFadmin"),
    (b"/%u0061dmin", "/%25u0061dmin"),
    (b"/x#/../admin", "/x"),
    (b"/#/admin", "/"),
    (b"/x?/../admin", "/x?/../admin"),
    (b"/%3fadmin", "/%3Fadmin"),
    (b"/ADMIN", "/ADMIN"),
    (b"/.../admin", "/.../admin"),
    (b"//h/admin", "/h/admin"),
    (b"http://h?/admin", "/?/admin"),
];

/// Refused: no path, a NUL, a segment that only an origin would resolve, or a doubtful host. Also a place in
/// which an origin may read the protected path.
const REFUSED: &[&[u8]] = &[
    b"/\x00/admin",
    b"/admin\x00",
    b"/%00/admin",
    b"/admin%00",
    b"/admin%00.js",
    b"/\tadmin",
    b"/ admin",
    b"/admin x",
    b"/%2fadmin",
    b"/%2Fadmin/x",
    b"/%2f%2fadmin",
    b"/%5cadmin",
    b"/\\admin",
    b"/x/..%3b/admin",
    b"/a%2f%2e%2e%3ba/admin",
    b"/x/..%2fadmin",
    b"/x%2f..%2fadmin",
    b"/x\\..\\admin",
    b"/;x/admin",
    b"/;/admin",
    b"/x/..;/admin",
    b"/admin/..;/",
    b"/x/..%5cadmin",
    b"/x/..%2F..%2Fadmin",
    b"/x/%2e%2e%2fadmin",
    b"/x/%2e%2e;a/admin",
    b"/admin/..%2f",
    b"admin",
    b"../admin",
    b"\\admin",
    b"?/admin",
    b"*",
    b"",
    b"http:///admin",
    b"http:/admin",
    b"http://u@h/admin",
];

/// Spellings of the one host that the protected route requires.
const HOSTS: &[&str] = &["h", "H", "h.", "H.", "h:80", "h.:8000", "h:"];

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_gets_through_the_open_route() {
    let stage = Stage::start(None);
    for (spelling, arrived) in PROTECTED {
        assert_eq!(
            stage.send(spelling, "h").await,
            (200, vec![(*arrived).to_owned()], vec![]),
            "{}",
            text(spelling)
        );
    }
    for (spelling, arrived) in OPEN {
        assert_eq!(
            stage.send(spelling, "h").await,
            (200, vec![], vec![(*arrived).to_owned()]),
            "{}",
            text(spelling)
        );
    }
    for spelling in REFUSED {
        assert_eq!(stage.send(spelling, "h").await, (400, vec![], vec![]), "{}", text(spelling));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_the_host_gets_through_the_open_route() {
    let stage = Stage::start(Some(vec!["h".to_owned()]));
    for host in HOSTS {
        assert_eq!(stage.send(b"/admin", host).await, (200, vec!["/admin".to_owned()], vec![]), "{host}");
        let absolute = format!("http://{host}//%61dmin");
        let answer = stage.send(absolute.as_bytes(), host).await;
        assert_eq!(answer, (200, vec!["/admin".to_owned()], vec![]), "{absolute}");
    }
}

struct Stage {
    gateway: Gateway,
    protected: Origin,
    open: Origin,
}

impl Stage {
    /// Starts both origins; the protected route requires these hosts.
    fn start(hosts: Option<Vec<String>>) -> Self {
        let stage = Self { gateway: Gateway::start(), protected: Origin::start(), open: Origin::start() };
        let to =
            |id: u128, route: Route| Route { service: Some(Uuid::from_u128(id)), strip_path: false, ..route };
        stage.gateway.apply(vec![
            Change::put(service(1, &stage.protected)),
            Change::put(service(2, &stage.open)),
            Change::put(to(1, Route { hosts, ..route(1, "/admin") })),
            Change::put(to(2, route(2, "/"))),
        ]);
        stage
    }

    /// The status, and the targets that arrived at the protected and at the open origin.
    async fn send(&self, target: &[u8], host: &str) -> (u16, Vec<String>, Vec<String>) {
        let (protected, open) = (self.protected.count(), self.open.count());
        let head = format!(" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let request = [b"GET ", target, head.as_bytes()].concat();
        let status = self.gateway.client.raw(&request).await.unwrap().status;
        let arrived = |origin: &Origin, before| {
            origin.requests().into_iter().skip(before).map(|request| request.target).collect()
        };
        (status, arrived(&self.protected, protected), arrived(&self.open, open))
    }
}

fn text(spelling: &[u8]) -> String {
    spelling.escape_ascii().to_string()
}
