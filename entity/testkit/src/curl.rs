//! The real client, for what our own does not speak: TLS, HTTP/2.

use std::net::SocketAddr;

use tokio::process::Command;

use crate::certs::Pair;

/// Runs it, for 20 s at most: what it writes to its standard output.
///
/// # Errors
///
/// What it says of its failure.
///
/// # Panics
///
/// When it is not there.
pub async fn curl(arguments: &[&str]) -> Result<String, String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments).kill_on_drop(true);
    let output = curl.output().await.expect("curl is installed");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Asks the server at an address for `/` by HTTPS, as one of this name, which must show `pair` and no other.
///
/// # Errors
///
/// Those of [`curl`].
///
/// # Panics
///
/// Those of [`curl`].
pub async fn https(at: SocketAddr, name: &str, pair: &Pair, more: &[&str]) -> Result<String, String> {
    let (resolved, url) =
        (format!("{name}:{}:{}", at.port(), at.ip()), format!("https://{name}:{}/", at.port()));
    let trusted = pair.cert.display().to_string();
    curl(&[&["--resolve", &resolved, "--cacert", &trusted, &url], more].concat()).await
}
