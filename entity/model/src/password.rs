//! The forms in which passwords are stored, and their bounds: a data plane computes a hash for each password
//! that it has not seen lately, so that the cost of one is bounded.

/// How the hash begins that Kong stores: SHA-1 of the password and the id of the consumer.
const SHA1: &str = "{SHA1}";
/// Memory of one Argon2 hash, in KiB.
const MEMORY: std::ops::RangeInclusive<u32> = 8..=65_536;
/// Passes of one Argon2 hash.
const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
/// Lanes of one Argon2 hash.
const LANES: std::ops::RangeInclusive<u32> = 1..=4;
/// KiB that all passes of one Argon2 hash write together: about a quarter of a second.
const WORK: u32 = 262_144;
/// Characters of the salt and of the hash of Argon2: 8 to 48 bytes, and 16 to 64.
const SALT: std::ops::RangeInclusive<usize> = 11..=64;
const HASH: std::ops::RangeInclusive<usize> = 22..=86;

/// A stored password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredPassword<'a> {
    /// A PHC string of Argon2id.
    Argon2id(&'a str),
    /// The SHA-1 of the bytes of the password and of the consumer's id in its text form, one after the other.
    Sha1([u8; 20]),
}

impl<'a> StoredPassword<'a> {
    /// Reads the stored form of a password; `None` for every other text, such as a password itself, and for
    /// a hash that costs too much.
    pub fn parse(text: &'a str) -> Option<Self> {
        match text.strip_prefix(SHA1) {
            Some(hex) => sha1(hex).map(Self::Sha1),
            None => is_argon2id(text).then_some(Self::Argon2id(text)),
        }
    }

    /// Whether a text is meant as the stored form of a password, also if it is none.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SHA1) || text.starts_with("$argon2")
    }
}

/// Checks the stored form of a password. The message repeats nothing of it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    StoredPassword::parse(text).map(drop).ok_or_else(|| {
        "expected a password, {SHA1} with 40 hexadecimal digits, or a PHC string of argon2id with at most 64 MiB \
         and 16 passes"
            .to_owned()
    })
}

fn sha1(hex: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    if hex.len() != 2 * bytes.len() || !hex.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
    }
    Some(bytes)
}

/// Whether a text is `$argon2id$v=19$m=…,t=…,p=…$salt$hash` within the bounds.
fn is_argon2id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    let ["", "argon2id", "v=19", parameters, salt, hash] = parts[..] else { return false };
    let is_base64 =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    SALT.contains(&salt.len())
        && HASH.contains(&hash.len())
        && is_base64(salt)
        && is_base64(hash)
        && is_within_bounds(parameters)
}

fn is_within_bounds(parameters: &str) -> bool {
    let parts: Vec<&str> = parameters.split(',').collect();
    let [memory, passes, lanes] = parts[..] else { return false };
    let number = |part: &str, name: &str| part.strip_prefix(name)?.parse::<u32>().ok();
    match (number(memory, "m="), number(passes, "t="), number(lanes, "p=")) {
        (Some(memory), Some(passes), Some(lanes)) => {
            MEMORY.contains(&memory)
                && PASSES.contains(&passes)
                && LANES.contains(&lanes)
                && memory >= 8 * lanes
                && memory * passes <= WORK
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_forms_are_told_from_passwords() {
        let argon2 = |parameters: &str| {
            format!(
                "$argon2id$v=19${parameters}$c29tZXNhbHRzYWx0$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo"
            )
        };
        for good in ["m=7168,t=5,p=1", "m=8,t=1,p=1", "m=65536,t=4,p=4"] {
            let text = argon2(good);
            assert_eq!(StoredPassword::parse(&text), Some(StoredPassword::Argon2id(&text)));
        }
        for bad in
            ["m=65537,t=1,p=1", "m=8,t=17,p=1", "m=64,t=1,p=5", "m=65536,t=5,p=1", "m=8,t=1", "m=8,t=1,p=2"]
        {
            assert!(check(&argon2(bad)).is_err(), "{bad}");
        }
        let sha1 = "{SHA1}00112233445566778899aabbccddeeffABCDEF01";
        assert!(matches!(StoredPassword::parse(sha1), Some(StoredPassword::Sha1(bytes)) if bytes[1] == 0x11));
        for bad in ["", "secret", "{SHA1}00", "{SHA1}+0112233445566778899aabbccddeeffABCDEF01", "$argon2id$"]
        {
            assert_eq!(StoredPassword::parse(bad), None, "{bad}");
        }
    }
}
