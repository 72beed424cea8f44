//! Pairs of peers in `pki` mode.

use testkit::certs::{Authority, Usage};
use time::Duration as Validity;
use uuid::Uuid;

use super::*;
use crate::identity::{Authorities, NodeName, Role, Trust};

const SERVER: &[Usage] = &[Usage::ServerAuth];
const CLIENT: &[Usage] = &[Usage::ClientAuth];
const BOTH: &[Usage] = &[Usage::ServerAuth, Usage::ClientAuth];

/// An authority that both sides trust, and one good certificate for each.
struct Nodes {
    folder: TempDir,
    authority: Authority,
    control: certs::Pair,
    data: certs::Pair,
    trust: Trust,
}

impl Nodes {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        let control = authority.issue("control", &[&name(Role::ControlPlane)], SERVER);
        let data = authority.issue("data", &[&name(Role::DataPlane)], CLIENT);
        let trust = Trust::Authorities(Authorities::load(&authority.cert).unwrap());
        Self { folder, authority, control, data, trust }
    }

    async fn meet(
        &self,
        control: &certs::Pair,
        data: &certs::Pair,
    ) -> (Result<(Link, Peer), LinkError>, Result<Link, LinkError>) {
        let server = server_config(&load(control), &self.trust).unwrap();
        meet(server, client_config(&load(data), &self.trust).unwrap()).await
    }

    /// The reason for which a data plane refuses this certificate of a server.
    async fn refused_as_server(&self, pair: &certs::Pair) -> (&'static str, String) {
        let (_, client) = self.meet(pair, &self.data).await;
        let error = client.unwrap_err();
        (error.reason(), error.to_string())
    }

    /// The reason for which a control plane refuses this certificate of a client, and the reason that the
    /// client reads.
    async fn refused_as_client(&self, pair: &certs::Pair) -> (&'static str, String) {
        let (server, client) = self.meet(&self.control, pair).await;
        (server.unwrap_err().reason(), client.unwrap_err().to_string())
    }
}

fn name(role: Role) -> String {
    NodeName { role, id: Uuid::from_u128(7) }.to_string()
}

#[tokio::test]
async fn nodes_of_one_authority_meet_and_are_known_by_name() {
    let nodes = Nodes::new();
    let (server, client) = nodes.meet(&nodes.control, &nodes.data).await;
    let node = server.unwrap().1.certificate.node.unwrap();
    assert_eq!((node.role, node.id), (Role::DataPlane, Uuid::from_u128(7)));
    client.unwrap();
}

#[tokio::test]
async fn a_data_planes_certificate_is_refused_as_a_server() {
    let nodes = Nodes::new();
    // Refused by its key usage, and, were it good for both ends, by its name.
    assert_eq!(nodes.refused_as_server(&nodes.data).await.0, "wrong_role");
    let versatile = nodes.authority.issue("versatile", &[&name(Role::DataPlane)], BOTH);
    let (reason, said) = nodes.refused_as_server(&versatile).await;
    assert_eq!(reason, "wrong_role");
    assert!(said.contains("not that of a control plane") && said.contains("the data plane 0000"), "{said}");
    // The other way around: the right name, but not a server's usage.
    let client = nodes.authority.issue("client", &[&name(Role::ControlPlane)], CLIENT);
    assert_eq!(nodes.refused_as_server(&client).await.0, "wrong_role");
}

#[tokio::test]
async fn a_control_planes_certificate_is_refused_as_a_client() {
    let nodes = Nodes::new();
    for usages in [SERVER, BOTH] {
        let control = nodes.authority.issue("control", &[&name(Role::ControlPlane)], usages);
        let (reason, told) = nodes.refused_as_client(&control).await;
        assert_eq!(reason, "wrong_role");
        assert!(told.contains("not made for this end of the connection"), "{told}");
    }
}

#[tokio::test]
async fn a_certificate_names_one_node() {
    let nodes = Nodes::new();
    let pins = Pins::from(&load(&nodes.control));
    let cluster = Cluster { folder: tempfile::tempdir().unwrap(), pair: nodes.control.clone(), pins };
    let (one, other) = (name(Role::DataPlane), format!("urn:gibbon:data-plane:{}", Uuid::from_u128(8)));
    for (uris, reason) in [
        (&[][..], "wrong_role"),
        (&["urn:other:data-plane"][..], "wrong_role"),
        (&["urn:gibbon:data-plane:7"][..], "unknown_certificate"),
        (&["urn:gibbon:admin:00000000-0000-0000-0000-000000000007"][..], "unknown_certificate"),
        (&[one.as_str(), other.as_str()][..], "unknown_certificate"),
    ] {
        let pair = nodes.authority.issue("bad", uris, CLIENT);
        // A node would not start with such a certificate: a foreign client shows it.
        let client = rogue(&cluster, &rustls::version::TLS13, Some(certified(&pair)));
        let server = server_config(&load(&nodes.control), &nodes.trust).unwrap();
        assert_eq!(refusal(server, client).await.0, reason, "{uris:?}");
    }
}

#[tokio::test]
async fn other_authorities_and_other_times_are_refused_by_both_sides() {
    let nodes = Nodes::new();
    let stranger = Authority::new(nodes.folder.path(), "stranger");
    let ended = -Validity::HOUR;
    let (control, data) = (name(Role::ControlPlane), name(Role::DataPlane));
    let self_signed = certs::valid(nodes.folder.path(), "self-signed");
    for (pair, reason, word) in [
        (stranger.issue("other", &[&data], CLIENT), "unknown_certificate", "authority that the peer trusts"),
        (nodes.authority.issue_until("old", &[&data], CLIENT, ended), "expired_certificate", "has expired"),
        (self_signed.clone(), "unknown_certificate", "authority that the peer trusts"),
    ] {
        let (seen, told) = nodes.refused_as_client(&pair).await;
        assert_eq!(seen, reason);
        assert!(told.contains("refuses this node's certificate") && told.contains(word), "{told}");
    }
    for (pair, reason, word) in [
        (stranger.issue("other", &[&control], SERVER), "unknown_certificate", "cluster.ca"),
        (nodes.authority.issue_until("old", &[&control], SERVER, ended), "expired_certificate", "expired"),
        (self_signed, "unknown_certificate", "cluster.ca"),
    ] {
        let (seen, said) = nodes.refused_as_server(&pair).await;
        assert_eq!(seen, reason);
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn an_overlap_of_authorities_lets_old_and_new_nodes_meet() {
    let nodes = Nodes::new();
    let next = Authority::new(nodes.folder.path(), "next");
    let bundle = nodes.folder.path().join("bundle.crt");
    let both = [&nodes.authority.cert, &next.cert].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&bundle, both.concat()).unwrap();
    let trust = Trust::Authorities(Authorities::load(&bundle).unwrap());
    let renewed = next.issue("renewed", &[&name(Role::ControlPlane)], SERVER);
    let server = server_config(&load(&renewed), &trust).unwrap();
    let (server, client) = meet(server, client_config(&load(&nodes.data), &trust).unwrap()).await;
    server.unwrap();
    client.unwrap();
}

fn certified(pair: &certs::Pair) -> CertifiedKey {
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let signer = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    CertifiedKey::new(vec![CertificateDer::from_pem_file(&pair.cert).unwrap()], signer)
}
