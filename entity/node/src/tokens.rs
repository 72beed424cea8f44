//! Tokens that authenticate clients: each has a name, a role, and 256 random bits.
//!
//! A file holds their SHA-256 hashes, one token a line. A slow hash, as for passwords, would protect nothing:
//! 256 random bits cannot be guessed. It would also let every wrong token cost a core.
//!
//! [`TokenFile`] reads the file again when it changes.

mod sent;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use sent::{Ambiguous, sent};

use crate::file::FileVersion;
use crate::identity::POLL;

/// The prefix of every token, so that tools that look for leaked secrets recognise it.
const PREFIX: &str = "gibbon_";

/// Hashed before the token, so that the hash serves this purpose alone.
const DOMAIN: &[u8] = b"gibbon token v1\0";

/// The most tokens in a file: every request is compared with each of them.
const MAX_TOKENS: usize = 1000;
/// The most bytes of a file.
const MAX_FILE: u64 = 256 * 1024;
/// The most characters of a name.
const MAX_NAME: usize = 64;

/// The role of a token's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenRole {
    /// Everything
    Admin,
    /// Read, and nothing else
    Read,
}

/// One token, without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The holder's name.
    pub name: String,
    /// The holder's role.
    pub role: TokenRole,
    hash: [u8; 32],
}

/// The tokens of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the tokens in {}: {reason}", path.display())]
pub struct TokenError {
    path: PathBuf,
    reason: String,
}

/// A file of tokens, with its last valid content.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    version: FileVersion,
    current: watch::Sender<Arc<Tokens>>,
}

/// A new token.
#[derive(Debug)]
pub struct NewToken {
    /// The secret that the holder sends.
    pub secret: String,
    /// The token's line in the file.
    pub line: String,
}

/// Creates a token.
///
/// # Errors
/// The name is invalid, or the system has no random bytes.
pub fn create(name: &str, role: TokenRole) -> Result<NewToken, String> {
    check_name(name)?;
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| "the system gives no random bytes".to_owned())?;
    let secret = format!("{PREFIX}{}", hex(&random));
    let line = format!("{name} {role} {}", hex(&hash(secret.as_bytes())));
    Ok(NewToken { secret, line })
}

impl Tokens {
    /// Finds the token that a client has sent. The time is the same for every token of the file, and for a
    /// wrong one.
    pub fn find(&self, sent: &[u8]) -> Option<&Token> {
        let sent = hash(sent);
        self.0
            .iter()
            .fold(None, |found, token| if token.hash.ct_eq(&sent).into() { Some(token) } else { found })
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no tokens: then every client is refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let fail = |reason: String| TokenError { path: path.to_owned(), reason };
        let metadata = std::fs::metadata(path).map_err(|error| {
            fail(format!("{error}; make one with: gibbon-control token create --name NAME --file FILE"))
        })?;
        if metadata.len() > MAX_FILE {
            return Err(fail(format!("it has {} bytes, {MAX_FILE} at most", metadata.len())));
        }
        if std::os::unix::fs::MetadataExt::mode(&metadata) & 0o002 != 0 {
            return Err(fail("everybody may write to it; take that away: chmod o-w".to_owned()));
        }
        std::fs::read_to_string(path)
            .map_err(|error| error.to_string())
            .and_then(|text| text.parse())
            .map_err(fail)
    }
}

impl FromStr for Tokens {
    type Err = String;

    /// Parses lines `NAME ROLE HASH`; skips empty ones and those that begin with `#`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::<Token>::new();
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = Token::parse(line).map_err(|reason| format!("line {number}: {reason}"))?;
            if tokens.iter().any(|other| other.name == token.name || other.hash == token.hash) {
                return Err(format!(
                    "line {number}: the name {} or its hash is in the file twice",
                    token.name
                ));
            }
            tokens.push(token);
            if tokens.len() > MAX_TOKENS {
                return Err(format!("line {number}: there are more than {MAX_TOKENS} tokens"));
            }
        }
        Ok(Self(tokens))
    }
}

