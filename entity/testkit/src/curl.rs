//! curl, for the protocols that the testkit's own client does not have: TLS, HTTP/2.

use std::net::SocketAddr;

use tokio::process::Command;

use crate::certs::Pair;

/// Runs curl for at most 20 s, and returns its standard output.
///
/// # Errors
///
/// curl's message of its failure.
///
/// # Panics
///
/// curl is not installed.
pub async fn curl(arguments: &[&str]) -> Result<String, String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments).kill_on_drop(true);
    let output = curl.output().await.expect("curl is installed");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Requests `/` by HTTPS from the server at an address, under this name. The server must show `pair` and no
/// other.
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
