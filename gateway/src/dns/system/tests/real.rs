//! Look-ups by real queries to name servers of the test.

use std::net::Ipv4Addr;

use testkit::dns::{Behaviour, DnsServer, Record};

use super::*;
use crate::dns::{DnsTerms, Endpoint, Families, RecordKind, SrvUse};

const SECOND: Duration = Duration::from_secs(1);

fn a(last: u8) -> Record {
    Record::A(Ipv4Addr::new(10, 0, 0, last))
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::Srv { priority, weight, port, target: target.to_owned() }
}

async fn look_up(
    servers: &NameServers,
    host: &str,
    families: Families,
    srv: SrvUse,
) -> Result<Found, LookUpError> {
    let terms = DnsTerms { families, ..DnsTerms::default() };
    servers.look_up(&Query::new(host, terms, srv)).await
}

async fn find(servers: &NameServers, host: &str) -> Result<Vec<String>, LookUpError> {
    let found = look_up(servers, host, Families::V4First, SrvUse::Never).await?;
    Ok(found.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect())
}

fn servers(all: &[&DnsServer]) -> NameServers {
    let addresses = all.iter().map(|server| server.address()).collect();
    NameServers::new(Settings {
        search: Some(SearchDomains::parse(&["one.test".to_owned(), "two.test".to_owned()]).unwrap()),
        ndots: Some(1),
        query_timeout: Some(SECOND / 2),
        attempts: Some(1),
        ..settings(addresses)
    })
}

#[tokio::test]
async fn second_family_is_asked_for_when_the_first_has_no_address() {
    let server = DnsServer::start();
    server.set("both.test", 60, [a(1), Record::Aaaa("::1".parse().unwrap())]);
    server.set("six.test", 7, [Record::Aaaa("::6".parse().unwrap())]);
    server.set("none.test", 60, []);
    let servers = servers(&[&server]);
    assert_eq!(find(&servers, "both.test").await.unwrap(), ["10.0.0.1"]);
    assert_eq!(server.asked().len(), 1, "one query");
    let six = look_up(&servers, "six.test", Families::V4First, SrvUse::Never).await.unwrap();
    assert_eq!((six.endpoints[0].address.to_string().as_str(), six.kind), ("::6", RecordKind::Aaaa));
    assert_eq!(six.ttl, 7 * SECOND);
    let both = look_up(&servers, "both.test", Families::V6First, SrvUse::Never).await.unwrap();
    assert_eq!(both.endpoints, [Endpoint::of("::1".parse().unwrap())]);
    assert_eq!(
        look_up(&servers, "six.test.", Families::V4, SrvUse::Never).await.unwrap_err(),
        LookUpError::Empty
    );
    assert_eq!(find(&servers, "none.test.").await.unwrap_err(), LookUpError::Empty);
}

#[tokio::test]
async fn aliases_are_followed_with_the_shortest_ttl() {
    let server = DnsServer::start();
    server.set("alias.test", 5, [Record::Cname("real.test".to_owned())]);
    server.set("real.test", 60, [a(1)]);
    server.set("dead.test", 60, [Record::Cname("gone.test".to_owned())]);
    server.set("circle.test", 60, [Record::Cname("circle.test".to_owned())]);
    let servers = servers(&[&server]);
    let found = look_up(&servers, "alias.test", Families::V4, SrvUse::Never).await.unwrap();
    assert_eq!((found.endpoints, found.ttl), (vec![Endpoint::of([10, 0, 0, 1].into())], 5 * SECOND));
    assert_eq!(find(&servers, "dead.test.").await.unwrap_err(), LookUpError::NoName);
    find(&servers, "circle.test.").await.unwrap_err();
}

