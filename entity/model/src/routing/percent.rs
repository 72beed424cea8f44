//! Percent-encoding (RFC 3986, section 2.1): the bytes that a path holds unencoded, and the encoding of
//! others.

/// The bytes that a path may hold unencoded: `pchar` and the slash (RFC 3986, section 3.3), but not the
/// percent sign, which begins an encoding.
static PATH: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_unreserved(byte as u8)
            || matches!(byte as u8, b'/' | b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@');
        byte += 1;
    }
    table
};

/// Whether a path may hold `byte` unencoded.
pub(crate) fn is_plain(byte: u8) -> bool {
    PATH[usize::from(byte)]
}

/// The canonical encoding of `text`: unreserved characters are decoded, every byte that a path may not hold
/// is encoded, hex digits are in upper case. A percent sign that begins no encoding becomes `%25`. Otherwise
/// `%%32e` would become `%2e`, which the next reader decodes to a dot.
pub(crate) fn recode(text: &[u8]) -> String {
    recode_with(text, "%25")
}

/// [`recode`] for a piece of a regular expression. A percent sign at its end stays: it may begin an encoding
/// whose digits are a class of characters.
pub(crate) fn recode_literal(text: &[u8]) -> String {
    recode_with(text, "%")
}

fn recode_with(text: &[u8], lone_percent: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => match hex_byte(behind) {
                Some(byte) => {
                    rest = &behind[2..];
                    if is_unreserved(byte) {
                        out.push(char::from(byte))
                    } else {
                        push_encoded(&mut out, byte)
                    }
                }
                None => out.push_str(lone_percent),
            },
            _ if is_plain(byte) => out.push(char::from(byte)),
            _ => push_encoded(&mut out, byte),
        }
    }
    out
}

/// Whether `target` has only bytes that a request target may hold. A blank or a control character ends the
/// target for some readers and not for others (RFC 9112, section 3.2).
pub fn is_target(target: &[u8]) -> bool {
    target.iter().all(|&byte| byte > b' ' && byte != 0x7f)
}

/// Encodes every byte of `text` that a URI may not hold; existing encodings stay.
pub fn encode_uri(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if is_plain(byte) || matches!(byte, b'%' | b'?') {
            out.push(char::from(byte));
        } else {
            push_encoded(&mut out, byte);
        }
    }
    out
}

fn push_encoded(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The byte that two hexadecimal digits at the start encode.
pub(crate) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_encoded_where_they_must_be() {
        assert_eq!(encode_uri(b"/a b?q=\"<\xff>\"&%2e#"), "/a%20b?q=%22%3C%FF%3E%22&%2e%23");
    }

    #[test]
    fn pieces_of_expressions_keep_a_lone_percent_sign() {
        assert_eq!(recode_literal("/%c3%bc%61|ü%".as_bytes()), "/%C3%BCa%7C%C3%BC%");
        assert_eq!(recode(b"/%"), "/%25");
    }
}
