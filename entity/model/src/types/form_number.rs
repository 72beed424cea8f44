//! Numbers in forms.

/// Reads a number of a form as Lua's `tonumber` does, which infers the numbers of Kong's forms: with a fraction,
/// an exponent, or in hexadecimal, and with blanks around it. Infinity and NaN are no numbers of a field.
pub(super) fn read(text: &str) -> Option<f64> {
    const BLANKS: [char; 6] = [' ', '\t', '\n', '\x0b', '\x0c', '\r'];
    let text = text.trim_matches(BLANKS);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(digits) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let more = |number: f64, digit: char| Some(number.mul_add(16.0, f64::from(digit.to_digit(16)?)));
        let number = digits.chars().try_fold(0.0, more)?;
        return (!digits.is_empty() && number.is_finite()).then_some(sign * number);
    }
    // `parse` would read `inf` and `nan`, and a second sign is rejected by it.
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_forms_are_those_of_lua() {
        for (text, expected) in [
            ("80", Some(80.0)),
            ("80.0", Some(80.0)),
            ("1e2", Some(100.0)),
            ("1E-2", Some(0.01)),
            ("0x50", Some(80.0)),
            ("-0X1f", Some(-31.0)),
            ("+7", Some(7.0)),
            ("\n 7 \x0b", Some(7.0)),
            ("7\u{a0}", None),
            ("0x5g", None),
            ("0x-5", None),
            ("+-5", None),
            ("-inf", None),
            ("nan", None),
            ("e5", None),
            (".", None),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
        assert_eq!(read(&format!("0x{}", "f".repeat(400))), None);
    }
}
