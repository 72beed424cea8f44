//! Tests the configuration of look-ups.

mod real;

use super::*;
use crate::dns::{DnsTerms, SrvUse};

fn settings(name_servers: Vec<SocketAddr>) -> Settings {
    Settings {
        name_servers,
        hosts_file: "/etc/hosts".into(),
        search: None,
        ndots: None,
        query_timeout: None,
        attempts: None,
        timeout: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn the_hosts_file_needs_no_name_server() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = NameServers::new(settings(vec![silent.local_addr().unwrap()]));
    let query = |host: &str| Query::new(host, DnsTerms::default(), SrvUse::Never);
    let found = servers.look_up(&query("localhost")).await.unwrap();
    assert!(found.endpoints.iter().all(|endpoint| endpoint.address.is_loopback()));
    assert_eq!(servers.look_up(&query("no-such-name.invalid")).await.unwrap_err(), LookUpError::NoName);
    servers.look_up(&query(&"a".repeat(300))).await.unwrap_err();
}

#[test]
fn configuration_replaces_that_of_the_system() {
    let conf = b"nameserver 10.0.0.2\nsearch a.test b.test\noptions ndots:5 timeout:3 attempts:4\n";
    let sources = updated(&settings(vec![]), None, None, Some(conf)).unwrap();
    assert_eq!(sources.search.ndots, 5);
    assert_eq!(sources.search.candidates("db").unwrap().names.len(), 3);
    let own = Settings {
        search: Some(SearchDomains::parse(&["own.test".to_owned()]).unwrap()),
        ndots: Some(0),
        ..settings(vec![])
    };
    let sources = updated(&own, None, None, Some(conf)).unwrap();
    let names = sources.search.candidates("db").unwrap().names;
    assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["db.", "db.own.test."]);
}

#[test]
fn search_domains_are_read_without_a_name_server() {
    let (config, options) = parse(b"search a.test\noptions ndots:2");
    assert_eq!((config.search().len(), options.ndots), (1, 2));
    assert_eq!(config.name_servers()[0].ip, local().ip());
}

#[test]
fn only_what_has_changed_is_replaced() {
    let first = updated(&settings(vec![]), None, Some(Arc::default()), Some(b"nameserver 10.0.0.2")).unwrap();
    let same = updated(&settings(vec![]), Some(first.clone()), None, None).unwrap();
    assert!(Arc::ptr_eq(&first, &same));
    let hosts = updated(&settings(vec![]), Some(first.clone()), Some(Arc::default()), None).unwrap();
    assert!(Arc::ptr_eq(&first.servers, &hosts.servers) && !Arc::ptr_eq(&first.hosts, &hosts.hosts));
    let servers =
        updated(&settings(vec![]), Some(first.clone()), None, Some(b"nameserver 10.0.0.3")).unwrap();
    assert!(!Arc::ptr_eq(&first.servers, &servers.servers) && Arc::ptr_eq(&first.hosts, &servers.hosts));
}
