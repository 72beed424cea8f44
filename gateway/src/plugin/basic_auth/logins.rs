//! Checks logins, and remembers what was found: a repeated login costs no hash of its password.

use std::net::IpAddr;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::login::Login;
use super::password::{self, Stored};
use crate::plugin::auth::checks::{Busy, Checks};
use crate::plugin::auth::remembered::{Proof, ProofKey, Remembered};

/// The most logins that are remembered of either outcome, of about 100 bytes each.
const MOST_REMEMBERED: usize = 64 * 1024;
/// The most logins that are checked or wait for it.
const MOST_CHECKS: usize = 256;

/// Checks logins. It outlives configurations: what it remembers holds only for the same stored password.
#[derive(Debug)]
pub(super) struct Logins {
    checks: Checks,
    key: ProofKey,
    right: Remembered,
    /// Apart from the others, so that guesses do not push them out.
    wrong: Remembered,
}

/// A credential with the username of a login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) id: Uuid,
    pub(super) consumer: Uuid,
    /// The stored form of its password.
    pub(super) password: &'a str,
}

/// What is remembered of a login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    Right,
    Wrong,
    /// It must be checked.
    Unknown(Proof),
}

/// Each core hashes one password at a time.
impl Default for Logins {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let remembered = || Remembered::new(MOST_REMEMBERED);
        Self {
            checks: Checks::new(cores, MOST_CHECKS),
            key: ProofKey::random(),
            right: remembered(),
            wrong: remembered(),
        }
    }
}

impl Logins {
    /// What is remembered of a login. `of` is the credential with its username, if there is one.
    pub(super) fn recall(&self, login: &Login, of: Option<Named<'_>>) -> Recalled {
        let proof = self.proof(login, of);
        if self.right.has(&proof) {
            Recalled::Right
        } else if self.wrong.has(&proof) {
            Recalled::Wrong
        } else {
            Recalled::Unknown(proof)
        }
    }

    /// Checks a login that is not remembered.
    ///
    /// # Errors
    /// When too many are checked already.
    pub(super) async fn check(
        &self,
        login: &Login,
        of: Option<Stored>,
        proof: Proof,
        client: IpAddr,
    ) -> Result<bool, Busy> {
        let given = Zeroizing::new(login.password().to_vec());
        let known = || {
            let is_right = self.right.has(&proof);
            (is_right || self.wrong.has(&proof)).then_some(is_right)
        };
        let check = move || password::is_right(&given, of.as_ref());
        let is_right = self.checks.run(client, known, check).await?;
        if is_right {
            self.right.add(proof)
        } else {
            self.wrong.add(proof)
        }
        Ok(is_right)
    }

    /// The proof of a login. That of a user that there is not holds the username: a second attempt then takes as
    /// long as with a user that there is.
    fn proof(&self, login: &Login, of: Option<Named<'_>>) -> Proof {
        match of {
            Some(Named { id, consumer, password }) => {
                let of = [id.as_bytes().as_slice(), consumer.as_bytes(), password.as_bytes()];
                self.key.proof(&[of[0], of[1], of[2], login.password()])
            }
            None => self.key.proof(&[login.username(), login.password()]),
        }
    }
}