impl Token {
    fn parse(line: &str) -> Result<Self, String> {
        let [name, role, hash] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err("expected NAME ROLE HASH, as `gibbon-control token create` prints it".to_owned());
        };
        check_name(name)?;
        let role = role.parse()?;
        let hash = unhex(hash).ok_or("the hash must be 64 hexadecimal digits")?;
        Ok(Self { name: name.to_owned(), role, hash })
    }
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// The file is missing, too large, writable by everybody, or has a bad line.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        let version = FileVersion::of(path);
        let current = watch::Sender::new(Arc::new(Tokens::read(path)?));
        Ok(Self { path: path.to_owned(), version, current })
    }

    /// The tokens, always those of the last valid file.
    pub fn tokens(&self) -> watch::Receiver<Arc<Tokens>> {
        self.current.subscribe()
    }

    /// Reads the file again if it has changed, and returns the number of tokens if so.
    ///
    /// # Errors
    /// Those of [`TokenFile::open`], once for each change. The previous tokens stay active.
    pub fn refresh(&mut self) -> Result<Option<usize>, TokenError> {
        let version = FileVersion::of(&self.path);
        if version == self.version {
            return Ok(None);
        }
        self.version = version;
        let tokens = Tokens::read(&self.path)?;
        let count = tokens.len();
        self.current.send_replace(Arc::new(tokens));
        Ok(Some(count))
    }
}

impl TokenFile {
    /// Reads the file whenever it changes, until `stop`. Calls `count` with the success of each reload.
    pub async fn follow(mut self, stop: CancellationToken, count: impl Fn(bool)) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.refresh() {
                Ok(None) => {}
                Ok(Some(tokens)) => {
                    count(true);
                    info!(path = %self.path.display(), tokens, "the tokens were read again");
                }
                Err(error) => {
                    count(false);
                    warn!("{error}; the tokens that were read before stay active");
                }
            }
        }
    }
}

impl TokenRole {
    /// The role as the file and logs spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read",
        }
    }
}

impl FromStr for TokenRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let roles = [Self::Admin, Self::Read];
        let role = roles.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| "the role must be admin or read".to_owned())
    }
}

impl fmt::Display for TokenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Omits the hash: it is no secret, but nobody needs it in a log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    match (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed) {
        true => Ok(()),
        false => Err(format!("a name has 1 to {MAX_NAME} letters, digits, and -_.@")),
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(DOMAIN);
    context.update(secret);
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_found_by_its_secret_alone() {
        let (alice, bob) =
            (create("alice", TokenRole::Admin).unwrap(), create("bob", TokenRole::Read).unwrap());
        assert!(!alice.line.contains(&alice.secret) && alice.secret.len() == PREFIX.len() + 64);
        let tokens: Tokens = format!("# who\n\n{}\n  {}\r\n", alice.line, bob.line).parse().unwrap();
        let found = tokens.find(bob.secret.as_bytes()).unwrap();
        assert_eq!((found.name.as_str(), found.role), ("bob", TokenRole::Read));
        for wrong in ["", "bob", &bob.secret[..70], &format!("{} ", bob.secret), &bob.line[9..]] {
            assert_eq!(tokens.find(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Tokens::default().find(b""), None);
    }

    #[test]
    fn a_bad_line_is_refused_with_its_number() {
        let line = create("a", TokenRole::Admin).unwrap().line;
        let digits = "0".repeat(64);
        for bad in [
            "a admin".to_owned(),
            format!("a owner {digits}"),
            format!("a admin {digits}0"),
            format!("a admin {}é", &digits[..62]),
            format!("a/b admin {digits}"),
            format!("{} admin {digits}", "a".repeat(65)),
            format!("a read {digits}"),
            line.replacen("a ", "b ", 1),
        ] {
            let error = format!("{line}\n{bad}\n").parse::<Tokens>().unwrap_err();
            assert!(error.starts_with("line 2: "), "{bad}: {error}");
        }
    }

    #[test]
    fn a_changed_file_is_read_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        assert!(TokenFile::open(&path).unwrap_err().to_string().contains("token create"));
        let (alice, bob) =
            (create("alice", TokenRole::Admin).unwrap(), create("bob", TokenRole::Read).unwrap());
        std::fs::write(&path, &alice.line).unwrap();
        let mut file = TokenFile::open(&path).unwrap();
        let tokens = file.tokens();
        let has = |token: &NewToken| tokens.borrow().find(token.secret.as_bytes()).is_some();
        assert!(has(&alice) && file.refresh().unwrap().is_none());

        std::fs::write(&path, format!("{}\n{}", alice.line, bob.line)).unwrap();
        assert_eq!(file.refresh().unwrap(), Some(2));
        assert!(has(&bob));
        std::fs::write(&path, "half a li").unwrap();
        assert!(file.refresh().is_err() && file.refresh().unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(file.refresh().is_err());
        assert!(has(&alice) && has(&bob));
        // Removing the last token is a valid change.
        std::fs::write(&path, "").unwrap();
        assert_eq!(file.refresh().unwrap(), Some(0));
        assert!(!has(&alice));
    }

    #[test]
    fn a_file_that_everybody_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(TokenFile::open(&path).unwrap_err().to_string().contains("chmod o-w"));
    }
}
