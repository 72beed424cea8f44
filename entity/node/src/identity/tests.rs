mod reloader;

use testkit::certs;

use super::*;

fn load(pair: &certs::Pair) -> Identity {
    Identity::load(&pair.cert, &pair.key).unwrap()
}

#[test]
fn a_pair_is_read_with_its_dates() {
    let folder = tempfile::tempdir().unwrap();
    let identity = load(&certs::valid(folder.path(), "a"));
    let days = (identity.leaf.not_after - identity.leaf.not_before) / 86_400;
    assert_eq!(days, 366);
    assert_eq!(identity.fingerprint().to_string().len(), 64);
    assert!(!format!("{identity:?}").to_lowercase().contains("key"));
    // Still loadable: a data plane with an expired certificate continues to serve.
    load(&certs::expired(folder.path(), "b"));
}

#[test]
fn pins_are_a_set() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (certs::valid(folder.path(), "old"), certs::valid(folder.path(), "new"));
    let both = Pins::from(&load(&old)).and_file(&new.cert).unwrap();
    assert!(both.contains(&load(&old).fingerprint()) && both.contains(&load(&new).fingerprint()));
    assert!(!Pins::from(&load(&old)).contains(&load(&new).fingerprint()));
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (certs::valid(folder.path(), "a"), certs::valid(folder.path(), "b"));
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let broken = folder.path().join("broken");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let absent = folder.path().join("absent");
    for (certificate, key, expected) in [
        (&absent, &a.key, "certificate FOLDER/absent: there is no such file; make a pair with: "),
        (&empty, &a.key, "certificate FOLDER/empty: there is no certificate in it; make a pair with: "),
        (&broken, &a.key, "certificate FOLDER/broken: not X.509: "),
        (&a.cert, &absent, "key FOLDER/absent: there is no such file; make a pair with: "),
        (&a.cert, &a.cert, "key FOLDER/a.crt: there is no private key in it; make a pair with: "),
        (&a.cert, &b.key, "key FOLDER/b.key: it is not the key of FOLDER/a.crt; make a pair with: "),
    ] {
        let error = Identity::load(certificate, key).unwrap_err().to_string();
        let error = error.replace(&folder.path().display().to_string(), "FOLDER");
        assert!(error.starts_with(&format!("cannot use the cluster {expected}")), "{error}");
    }
}