#[tokio::test]
async fn long_answers_come_over_tcp() {
    let server = DnsServer::start();
    server.set("many.test", 60, (0..100).map(a));
    let found = find(&servers(&[&server]), "many.test").await.unwrap();
    assert_eq!(found.len(), 100);
    assert_eq!(server.asked().iter().map(|asked| asked.over_tcp).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn short_names_are_found_below_search_domains() {
    let server = DnsServer::start();
    server.set("db.two.test", 60, [a(1)]);
    server.set("bare", 60, [a(2)]);
    let servers = servers(&[&server]);
    assert_eq!(find(&servers, "db").await.unwrap(), ["10.0.0.1"]);
    let asked: Vec<_> = server.asked().into_iter().map(|asked| asked.name).collect();
    assert_eq!(asked, ["db.one.test", "db.two.test"], "a denial holds for both families");
    assert_eq!(find(&servers, "bare").await.unwrap(), ["10.0.0.2"]);
    assert_eq!(find(&servers, "db.").await.unwrap_err(), LookUpError::NoName);
    // A domain that fails makes way, but the name is not denied then.
    server.does_for("bare.one.test", Behaviour::Code(2));
    server.does_for("new.one.test", Behaviour::Code(2));
    assert_eq!(find(&servers, "bare").await.unwrap(), ["10.0.0.2"]);
    assert_eq!(find(&servers, "new").await.unwrap_err(), LookUpError::Server(2));
    // The host itself becomes no other host while its zone fails, and none by silence.
    server.set("api.example.one.test", 60, [a(66)]);
    server.does_for("api.example", Behaviour::Code(2));
    assert_eq!(find(&servers, "api.example").await.unwrap_err(), LookUpError::Server(2));
    server.does_for("db.one.test", Behaviour::Silent);
    assert_eq!(find(&servers, "db").await.unwrap_err(), LookUpError::Timeout(SECOND / 2));
}

#[tokio::test]
async fn name_servers_that_fail_are_overtaken_and_not_asked_first_again() {
    let (first, second) = (DnsServer::start(), DnsServer::start());
    second.set("a.test", 60, [a(2)]);
    for behaviour in [Behaviour::Silent, Behaviour::Code(2), Behaviour::Code(5)] {
        first.does(behaviour);
        let servers = servers(&[&first, &second]);
        let begun = Instant::now();
        assert_eq!(find(&servers, "a.test").await.unwrap(), ["10.0.0.2"]);
        assert!(begun.elapsed() < SECOND / 2, "{behaviour:?}: {:?}", begun.elapsed());
        let before = first.asked().len();
        assert_eq!(find(&servers, "a.test").await.unwrap(), ["10.0.0.2"]);
        assert_eq!(first.asked().len(), before, "{behaviour:?}");
    }
    first.does(Behaviour::Code(3));
    let servers = servers(&[&first, &second]);
    assert_eq!(find(&servers, "a.test.").await.unwrap_err(), LookUpError::NoName, "a denial is an answer");
}

#[tokio::test]
async fn failures_have_the_words_of_kong() {
    let mut server = DnsServer::start();
    let servers = servers(&[&server]);
    for (code, text) in [
        (1, "dns server error: 1 format error"),
        (2, "dns server error: 2 server failure"),
        (3, "dns server error: 3 name error"),
        (4, "dns server error: 4 not implemented"),
        (5, "dns server error: 5 refused"),
    ] {
        server.does(Behaviour::Code(code));
        assert_eq!(find(&servers, "a.test.").await.unwrap_err().to_string(), text);
    }
    server.stop();
    assert!(!find(&servers, "a.test.").await.unwrap_err().is_negative());
    server.resume();
    server.does(Behaviour::Answer);
    server.set("a.test", 60, [a(1)]);
    assert_eq!(find(&servers, "a.test.").await.unwrap(), ["10.0.0.1"], "the server is back");
}

#[tokio::test]
async fn services_have_the_port_and_weight_of_the_lowest_priority() {
    let server = DnsServer::start();
    let name = "_http._tcp.shop.test";
    server.set(
        name,
        60,
        [
            srv(10, 5, 8001, "B.shop.test"),
            srv(10, 0, 0, "a.shop.test"),
            srv(20, 9, 8009, "last.shop.test"),
            srv(10, 5, 80, name),
            srv(10, 5, 80, "gone.shop.test"),
        ],
    );
    server.set("a.shop.test", 3, [a(1), a(2)]);
    server.set("b.shop.test", 60, [Record::Aaaa("::b".parse().unwrap())]);
    server.set("last.shop.test", 60, [a(9)]);
    let servers = servers(&[&server]);
    let found = look_up(&servers, name, Families::V4First, SrvUse::Named).await.unwrap();
    let mut texts: Vec<_> = found
        .endpoints
        .iter()
        .map(|e| format!("{} {:?} {:?} {}", e.address, e.port, e.weight, e.name.as_deref().unwrap()))
        .collect();
    texts.sort();
    assert_eq!(
        texts,
        [
            "10.0.0.1 None Some(1) a.shop.test",
            "10.0.0.2 None Some(1) a.shop.test",
            "::b Some(8001) Some(5) b.shop.test",
        ]
    );
    assert_eq!((found.kind, found.ttl), (RecordKind::Srv, 3 * SECOND));
    assert!(server.asked().iter().all(|asked| asked.name != "last.shop.test"));

    server.does_for("b.shop.test", Behaviour::Code(2));
    let found = look_up(&servers, name, Families::V4First, SrvUse::Named).await.unwrap();
    assert_eq!((found.endpoints.len(), &*found.missing[0].name), (2, "b.shop.test"));
}

#[tokio::test]
async fn services_are_looked_up_as_configured() {
    let server = DnsServer::start();
    server.set("_http._tcp.shop.test", 60, [srv(1, 1, 80, "_http._tcp.shop.test")]);
    server.set("plain.test", 60, [a(1)]);
    server.set("both.test", 60, [a(1), srv(1, 1, 8080, "plain.test")]);
    let servers = servers(&[&server]);
    let kind =
        async |host: &str, srv| look_up(&servers, host, Families::V4, srv).await.map(|found| found.kind);
    assert_eq!(kind("_http._tcp.shop.test.", SrvUse::Named).await, Err(LookUpError::Empty), "only itself");
    assert_eq!(kind("both.test", SrvUse::Never).await, Ok(RecordKind::A));
    assert_eq!(kind("both.test", SrvUse::Named).await, Ok(RecordKind::A));
    assert_eq!(kind("both.test", SrvUse::First).await, Ok(RecordKind::Srv));
    assert_eq!(kind("plain.test", SrvUse::First).await, Ok(RecordKind::A));
    assert_eq!(kind("localhost", SrvUse::First).await, Ok(RecordKind::Hosts));
}

#[tokio::test]
async fn changed_hosts_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let hosts_file = folder.path().join("hosts");
    let server = DnsServer::start();
    server.does(Behaviour::Silent);
    let servers =
        NameServers::new(Settings { hosts_file: hosts_file.clone(), ..settings(vec![server.address()]) });
    assert_eq!(find(&servers, "localhost").await.unwrap(), ["127.0.0.1"], "without a file");
    for last in ["1", "22"] {
        std::fs::write(&hosts_file, format!("10.0.0.{last} db")).unwrap();
        tokio::time::sleep(RELOAD).await;
        assert_eq!(find(&servers, "DB").await.unwrap(), [format!("10.0.0.{last}")]);
    }
}
