//! Revocations, and the certificates that they apply to.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use entity::revocation::Model;
use node::identity::PeerCertificate;
use uuid::Uuid;

/// The subject of a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Every certificate of a node, including future ones.
    Node(Uuid),
    /// One certificate: SHA-256 of it, lower-case hex digits.
    Fingerprint(String),
    /// One certificate, by the serial number from its authority: lower-case hex digits.
    Serial(String),
}

/// All revocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(HashMap<Subject, Option<String>>);

/// A text that names no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a node id (a UUID), a fingerprint (SHA-256, 64 hex digits) or a serial number (hex digits)"
)]
pub struct SubjectError;

impl Subject {
    /// Returns its name in the database.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Node(_) => "node",
            Self::Fingerprint(_) => "fingerprint",
            Self::Serial(_) => "serial",
        }
    }

    /// Returns its value in the database.
    pub fn value(&self) -> String {
        match self {
            Self::Node(id) => id.to_string(),
            Self::Fingerprint(digits) | Self::Serial(digits) => digits.clone(),
        }
    }
}

impl Revoked {
    /// Whether a certificate is revoked: `: <reason>` or nothing, to end a sentence with.
    pub fn find(&self, certificate: &PeerCertificate) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let subjects = [
            Some(Subject::Fingerprint(certificate.fingerprint.to_string())),
            Some(Subject::Serial(certificate.serial.clone())),
            certificate.node_id().map(Subject::Node),
        ];
        let reason = subjects.into_iter().flatten().find_map(|subject| self.0.get(&subject))?;
        Some(reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())
    }
}

/// Leaves out rows of kinds that only a later version knows.
impl FromIterator<Model> for Revoked {
    fn from_iter<I: IntoIterator<Item = Model>>(rows: I) -> Self {
        Self(rows.into_iter().filter_map(|row| Some((subject(&row)?, row.reason))).collect())
    }
}

/// The dashes of a node id distinguish it from a serial number with as many digits.
impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        if text.contains('-') {
            return text.parse().map(Self::Node).map_err(|_malformed| SubjectError);
        }
        let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        let is_hex = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
        match digits.len() {
            64 if is_hex => Ok(Self::Fingerprint(digits)),
            // RFC 5280 section 4.1.2.2: at most 20 bytes.
            1..=40 if is_hex => Ok(Self::Serial(digits.trim_start_matches('0').to_owned())),
            _ => Err(SubjectError),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id}"),
            Self::Fingerprint(digits) => write!(f, "fingerprint {digits}"),
            Self::Serial(digits) => write!(f, "serial number {digits}"),
        }
    }
}

fn subject(row: &Model) -> Option<Subject> {
    match row.kind.as_str() {
        "node" => row.value.parse().ok().map(Subject::Node),
        "fingerprint" => Some(Subject::Fingerprint(row.value.clone())),
        "serial" => Some(Subject::Serial(row.value.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_certificates() {
        let parse = |text: &str| text.parse::<Subject>();
        let id = "2b0a4b6e-6f5c-4a4e-9d0f-4f5a0d1f7a11";
        assert_eq!(parse(id), Ok(Subject::Node(id.parse().unwrap())));
        let fingerprint = "AB:".repeat(31) + "CD";
        assert_eq!(parse(&fingerprint), Ok(Subject::Fingerprint("ab".repeat(31) + "cd")));
        assert_eq!(parse("00:FA:01"), Ok(Subject::Serial("fa01".into())));
        for bad in ["", "gateway-1", "12-34", "xyz", &"a".repeat(41), &"a".repeat(65)] {
            assert_eq!(parse(bad), Err(SubjectError), "{bad}");
        }
    }

    #[test]
    fn rows_find_certificates_and_strange_rows_do_no_harm() {
        let row = |kind: &str, value: &str| Model {
            kind: kind.into(),
            value: value.into(),
            reason: Some("stolen".into()),
            created_at: 0,
        };
        let folder = tempfile::tempdir().unwrap();
        let pair = testkit::certs::valid(folder.path(), "a");
        let identity = node::identity::Identity::load(&pair.cert, &pair.key).unwrap();
        let leaf = identity.leaf();
        let strange = [row("colour", "red"), row("node", "no id"), row("serial", "1")];
        assert_eq!(strange.clone().into_iter().collect::<Revoked>().find(leaf), None);
        for (kind, value) in [("fingerprint", leaf.fingerprint.to_string()), ("serial", leaf.serial.clone())]
        {
            let rows = strange.iter().cloned().chain([row(kind, &value)]);
            assert_eq!(rows.collect::<Revoked>().find(leaf), Some(": stolen".into()), "{kind}");
        }
    }
}
