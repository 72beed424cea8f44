//! A private key that was replaced or deleted is soon in no file, nor after a restart.

use std::fs;
use std::path::Path;

use bytes::{Buf, Bytes};
use model::Certificate;
use testkit::certs;
use testkit::plane::DEADLINE;
use testkit::wait;
use uuid::Uuid;
use wire::Update;

use super::Stage;

const PURGES: &str = "gibbon_config_cache_purges_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_private_key_leaves_the_disk() {
    let (mut stage, mut connected) = Stage::started().await;
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let pair = certs::server(folder.path(), name, &["a.test"]);
        let read = |path| fs::read_to_string(path).unwrap();
        Certificate { cert: read(&pair.cert), key: read(&pair.key).into(), ..Certificate::default() }
    });
    let key = |certificate: &Certificate| certificate.key.expose().lines().nth(1).unwrap().to_owned();
    let (first_key, second_key) = (key(&first), key(&second));

    put(&mut stage, &mut connected, Some(&first)).await;
    stage.wait_on_disk(2).await;
    assert!(is_in(stage.gateway.state(), &first_key));
    // A file kept for inspection, with the key.
    fs::copy(stage.file("config.log"), stage.file("config.log.damaged")).unwrap();

    put(&mut stage, &mut connected, Some(&second)).await;
    gone(&stage, &first_key).await;
    assert!(is_in(stage.gateway.state(), &second_key));
    assert!(!stage.file("config.log.damaged").exists());

    put(&mut stage, &mut connected, None).await;
    gone(&stage, &second_key).await;
    stage.gateway.node.wait_metric(PURGES, 2.0).await;

    // The process ends before it removes the key: the next process does.
    put(&mut stage, &mut connected, Some(&first)).await;
    put(&mut stage, &mut connected, Some(&second)).await;
    stage.gateway.node.kill9();
    stage.control_ends();
    stage.gateway.node.start().await;
    gone(&stage, &first_key).await;
    assert!(is_in(stage.gateway.state(), &second_key));
    stage.serves(6, "from the disk").await;
}

async fn gone(stage: &Stage, key: &str) {
    wait::until(DEADLINE, "the key is gone", || !is_in(stage.gateway.state(), key)).await;
}

async fn put(stage: &mut Stage, connected: &mut crate::control_plane::Connected, put: Option<&Certificate>) {
    let value = put.map(|certificate| Bytes::from(serde_json::to_vec(certificate).unwrap()));
    let update = stage.next_of(&[(model::Certificate::key(Uuid::from_u128(9)), value)]);
    connected.update(&update).await.unwrap();
}

/// Whether any file of the folder holds this text, in its bytes or in its updates.
fn is_in(state: &Path, text: &str) -> bool {
    let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
    let files = fs::read_dir(state).unwrap().flatten().filter_map(|file| fs::read(file.path()).ok());
    files.into_iter().any(|file| {
        holds(&file)
            || updates(file.into()).iter().any(|update| update.payload().is_ok_and(|bytes| holds(&bytes)))
    })
}

fn updates(mut file: Bytes) -> Vec<Update> {
    let mut updates = Vec::new();
    file.advance(file.len().min(8));
    while file.len() > 20 {
        let len = file.get_u32() as usize;
        file.advance(16);
        updates.extend(Update::from_bytes(&file.split_to(len.min(file.len()))).ok());
    }
    updates
}
