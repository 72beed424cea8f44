//! TLS session tickets. The client stores its session, encrypted. However many other clients connect, the
//! gateway loses no session, and it stores nothing for any.
//!
//! A key encrypts tickets for [`ROTATION`] and decrypts them for [`LIFETIME`]; then it is wiped. An attacker
//! who takes the machine afterwards cannot decrypt recorded sessions. Keys are in memory only. In an upgrade
//! they go to the successor by a socket, and never to a disk.
//!
//! A ticket is valid for the certificate with which its session began. Once another certificate is served for
//! the name, the handshake is a full one.

use std::cell::Cell;
use std::fmt;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long a key encrypts.
const ROTATION: Duration = Duration::from_secs(6 * 3600);
/// How long a key decrypts the tickets that it encrypted.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// The lifetime that clients receive, in seconds: the least that a ticket is valid for.
const HINT: u32 = 6 * 3600;

const NAME: usize = 16;
const SECRET: usize = 32;
/// Length of a key as a successor receives it: name, secret, age in seconds.
const EXPORTED: usize = NAME + SECRET + 8;
/// More keys than are ever alive at once.
const KEYS: usize = 8;
/// The longest ticket to decrypt: ours are shorter, and a longer one would only cost time.
const LONGEST_TICKET: usize = 4096;

tokio::task_local! {
    /// The certificate that the current task's handshake shows.
    static CERTIFICATE: Cell<Option<blake3::Hash>>;
}

/// The keys of tickets, the newest first.
#[derive(Default)]
pub struct Tickets {
    keys: RwLock<Vec<Key>>,
}

#[derive(Clone)]
struct Key {
    name: [u8; NAME],
    secret: Zeroizing<[u8; SECRET]>,
    made: Instant,
}

/// Runs a handshake. Its tickets are bound to the certificate that [`note_certificate`] names during it.
pub(super) async fn bound<F: Future>(handshake: F) -> F::Output {
    CERTIFICATE.scope(Cell::new(None), handshake).await
}

/// Notes the certificate of the current handshake, DER.
pub(super) fn note_certificate(certificate: &[u8]) {
    // Outside of a handshake there are no tickets.
    CERTIFICATE.try_with(|noted| noted.set(Some(blake3::hash(certificate)))).ok();
}

impl Tickets {
    /// Reads the keys that a predecessor wrote to this socket; starts without keys if it wrote none.
    pub fn read(socket: Option<UnixStream>) -> Arc<Self> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEYS * EXPORTED));
        if let Some(socket) = socket {
            // A predecessor that is gone has written all or nothing.
            socket.take((KEYS * EXPORTED) as u64).read_to_end(&mut bytes).ok();
        }
        Arc::new(Self::import(&bytes))
    }

    /// Exports the keys for the successor.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let keys = self.keys.read();
        let mut bytes = Zeroizing::new(Vec::with_capacity(keys.len() * EXPORTED));
        for key in keys.iter().take(KEYS) {
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&*key.secret);
            bytes.extend_from_slice(&key.made.elapsed().as_secs().to_be_bytes());
        }
        bytes
    }

    fn import(bytes: &[u8]) -> Self {
        let keys = bytes.chunks_exact(EXPORTED).filter_map(Key::import).collect();
        Self { keys: RwLock::new(keys) }
    }

    /// Makes a new key when the newest is due, and wipes expired keys.
    fn rotate(&self) -> Option<()> {
        let is_due = |keys: &[Key]| keys.first().is_none_or(|newest| newest.made.elapsed() >= ROTATION);
        if is_due(&self.keys.read()) {
            let key = Key::generate()?;
            let mut keys = self.keys.write();
            if is_due(&keys) {
                keys.retain(|key| key.made.elapsed() < LIFETIME);
                keys.insert(0, key);
            }
        }
        Some(())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        HINT
    }

    /// The name of the key, a nonce, and the sealed session.
    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.rotate()?;
        let keys = self.keys.read();
        let key = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = session.to_vec();
        let certificate = CERTIFICATE.try_with(Cell::get).ok().flatten()?;
        let aad = key.additional(&certificate);
        let nonce_in_use = Nonce::assume_unique_for_key(nonce);
        key.cipher()?.seal_in_place_append_tag(nonce_in_use, aad, &mut sealed).ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > LONGEST_TICKET {
            return None;
        }
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let certificate = CERTIFICATE.try_with(Cell::get).ok().flatten()?;
        let keys = self.keys.read();
        let key = keys.iter().find(|key| key.name == name && key.made.elapsed() < LIFETIME)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let length =
            key.cipher()?.open_in_place(nonce, key.additional(&certificate), &mut session).ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

impl Key {
    fn generate() -> Option<Self> {
        let random = SystemRandom::new();
        let (mut name, mut secret) = ([0; NAME], Zeroizing::new([0; SECRET]));
        random.fill(&mut name).ok()?;
        random.fill(&mut *secret).ok()?;
        Some(Self { name, secret, made: Instant::now() })
    }

    fn import(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk()?;
        let (secret, age) = rest.split_first_chunk()?;
        let age = Duration::from_secs(u64::from_be_bytes(*age.first_chunk()?));
        // A key whose age the clock cannot express is not needed either.
        let made = Instant::now().checked_sub(age).filter(|_| age < LIFETIME)?;
        Some(Self { name: *name, secret: Zeroizing::new(*secret), made })
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &*self.secret).ok().map(LessSafeKey::new)
    }

    fn additional(&self, certificate: &blake3::Hash) -> Aad<[u8; NAME + blake3::OUT_LEN]> {
        let mut data = [0; NAME + blake3::OUT_LEN];
        data[..NAME].copy_from_slice(&self.name);
        data[NAME..].copy_from_slice(certificate.as_bytes());
        Aad::from(data)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
