//! Prints certificates for people.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use node::exit::ExitError;
use node::identity::PeerCertificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

use super::files::{PkiError, read, unusable};
use super::{moment, revoke};
use crate::revocation::Revoked;

/// Prints the certificates at these paths. With a configuration, marks the revoked ones; without paths, lists
/// all revocations.
pub(super) fn show(paths: Vec<PathBuf>, config: Option<&Path>) -> Result<String, ExitError> {
    let revoked = match config.map(revoke::list).transpose()? {
        Some((_, text)) if paths.is_empty() => {
            return Ok(if text.is_empty() { "nothing is revoked".to_owned() } else { text });
        }
        Some((revoked, _)) => revoked,
        None => Revoked::default(),
    };
    let paths = if paths.is_empty() { vec![PathBuf::from("pki")] } else { paths };
    let mut out = String::new();
    for path in &paths {
        for file in certificates(path)? {
            describe_file(&mut out, &file, &revoked)?;
        }
    }
    Ok(out.trim_end().to_owned())
}

/// Returns a file as it is, and the certificates of a folder (by their file extension) in the order of their
/// names.
fn certificates(path: &Path) -> Result<Vec<PathBuf>, PkiError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: std::io::Error| unusable(path, error.to_string());
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let mut files: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    files.retain(|file| file.extension().is_some_and(|end| end == "crt" || end == "pem"));
    files.sort();
    match files.is_empty() {
        true => Err(unusable(path, "there is no certificate (.crt, .pem) in it")),
        false => Ok(files),
    }
}

fn describe_file(out: &mut String, file: &Path, revoked: &Revoked) -> Result<(), PkiError> {
    let text = read(file, "`pki show` takes certificates and folders of them")?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(file, error.to_string()))?;
        let leaf = PeerCertificate::of(&certificate).map_err(|reason| unusable(file, reason))?;
        found = true;
        // Writing to a string cannot fail.
        write!(out, "{}\n{}\n", file.display(), describe(&leaf, revoked)).ok();
    }
    if found { Ok(()) } else { Err(unusable(file, "there is no certificate in it")) }
}

fn describe(leaf: &PeerCertificate, revoked: &Revoked) -> String {
    let role = match leaf.node {
        Some(node) => node.role.in_words(),
        None if leaf.is_authority => "authority",
        None => "any (shared mode)",
    };
    let left = leaf.not_after - OffsetDateTime::now_utc().unix_timestamp();
    let validity = if left < 0 { "expired".to_owned() } else { format!("{} days left", left / 86_400) };
    let mut lines = vec![("role", role.to_owned()), ("name", leaf.subject.clone())];
    lines.extend(leaf.node_id().map(|id| ("node id", id.to_string())));
    lines.push(("valid from", moment(leaf.not_before)));
    lines.push(("valid to", format!("{} ({validity})", moment(leaf.not_after))));
    lines.push(("serial", leaf.serial.clone()));
    lines.push(("fingerprint", leaf.fingerprint.to_string()));
    lines.extend(revoked.find(leaf).map(|why| ("REVOKED", format!("yes{why}"))));
    lines
        .into_iter()
        .map(|(name, value)| format!("  {name:<12} {value}").trim_end().to_owned() + "\n")
        .collect()
}
