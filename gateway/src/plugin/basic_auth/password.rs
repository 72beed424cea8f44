//! Compares a password with its stored form. That takes about the same time for a wrong password as for a user
//! that there is not, so that the time tells nobody which users there are.

use std::hint::black_box;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use model::password::StoredPassword;
use ring::digest;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// A hash of no password, with the cost of those that the control plane makes.
const NOBODY: &str =
    "$argon2id$v=19$m=7168,t=5,p=1$Gcm4nb1KJus51IKSKh9fXA$YbqueYtjOV4U3xqeiYwNOMQha9Vuml2BxTIvDDrNs2U";

/// What a password is compared with.
#[derive(Clone)]
pub(super) struct Stored {
    /// The consumer that has the credential.
    pub(super) consumer: Uuid,
    /// The stored form of its password.
    pub(super) password: String,
}

/// Compares a password with a stored one. Without a stored one the outcome is always false.
pub(super) fn is_right(given: &[u8], stored: Option<&Stored>) -> bool {
    match stored.and_then(|stored| Some((stored, StoredPassword::parse(&stored.password)?))) {
        Some((_, StoredPassword::Argon2id(hash))) => is_hash_of(hash, given),
        // A wrong password costs the hash of a user that there is not.
        Some((stored, StoredPassword::Sha1(sum))) => {
            is_sum_of(&sum, given, stored.consumer) || is_nobody(given)
        }
        None => is_nobody(given),
    }
}

/// Takes the time of a wrong password.
fn is_nobody(given: &[u8]) -> bool {
    black_box(is_hash_of(NOBODY, given));
    false
}

fn is_hash_of(hash: &str, given: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(given, &hash).is_ok())
}

/// Kong's sum, whose salt is the consumer's id.
fn is_sum_of(sum: &[u8; 20], given: &[u8], consumer: Uuid) -> bool {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(given);
    context.update(consumer.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    context.finish().as_ref().ct_eq(sum).into()
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSUMER: Uuid = Uuid::from_u128(7);

    fn sha1(password: &str) -> String {
        let sum = digest::digest(
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            format!("{password}{}", "00000000-0000-0000-0000-000000000007").as_bytes(),
        );
        sum.as_ref().iter().fold("{SHA1}".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    #[test]
    fn passwords() {
        // By the reference library, of the password "secret" and the salt "somesalt".
        let argon2 =
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$QQCd8VPOryZiCF3MtwQnPTK7odKCaPcXJGplgNEuj1A".to_owned();
        for (stored, given, expected) in [
            (Some(argon2.clone()), "secret", true),
            (Some(argon2.clone()), "Secret", false),
            (Some(argon2), "", false),
            (Some(sha1("secret")), "secret", true),
            (Some(sha1("secret")), "secre", false),
            (Some(sha1("")), "", true),
            (Some("secret".to_owned()), "secret", false),
            (Some("{SHA1}".to_owned()), "", false),
            (None, "nobody", false),
        ] {
            let stored = stored.map(|password| Stored { consumer: CONSUMER, password });
            assert_eq!(is_right(given.as_bytes(), stored.as_ref()), expected, "{stored:?} {given}");
        }
    }

    /// An unknown user costs the memory, and so the time, of a hash that the control plane makes.
    #[test]
    fn unknown_user_costs_what_a_wrong_password_costs() {
        let cost = |stored: Option<&Stored>| {
            allocation_counter::measure(|| assert!(!is_right(b"wrong", stored))).bytes_max
        };
        let stored = |password: String| Stored { consumer: CONSUMER, password };
        let nobody = cost(None);
        assert!(nobody >= 7 << 20, "{nobody} bytes");
        for known in [stored(NOBODY.into()), stored(sha1("secret"))] {
            assert_eq!(cost(Some(&known)), nobody, "{known:?}");
        }
    }
}
