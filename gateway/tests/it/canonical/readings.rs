//! Paths in which an upstream may read another path: by decoding slashes, or by cutting off parameters.

use gateway::table::Change;
use model::Route;
use testkit::origin::Origin;
use uuid::Uuid;

use crate::support::{Gateway, route, service};

/// The protected route, the target sent, and whether it goes to that route where ambiguous paths are kept.
const AMBIGUOUS: &[(&str, &str, bool)] = &[
    ("/admin", "/%2fadmin/x", false),
    ("/admin", "/%5Cadmin/x", false),
    ("/admin", "/\\admin", false),
    ("/admin/", "/admin%2fx", false),
    ("/admin/", "/admin%5cx", false),
    ("/admin/", "/admin;a/x", false),
    ("/admin/", "/admin;a=1;b=2/x", false),
    ("/admin/", "/admin%3ba/x", false),
    ("/admin/", "/admin;a%2fb/x", false),
    ("/admin/", "/admin%2f;a", false),
    ("~/admin(/.*)?$", "/admin%2fx", false),
    ("~/admin(/.*)?$", "/admin;x", false),
    ("~/admin(/.*)?$", "/admin;x/y", false),
    ("~/a/b/c$", "/a%2fb%5cc", false),
    ("~/a/b/c$", "/a%2fb%5cc;d", false),
    ("~/a/b%2fc$", "/a%5cb%2fc", false),
    ("/admin", "/x%2f..%3b/admin", false),
    ("~/users/[^/]+$", "/users/1%2fsecret", true),
    ("~/users/[^/]+$", "/users/1;x%2fsecret", true),
];

/// Every reading of these leads to the same route.
const PLAIN: &[(&str, &str)] = &[
    ("/admin", "/admin%2fx"),
    ("/admin", "/admin;a/x"),
    ("/admin/", "/admin/x;a=1"),
    ("/files", "/files/group%2Fproject"),
    ("/files", "/files/a%3Bb%5Cc;v=1"),
    ("~/files/.*", "/files/%2Fetc"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_read_as_another_routes_path_is_refused_unless_it_is_kept() {
    let (refusing, keeping) = (Stage::with("refuse"), Stage::with("keep"));
    for (protected, target, is_kept) in AMBIGUOUS {
        let answer = refusing.send(protected, target).await;
        assert_eq!(answer, (400, 0, 0), "{protected} {target}");
        let kept = (200, usize::from(*is_kept), usize::from(!*is_kept));
        assert_eq!(keeping.send(protected, target).await, kept, "{protected} {target}");
    }
    for (protected, target) in PLAIN {
        assert_eq!(refusing.send(protected, target).await, (200, 1, 0), "{protected} {target}");
    }
    let refused = AMBIGUOUS.len() as f64;
    refusing.gateway.wait_metric("gibbon_http_errors_total{reason=\"ambiguous_path\"}", refused).await;
}

struct Stage {
    gateway: Gateway,
    protected: Origin,
    open: Origin,
}

impl Stage {
    fn with(ambiguous_paths: &str) -> Self {
        let gateway = Gateway::with(&[("proxy.ambiguous_paths", ambiguous_paths)]);
        Self { gateway, protected: Origin::start(), open: Origin::start() }
    }

    /// The status, and how many requests arrived at the origins of the protected route and of the open one.
    async fn send(&self, protected: &str, target: &str) -> (u16, usize, usize) {
        let to = |id: u128, path| Route { service: Some(Uuid::from_u128(id)), ..route(id, path) };
        self.gateway.apply(vec![
            Change::put(service(1, &self.protected)),
            Change::put(service(2, &self.open)),
            Change::put(to(1, protected)),
            Change::put(to(2, "/")),
        ]);
        let before = (self.protected.count(), self.open.count());
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let status = self.gateway.client.raw(request.as_bytes()).await.unwrap().status;
        (status, self.protected.count() - before.0, self.open.count() - before.1)
    }
}
