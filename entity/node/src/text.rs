//! Makes text from a peer, a file or a database safe for a line of a log.

/// The most characters of a peer's text that are logged, shown or stored.
pub const MAX_TEXT: usize = 1000;

/// The text on one line, at most [`MAX_TEXT`] characters of it. Characters that begin a line, move the cursor
/// or turn the direction of writing are escaped, so that no peer can forge a line of the log.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == MAX_TEXT {
            line.push('…');
            break;
        }
        match c {
            c if is_harmless(c) => line.push(c),
            c => line.extend(c.escape_unicode()),
        }
    }
    line
}

fn is_harmless(c: char) -> bool {
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    let directs = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !separates && !directs && c != '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_peer_stays_on_its_line() {
        assert_eq!(one_line("Zürich, 東京"), "Zürich, 東京");
        let forged = "no\n2026-01-01 INFO all is well\r\u{1b}[2J\u{0}\u{85}\u{2028}\u{202e}x";
        let line = one_line(forged);
        assert!(line.chars().all(is_harmless), "{line}");
        assert!(line.starts_with("no\\u{a}2026-01-01"), "{line}");
        assert_eq!(one_line(&"é".repeat(2000)).chars().count(), MAX_TEXT + 1);
    }
}
